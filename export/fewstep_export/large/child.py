"""Work in a process of its own: its memory is given back whole, its peak is known, and its death is an error and not ours."""

import multiprocessing
import os
import resource
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from time import perf_counter
from typing import Any

from fewstep.errors import FewstepError


@dataclass(frozen=True)
class Finished:
    """What a child gave back: the function's result, the most memory it held (bytes) and its time (seconds)."""

    value: Any
    peak_bytes: int
    seconds: float


def in_child(what: str, function: Callable[..., object], *arguments: object) -> Finished:
    """Runs a module-level function in a fresh process.

    Args:
        what: for messages, like "tracing denoiser".
        function: importable by name.
        *arguments: its arguments; they and its result must be picklable.

    Raises:
        FewstepError: the function raised one, or the process was killed.
        OSError: the function raised one: the disk is full, or a file cannot be read or written.
        RuntimeError: the function raised anything else; the message is its traceback.
    """
    context = multiprocessing.get_context("spawn")  # a fork of a process with threads may hang
    receiver, sender = context.Pipe(duplex=False)
    begin = perf_counter()
    process = context.Process(target=_run, args=(sender, function, arguments), daemon=True)
    process.start()
    sender.close()
    try:
        kind, value, peak = receiver.recv()
    except EOFError:
        process.join()
        raise FewstepError(_death(what, process.exitcode)) from None
    finally:
        receiver.close()
        if sys.exc_info()[0] is KeyboardInterrupt:
            process.kill()
    process.join()
    if kind == "refused":
        raise FewstepError(value)
    if kind == "lost":
        raise OSError(*value)
    if kind == "failed":
        raise RuntimeError(f"{what} failed:\n{value}")
    return Finished(value, peak, perf_counter() - begin)


def peak_bytes() -> int:
    """The most memory that this process has held (its resident set), in bytes."""
    try:  # on Linux the other way would count what the parent held when it started us
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return 1024 * int(status.partition("VmHWM:")[2].split()[0])
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else 1024 * peak


def _run(sender: Connection, function: Callable[..., object], arguments: tuple[object, ...]) -> None:
    threading.Thread(target=_die_with_parent, daemon=True).start()
    try:
        message: tuple[str, object] = ("done", function(*arguments))
    except FewstepError as error:
        message = ("refused", str(error))
    except OSError as error:
        message = ("lost", (error.errno, error.strerror, error.filename))
    except BaseException:  # noqa: BLE001 - the parent raises it again
        message = ("failed", traceback.format_exc())
    sender.send((*message, peak_bytes()))


def _die_with_parent() -> None:
    """Ends this process when the one that started it is killed: nobody would read its result, and the next run may use its folder."""
    parent = multiprocessing.parent_process()
    assert parent is not None  # this is a child
    parent.join()
    os._exit(1)


def _death(what: str, code: int | None) -> str:
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        hint = "; it probably ran out of memory" if name == "SIGKILL" else ""
        return f"expected {what} to finish, found its process killed by {name}{hint}; run again, finished stages are kept"
    return f"expected {what} to finish, found its process ended with code {code}; run again, finished stages are kept"
