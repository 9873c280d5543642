"""Which families draw many sizes with one graph, and which say that they have one (docs/tensorrt.md)."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import pytest

from fewstep.errors import FewstepError
from fewstep.sizes import SizeProfile
from fewstep_export.checkpoints import load_generator
from fewstep_export.config import ExportConfig
from fewstep_export.fixed_inputs import Cases, fixed_cases
from fewstep_export.onnx_export import ExportedComponent
from fewstep_export.session import runner
from fewstep_export.tensorrt.sizes import free_sizes, picture_of

MANY = ("sd1", "sdxl", "sd3", "sana", "sana_sprint")
ONE = ("pixart_alpha", "dit", "flux_dev", "lumina2", "z_image")


@pytest.fixture
def model(
    request: pytest.FixtureRequest, checkpoint: Callable[[str], Path], tiny_pipelines: ModuleType
) -> tuple[list[ExportedComponent], Cases]:
    """The components of a family with their inputs; they are exported by what is tested."""
    size = tiny_pipelines.CASES[request.param].size
    generator = load_generator(ExportConfig(str(checkpoint(request.param)), Path("x"), size=size))
    graphs = [ExportedComponent(component, onnx.ModelProto(), None) for component in generator.components]
    return graphs, fixed_cases(generator, generator.sampling.table())


def profile(cases: Cases) -> SizeProfile:
    """Half the side of the export, its side, and a quarter more of the height."""
    pixels, (side, _) = picture_of(cases)
    step = 2 * pixels
    return SizeProfile((side // 2,) * 2, (side, side), (side, side * 5 // 4 // step * step))


@pytest.mark.slow
@pytest.mark.parametrize("model", MANY, indirect=True)
def test_one_graph_is_torch_at_every_size(model: tuple[list[ExportedComponent], Cases]) -> None:
    graphs, cases = model
    sized = free_sizes(graphs, cases, (profile(cases),))
    for graph in (graph for graph in sized.graphs if "latents" in graph.component.inputs):
        run, checked = runner(graph.model), sized.cases[graph.component.name]
        assert len({case.feeds["latents"].shape[2:] for case in checked}) == 3
        for case in checked:
            for name, found in run(case.feeds).items():
                right = case.expected[name]
                assert np.abs(found - right).max() <= 1e-4 * np.abs(right).max()


@pytest.mark.slow
@pytest.mark.parametrize("model", ONE, indirect=True)
def test_a_network_of_one_size_says_so(model: tuple[list[ExportedComponent], Cases]) -> None:
    graphs, cases = model
    with pytest.raises(FewstepError, match="expected a denoiser for pictures of many sizes, found one"):
        free_sizes(graphs, cases, (profile(cases),))
