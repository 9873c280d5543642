import numpy as np
import pytest

from fewstep.errors import FewstepError
from fewstep_export.activation_range import require_fp16_range
from fewstep_export.fixed_inputs import Cases
from fewstep_export.onnx_export import Graphs
from fewstep_export.session import tensors
from fewstep_export.targets.ort import to_fp16


@pytest.mark.parametrize("name", ["text_encoder", "denoiser", "decoder"])
def test_the_peak_is_that_of_a_tensor_in_fp16(name: str, graphs: Graphs, cases: Cases) -> None:
    model, feeds = graphs[name].model, [case.feeds for case in cases[name]]
    peak = require_fp16_range(model, to_fp16(model), feeds, name)
    assert peak.value == max(np.abs(tensors(model, feed)[peak.tensor]).max() for feed in feeds)


def test_values_that_come_near_the_largest_half_are_named(graphs: Graphs, cases: Cases) -> None:
    model = graphs["denoiser"].model
    large = [{**case.feeds, "latents": case.feeds["latents"] * 1e5} for case in cases["denoiser"]]
    with pytest.raises(
        FewstepError, match=r"at most 16376 for FP16, found .* of node 'patch_embed/conv2d' of denoiser"
    ):
        require_fp16_range(model, to_fp16(model), large, "denoiser")


def test_values_in_fp32_islands_may_be_large(graphs: Graphs, cases: Cases) -> None:
    """Squares inside the norms pass 1e5 here, in FP32."""
    model = graphs["denoiser"].model
    large = [{**case.feeds, "latents": case.feeds["latents"] * 1e3} for case in cases["denoiser"]]
    assert max(np.abs(value).max() for value in tensors(model, large[0]).values()) > 65504
    require_fp16_range(model, to_fp16(model), large, "denoiser")
