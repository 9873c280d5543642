"""Graphs for a program in another language, at the other end of its standard input and output."""

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from fewstep.bundle import Bundle
from fewstep.engines.onnxruntime import OnnxRuntimeEngine

Pixels = npt.NDArray[np.uint8]


def drawn(command: list[str], root: Path, variant: str) -> Pixels:
    """The picture (H, W, 4) RGBA of a program that draws with the graphs of a bundle; see android/core/Piped.kt."""
    bundle = Bundle.open(root)
    components = bundle.manifest.variant(variant).components
    engines = {name: OnnxRuntimeEngine(bundle.graph(c), c, threads=1) for name, c in components.items()}
    side = bundle.manifest.image.size
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        picture: Pixels | None = None
        while line := process.stdout.readline().decode():
            name, number, *ports = line.split()
            if name == "picture":
                argb = np.frombuffer(process.stdout.read(4 * int(number)), ">u4").reshape(side, side)
                picture = np.stack([argb >> 16 & 255, argb >> 8 & 255, argb & 255, argb >> 24], -1).astype(
                    np.uint8
                )
            else:
                shapes = {spec.name: spec.shape[1:] for spec in components[name].inputs}
                feeds = {
                    port: _read(process.stdout, kind, int(count)).reshape(
                        int(number), *map(int, shapes[port])
                    )
                    for port, kind, count in (port.split(":") for port in ports)
                }
                _answer(process.stdin, engines[name].run(feeds))
    assert process.returncode == 0 and picture is not None
    return picture


def _read(stream: IO[bytes], kind: str, count: int) -> npt.NDArray[np.generic]:
    content = np.frombuffer(stream.read(4 * count), ">i4" if kind == "i" else ">f4")
    return content.astype(np.int32 if kind == "i" else np.float32)


def _answer(stream: IO[bytes], outputs: Mapping[str, npt.NDArray[np.float32]]) -> None:
    stream.write((" ".join(f"{name}:{value.size}" for name, value in outputs.items()) + "\n").encode())
    for value in outputs.values():
        stream.write(value.astype(">f4").tobytes())
    stream.flush()
