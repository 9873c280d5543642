"""Boards by name: what must be known of one to judge from afar whether a bundle fits. From the makers' data sheets."""

from dataclasses import dataclass
from typing import Literal

from fewstep.errors import FewstepError

GIB = 1 << 30


@dataclass(frozen=True)
class Board:
    """A board.

    Args:
        name: for --device.
        memory: bytes; a Jetson's GPU shares them with the processor.
        engine: what runs a bundle on it best.
        compute_capability: of its GPU, if TensorRT knows it.
    """

    name: str
    memory: int
    engine: Literal["tensorrt", "onnxruntime"]
    compute_capability: str | None = None


BOARDS = (
    Board("orin-nano-4gb", 4 * GIB, "tensorrt", "8.7"),
    Board("orin-nano-8gb", 8 * GIB, "tensorrt", "8.7"),
    Board("orin-nx-8gb", 8 * GIB, "tensorrt", "8.7"),
    Board("orin-nx-16gb", 16 * GIB, "tensorrt", "8.7"),
    Board("agx-orin-32gb", 32 * GIB, "tensorrt", "8.7"),
    Board("agx-orin-64gb", 64 * GIB, "tensorrt", "8.7"),
    Board("agx-thor-128gb", 128 * GIB, "tensorrt", "11.0"),
    Board("raspberry-pi-4-4gb", 4 * GIB, "onnxruntime"),
    Board("raspberry-pi-5-4gb", 4 * GIB, "onnxruntime"),
    Board("raspberry-pi-5-8gb", 8 * GIB, "onnxruntime"),
    Board("raspberry-pi-5-16gb", 16 * GIB, "onnxruntime"),
)


def board_named(name: str) -> Board:
    """The board of that name.

    Raises:
        FewstepError: there is none.
    """
    for board in BOARDS:
        if board.name == name:
            return board
    raise FewstepError(
        f"expected one of the boards {', '.join(board.name for board in BOARDS)}, found '{name}'; choose one"
    )
