"""Several programs in one package, such as one component at several sizes, or a model and its student: equal weights are stored once."""

from collections.abc import Mapping
from pathlib import Path

from coremltools.models.utils import MultiFunctionDescriptor, save_multifunction

from fewstep.errors import FewstepError
from fewstep_export.coreml.compress import quiet
from fewstep_export.coreml.package import read_package

OLDEST = "CoreML8"
"""The operators of iOS 18, whose Core ML is the first to know several functions; coremltools would raise older packages silently."""


def join(sources: Mapping[str, Path], path: Path) -> None:
    """Writes the packages as functions of a new one.

    Args:
        sources: folders NAME.mlpackage for iOS 18 by function; the first is the one that runs if none is named.
        path: of the new folder NAME.mlpackage.

    Raises:
        FewstepError: there is none, or one is for iOS 17.
    """
    if not sources:
        raise FewstepError("expected a package for each function, found none; name one")
    descriptor = MultiFunctionDescriptor()
    for name, source in sources.items():
        opset = read_package(source).opset
        if opset < OLDEST:
            raise FewstepError(
                f"expected packages for iOS 18 in a package of several functions, found {opset}, in {source}; "
                "convert it with --min-target iOS18"
            )
        descriptor.add_function(str(source), src_function_name="main", target_function_name=name)
    descriptor.default_function_name = next(iter(sources))
    with quiet():
        save_multifunction(descriptor, str(path))
