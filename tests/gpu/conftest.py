"""Tests that need an NVIDIA GPU: `make test-gpu`. Each skips with the reason where something is missing."""

import pytest

from fewstep.engines.cuda import Cuda
from fewstep.errors import FewstepError


@pytest.fixture(scope="session")
def cuda() -> Cuda:
    """The GPU."""
    try:
        return Cuda()
    except FewstepError as error:
        pytest.skip(str(error))
