"""The feature network in ONNX Runtime: the fast way on a CPU.

On 2 quiet cores a picture takes 6 ms against torch's 8; with other work on the machine 26 ms against 125, as
the threads of ONNX Runtime sleep at a barrier where those of torch spin. The network is exported once to the
cache folder.
"""

import importlib.util
import logging
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from fewstep_distillation.metrics.cache import Array
from fewstep_distillation.metrics.efficientnet import INPUT_SIZE, EfficientNetLite0
from fewstep_models import pretrained


def can_export() -> bool:
    """Whether the packages of torch's ONNX exporter are installed."""
    return all(importlib.util.find_spec(name) is not None for name in ("onnx", "onnxscript"))


def onnx_network(model: EfficientNetLite0, digest: str) -> Callable[[Tensor], Array]:
    """A function from network inputs (B, 3, 224, 224) float32 to features (B, 1280); `digest` names the weights in the cache."""
    import onnxruntime

    file = pretrained.cache_folder() / "metrics" / f"efficientnet-lite0-{digest}.onnx"
    if not file.is_file():
        file.parent.mkdir(parents=True, exist_ok=True)
        _export(model, file)
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])

    def run(x: Tensor) -> Array:
        features: Array = session.run(["features"], {"x": x.contiguous().numpy()})[0]
        return features

    return run


def _export(model: EfficientNetLite0, file: Path) -> None:
    """Writes the network with a free batch; the file is there whole or not at all."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)  # it warns of torchvision operators, which the network does not use
    try:
        with tempfile.TemporaryDirectory(dir=file.parent) as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # deprecations inside the exporter
            torch.onnx.export(
                model,
                (torch.zeros(2, 3, INPUT_SIZE, INPUT_SIZE),),
                Path(folder) / file.name,
                input_names=["x"],
                output_names=["features"],
                dynamic_shapes={"x": {0: torch.export.Dim("batch")}},
                opset_version=20,
                dynamo=True,
                verbose=False,
                external_data=False,
            )
            (Path(folder) / file.name).replace(file)
    finally:
        logger.setLevel(level)
