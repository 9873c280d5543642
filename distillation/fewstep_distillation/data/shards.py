"""Rasterises drawings in a pool of processes, into shards on disk that a later run takes up again.

A shard is one file: the sizes of its pictures as a JSON line, then the pictures. It is written whole or not at all.
"""

import contextlib
import json
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from fewstep import atomic
from fewstep.errors import FewstepError
from fewstep_distillation.data.raster import Drawing, encode, rasterise

PICTURES = 64  # in a shard: a second or two of work is what a kill can lose


@dataclass(frozen=True)
class Shard:
    """A file, and what is drawn in it: what each drawing is called in an error, and the drawing."""

    path: Path
    drawings: Sequence[tuple[str, Drawing]]


def rasterise_shards(
    drawings: Sequence[tuple[str, Drawing]],
    size: int,
    folder: Path,
    workers: int,
    on_progress: Callable[[int, int], None],
) -> list[Path]:
    """Writes the shards that `folder` lacks; returns the paths of all, in the order of the drawings.

    `on_progress` hears how many of how many pictures are there.

    Raises:
        FewstepError: a drawing cannot be rasterised, or a process of the pool died.
        OSError: a shard cannot be written.
    """
    starts = range(0, len(drawings), PICTURES)
    shards = [Shard(folder / f"{start:06}.shard", drawings[start : start + PICTURES]) for start in starts]
    missing = [shard for shard in shards if not shard.path.is_file()]
    done = len(drawings) - sum(len(shard.drawings) for shard in missing)
    on_progress(done, len(drawings))
    with contextlib.closing(_encoded(missing, size, workers)) as encoded:
        for shard, pictures in encoded:
            header = json.dumps([len(picture) for picture in pictures]).encode()
            atomic.write_bytes(shard.path, b"".join((header, b"\n", *pictures)))
            done += len(pictures)
            on_progress(done, len(drawings))
    return [shard.path for shard in shards]


def read_shard(path: Path) -> Iterator[bytes]:
    """The pictures of a shard, in order."""
    header, _, body = path.read_bytes().partition(b"\n")
    start = 0
    for size in json.loads(header):
        yield body[start : start + size]
        start += size


def encode_shard(drawings: Sequence[tuple[str, Drawing]], size: int) -> list[bytes]:
    """Lossless WebP of every drawing."""
    return [_encode(name, drawing, size) for name, drawing in drawings]


def _encode(name: str, drawing: Drawing, size: int) -> bytes:
    try:
        return encode(rasterise(drawing, size))
    except Exception as error:  # noqa: BLE001 - two native parsers, each with exceptions of its own
        raise FewstepError(
            f"cannot rasterise {name} ({type(error).__name__}: {error}); check that resvg-py and pillow are the tested versions"
        ) from None


def _encoded(shards: Sequence[Shard], size: int, workers: int) -> Generator[tuple[Shard, list[bytes]]]:
    """Shards as they get ready. One worker is this process itself."""
    if workers == 1 or len(shards) < 2:
        yield from ((shard, encode_shard(shard.drawings, size)) for shard in shards)
        return
    # Spawned, not forked: a progress display runs a thread, and a fork would copy its locks in any state.
    context = multiprocessing.get_context("spawn")
    reader, writer = context.Pipe(duplex=False)
    pool = ProcessPoolExecutor(min(workers, len(shards)), context, _start_worker, (reader,))
    try:
        futures = {pool.submit(encode_shard, shard.drawings, size): shard for shard in shards}
        for future in as_completed(futures):
            yield futures[future], future.result()
        pool.shutdown()
    except BrokenProcessPool:
        raise FewstepError(
            "a process that rasterises was killed, most likely for lack of memory; run again with fewer workers: "
            "finished pictures are kept"
        ) from None
    finally:
        writer.close()
        pool.shutdown(cancel_futures=True)
        reader.close()


def _start_worker(reader: Connection) -> None:
    """Leaves Ctrl-C to the parent, and ends when the parent closes its end of the pipe, or is killed and so closes it.

    Waiting for the pool's own way to end does not do: it first finishes what is queued, and an orderly end that is interrupted
    by a second Ctrl-C waits for ever.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(reader,), daemon=True).start()


def _end_with(reader: Connection) -> None:
    reader.poll(None)  # nothing is ever sent: it returns at the end of the pipe
    os._exit(1)
