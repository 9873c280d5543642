"""Optimisation profiles: the shapes that an engine takes, and those that its kernels are chosen for (TensorRT's manual, "Dynamic shapes")."""

from typing import Any

from fewstep.errors import FewstepError
from fewstep.sizes import Size, SizeProfile
from fewstep.tensorrt.config import BuildConfig

_BATCH, _SIDES = 0, (2, 3)  # dimensions of (B, C, h, w)
Shape = tuple[int, ...]


def add_profiles(builder: Any, network: Any, options: Any, config: BuildConfig, pixels: int) -> None:
    """Adds batches of 1 to `max_batch`, best at that of guidance, for every range of sizes; one alone for a graph of one size.

    Args:
        builder: of the library.
        network: as it was parsed; free are the batch and, where the sizes of pictures are, the sides of its latents.
        options: of the build.
        config: what is asked for.
        pixels: of the picture for a position of the latents, along a side.

    Raises:
        FewstepError: something else is free, or the library does not take a profile.
    """
    tensors = [network.get_input(i) for i in range(network.num_inputs)]
    for tensor in tensors:
        _require_known(tensor, bool(config.profiles))
    sized = any(_free_sides(tensor) for tensor in tensors)
    for size in config.profiles if sized else (None,):
        profile = builder.create_optimization_profile()
        for tensor in tensors:
            profile.set_shape(tensor.name, *_shapes(tensor, config.max_batch, size, pixels))
        if options.add_optimization_profile(profile) < 0:
            raise FewstepError(
                f"expected a profile that TensorRT takes, found one that it refuses, {size or 'of batches'}; correct --profile or --max-batch"
            )


def _shapes(tensor: Any, max_batch: int, size: SizeProfile | None, pixels: int) -> list[Shape]:
    """The smallest, best and largest shape of a tensor."""
    batches = (1, min(2, max_batch), max_batch)
    sizes: list[Size | None] = [None] * 3 if size is None else list(size.sizes())
    return [_shape(tensor.shape, batch, size, pixels) for batch, size in zip(batches, sizes, strict=True)]


def _shape(shape: Shape, batch: int, size: Size | None, pixels: int) -> Shape:
    width, height = size or (0, 0)
    free = {_BATCH: batch, _SIDES[0]: height // pixels, _SIDES[1]: width // pixels}
    return tuple(free[i] if length < 0 else length for i, length in enumerate(shape))


def _free_sides(tensor: Any) -> bool:
    return len(tensor.shape) == 4 and any(tensor.shape[i] < 0 for i in _SIDES)


def _require_known(tensor: Any, sized: bool) -> None:
    known = {_BATCH, *(_SIDES if sized and len(tensor.shape) == 4 else ())}
    other = [i for i, length in enumerate(tensor.shape) if length < 0 and i not in known]
    if other:
        raise FewstepError(
            f"expected no free dimension but the batch{' and the sides of the latents' if sized else ''}, found dimension {other[0]} "
            f"of the input '{tensor.name}'; fix it in the graph{'' if sized else ', or name the sizes of pictures by --profile'}"
        )
