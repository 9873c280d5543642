"""The tiny bundle of the runtime's tests."""

from tests.runtime.conftest import tiny_bundle

__all__ = ["tiny_bundle"]
