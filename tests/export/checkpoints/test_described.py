"""Graphs of somebody else's, with other names and types, become a bundle that draws the same."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from fewstep.bundle import Bundle
from fewstep.errors import FewstepError
from fewstep_export.checkpoints import load_generator
from fewstep_export.components import Component, Generator
from fewstep_export.config import ExportConfig
from fewstep_export.exporter import export
from fewstep_export.onnx_export import quiet
from fewstep_export.picture_loop import PictureTask, draw_torch, psnr


class Foreign(nn.Module):
    """A network with integer tokens of 64 bits, one timestep for the whole batch, or a picture from -1 to 1."""

    def __init__(self, component: Component) -> None:
        super().__init__()
        self.network, self.name = component.module, component.name

    def forward(
        self,
        first: Tensor,
        second: Tensor | None = None,
        states: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        if self.name == "decoder":
            picture: Tensor = self.network(first) * 2 - 1
            return picture
        assert second is not None
        if self.name == "text_encoder":
            output: Tensor = self.network(first.int(), second)
        else:
            output = self.network(first, second.expand(first.shape[0]), states, mask)
        return output


NAMES = {
    "text_encoder": (["tokens", "attention_mask"], "last_hidden_state"),
    "denoiser": (["sample", "timestep", "encoder_hidden_states", "encoder_mask"], "out_sample"),
    "decoder": (["latent_sample"], "sample"),
}


def save_foreign(component: Component, path: Path, channels: int) -> None:
    """Writes a network as other exporters do: opset 18, names of their own, int64."""
    inputs, output = NAMES[component.name]
    text = torch.zeros(2, 8, 32), torch.ones(2, 8)
    examples: dict[str, tuple[Tensor, ...]] = {
        "text_encoder": (torch.ones(2, 8, dtype=torch.int64), torch.ones(2, 8)),
        "denoiser": (torch.zeros(2, channels, 8, 8), torch.ones(1), *text),
        "decoder": (torch.zeros(2, channels, 8, 8),),
    }
    example = examples[component.name]
    batch = torch.export.Dim("n")
    shapes = [{0: batch} if value.shape[0] == 2 else {} for value in example]
    with quiet():
        program = torch.onnx.export(
            Foreign(component).eval(),
            example,
            dynamo=True,
            opset_version=18,
            input_names=inputs,
            output_names=[output],
            dynamic_shapes=tuple(shapes),
            verbose=False,
        )
    assert program is not None
    onnx.save(program.model_proto, path)


@pytest.fixture(scope="module")
def described(tiny: Generator, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with foreign graphs and their description."""
    folder = tmp_path_factory.mktemp("described")
    graphs: dict[str, dict[str, object]] = {}
    for component in tiny.components:
        assert isinstance(component, Component)
        save_foreign(component, folder / f"{component.name}.onnx", tiny.latent.shape[0])
        inputs, output = NAMES[component.name]
        graphs[component.name] = {
            "file": f"{component.name}.onnx",
            "inputs": dict(zip(component.inputs, inputs, strict=True)),
            "outputs": {component.outputs[0]: output},
        }
    graphs["decoder"]["image_range"] = [-1, 1]
    (folder / "words.json").write_text(tiny.tokenizers[0].content)
    description = {
        "name": "foreign",
        "graphs": graphs,
        "tokenizers": [{"file": "words.json", "max_length": 8}],
        "sampling": {"prediction": "flow", "sampler": "flow-euler", "steps": 3, "shift": 3.0},
        "guidance": {"scale": 3.0},
        "latent": {
            "shape": list(tiny.latent.shape),
            "scale": list(tiny.latent.scale),
            "shift": list(tiny.latent.shift),
        },
        "image": {"size": 32, "channels": "RGBA", "alpha": "premultiplied"},
        "prompts": {"examples": ["a red heart", "a blue star"]},
    }
    (folder / "foreign.json").write_text(json.dumps(description))
    return folder / "foreign.json"


def load(path: Path) -> Generator:
    return load_generator(ExportConfig(str(path), path.parent / "unused.fewstep"))


def test_described_graphs_draw_what_the_modules_draw(described: Path, tiny: Generator) -> None:
    foreign = load(described)
    assert [component.name for component in foreign.components] == ["text_encoder", "denoiser", "decoder"]
    task = PictureTask(("a red heart", "a blue star"), foreign.sampling.table(), 3.0)
    assert psnr(draw_torch(foreign, task), draw_torch(tiny, task)) > 100


@pytest.mark.slow
def test_described_graphs_become_a_verified_bundle(described: Path, tmp_path: Path) -> None:
    manifest = Bundle.open(export(ExportConfig(str(described), tmp_path / "foreign.fewstep"))).manifest
    assert [variant.name for variant in manifest.variants] == ["fp32", "fp32-ort", "fp16"]
    assert manifest.default_step_table == "flow-euler-3"
    (denoiser,) = [v for v in manifest.variant("fp32").components["denoiser"].inputs if v.name == "timestep"]
    assert (denoiser.dtype, denoiser.shape) == ("float32", ("batch",))


def edited(path: Path, change: Callable[[Any], object]) -> Path:
    """A changed description beside the other."""
    value = json.loads(path.read_text())
    change(value)
    other = path.with_name("edited.json")
    other.write_text(json.dumps(value))
    return other


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.pop("latent"), "expected the field 'latent'"),
        (lambda d: d["graphs"]["denoiser"].update(file="no.onnx"), r"expected the file no\.onnx, found none"),
        (
            lambda d: d["graphs"]["denoiser"]["inputs"].update(latents="x"),
            "as described, found sample, timestep, .* of 'denoiser'; correct 'x' in the description",
        ),
        (
            lambda d: d["graphs"]["denoiser"]["inputs"].pop("text_mask"),
            "correct 'encoder_mask' in the description",
        ),
        (lambda d: d["tokenizers"][0].update(max_length=0), "expected 1 to 65536 tokens, found 0"),
        (lambda d: d["sampling"].update(sampler="euler"), "found 'euler'"),
    ],
)
def test_a_wrong_description_is_refused_with_the_place(
    described: Path, change: Callable[[Any], object], message: str
) -> None:
    with pytest.raises(FewstepError, match=message):
        load(edited(described, change))


def test_numbers_of_a_described_component_are_those_of_its_graph(described: Path, tiny: Generator) -> None:
    tokens = tiny.text_to_image().tokens(["a red heart"])
    found, expected = (
        g.component("text_encoder").run(tokens)["text_states"] for g in (load(described), tiny)
    )
    np.testing.assert_allclose(found, expected, atol=1e-5)
