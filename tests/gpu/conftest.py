"""Tests that need an NVIDIA GPU: `make test-gpu`. Each skips with the reason where something is missing."""

import os
from pathlib import Path
from typing import Any

import pytest

from fewstep.bundle import Bundle
from fewstep.engines.cuda import Cuda
from fewstep.errors import FewstepError
from fewstep.tensorrt.library import load_library

BUNDLE = Path(os.environ.get("FEWSTEP_BUNDLE", "out/emoji-128-4step.fewstep"))


@pytest.fixture(scope="session")
def cuda() -> Cuda:
    """The GPU."""
    try:
        return Cuda()
    except FewstepError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def library(cuda: Cuda) -> Any:
    """TensorRT, where it runs on this GPU."""
    try:
        found = load_library()
    except FewstepError as error:
        pytest.skip(str(error))
    if found.__name__ == "tensorrt_rtx" and cuda.compute_capability == "9.0":
        pytest.skip("TensorRT-RTX runs on no GPU of compute capability 9.0")
    return found


@pytest.fixture(scope="session")
def bundle(cuda: Cuda) -> Bundle:
    """The one of `make demo`."""
    if not BUNDLE.is_dir():
        pytest.skip(f"{BUNDLE} is missing: make demo, or set FEWSTEP_BUNDLE")
    return Bundle.open(BUNDLE)
