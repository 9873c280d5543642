"""Whether a checkpoint is still the one that an export began with."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from fewstep.errors import FewstepError
from fewstep_export.config import ExportConfig
from fewstep_models import zoo

State = tuple[int, int, int]
"""Size, time of the last change in ns, number of the file: writing a file or putting another in its place changes one."""


def watch(config: ExportConfig) -> Callable[[], None]:
    """A function that raises FewstepError once a file that the export reads is no longer as it is now."""
    before = _states(config)

    def require_unchanged() -> None:
        after = _states(config)
        changed = sorted(
            str(path) for path in before.keys() | after.keys() if before.get(path) != after.get(path)
        )
        if changed:
            raise FewstepError(
                f"expected the checkpoint to stay as it was while it is exported, found {changed[0]} changed; let whoever writes it "
                "finish, and export again"
            )

    return require_unchanged


@contextmanager
def blaming(require_unchanged: Callable[[], None]) -> Iterator[None]:
    """Whatever goes wrong in the block after the checkpoint was changed is told as that.

    Weights are mapped, not copied: a graph is no longer what torch computes, or a file ends too early.
    """
    try:
        yield
    except Exception:
        require_unchanged()
        raise


def _states(config: ExportConfig) -> Mapping[Path, State]:
    return {path: _state(path) for path in _files(config)}


def _state(path: Path) -> State:
    try:
        found = path.stat()
    except OSError:
        return (-1, -1, -1)
    return found.st_size, found.st_mtime_ns, found.st_ino


def _files(config: ExportConfig) -> Iterator[Path]:
    """Every file of the source but those that the export writes; for what is no file or folder, the zoo's, whose models share weights."""
    source = Path(config.source)
    if not source.exists() and config.source in zoo.names():
        source = zoo.FOLDER
    roots = [source, *(lora.path for lora in config.loras)]
    if config.configurations is not None:
        roots.append(config.configurations)
    if source.suffix == ".json":  # graphs that it describes lie beside it
        roots.append(source.parent)
    for root in roots:
        files = [root] if root.is_file() else (path for path in root.rglob("*") if path.is_file())
        yield from (path for path in files if not _is_output(path, config.output))


def _is_output(path: Path, output: Path) -> bool:
    """Whether a file belongs to the bundle, or to what is being written of it beside its place, when that lies within the source."""
    path, place = path.absolute(), output.parent.absolute()
    if not path.is_relative_to(place):
        return False
    name = path.relative_to(place).parts[0]
    return name == output.name or name.startswith(f".{output.name}.")
