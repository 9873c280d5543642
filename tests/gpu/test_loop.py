"""The sampler's loop on a real GPU, as one CUDA graph, against ONNX Runtime's on the processor."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fewstep.bundle import Bundle
from fewstep.pipeline import Pipeline
from fewstep.tensorrt.config import BuildConfig
from fewstep.tensorrt.derive import Target, with_engines

pytest.importorskip("onnx_ir", reason="the extra [export] is not installed")
from fewstep_export.config import ExportConfig
from fewstep_export.exporter import export
from fewstep_export.loop_forms.config import LoopForms

PROMPTS = ("red heart, 3d style", "pizza, flat style")


@pytest.fixture(scope="module")
def fused(library: Any, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """emoji-128 with a step of the sampler in a graph."""
    folder = tmp_path_factory.mktemp("fused")
    forms = LoopForms(hoist=True, fuse_step=True)
    return Bundle.open(
        export(ExportConfig("emoji-128", folder / "x.fewstep", precisions=("fp16",), loop=forms))
    )


def test_pictures_are_those_of_the_processor(fused: Bundle, library: Any, tmp_path: Path) -> None:
    made = with_engines(fused, Target(library), tmp_path, BuildConfig(max_batch=2))
    there, here = Pipeline(made), Pipeline(fused, "fp16-hoisted-fused")
    for sampler in ("flow-dpm++2m", "flow-sde-dpm++2m"):
        table = there.step_table(4, sampler)
        right = here.generate_array(PROMPTS, [1, 2], table)
        for _ in range(3):  # plain, recorded, launched
            found = there.generate_array(PROMPTS, [1, 2], table)
            error = float(np.square(found - right).mean())
            assert 10 * np.log10(1 / error) > 30
            assert len(there.timings.calls["fused_step"]) == 1  # all rows in one call
