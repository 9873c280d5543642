"""The side of optimum-onnx in export_at_scale.py; runs in an environment of its own: KIND WEIGHTS OUTPUT."""

import json
import resource
import sys
from importlib.metadata import version
from pathlib import Path
from time import perf_counter

import diffusers
from optimum.exporters.onnx import export, validate_model_outputs
from optimum.exporters.tasks import TasksManager

PARTS = {"UNet2DConditionModel": "unet-2d-condition", "SanaTransformer2DModel": "sana-transformer"}
FACTS = {  # what optimum's own reader adds to the configuration of a pipeline's denoiser
    "vocab_size": 32000,
    "text_encoder_projection_dim": None,
    "requires_aesthetics_score": False,
    "time_cond_proj_dim": None,
}


def main(kind: str, weights: Path, output: Path) -> None:
    """Loads, exports, validates, and prints one line of JSON."""
    output.mkdir(parents=True)
    model = getattr(diffusers, kind).from_pretrained(weights).float().eval()
    for name, value in FACTS.items():
        setattr(model.config, name, value)
    config = TasksManager.get_exporter_config_constructor(
        exporter="onnx",
        model=model,
        task="semantic-segmentation",
        library_name="diffusers",
        model_type=PARTS[kind],
    )(model.config)
    begin = perf_counter()
    _, names = export(
        model=model, config=config, output=output / "model.onnx", opset=config.DEFAULT_ONNX_OPSET
    )
    exported = perf_counter() - begin
    validate_model_outputs(config, model, output / "model.onnx", names, atol=1e-3)
    peak = 1024 * max(
        resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    versions = {name: version(name) for name in ("optimum-onnx", "torch", "diffusers", "onnxruntime")}
    print(json.dumps({"export_seconds": exported, "peak_bytes": peak, "versions": versions}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
