"""The models that come with the project: a name is a checkpoint folder in this package."""

from pathlib import Path

from fewstep.errors import FewstepError

FOLDER = Path(__file__).parent


def names() -> list[str]:
    """Names of the shipped checkpoints."""
    return sorted(path.parent.name for path in FOLDER.glob("*/model.json"))


def resolve(source: str) -> Path:
    """The checkpoint folder of a zoo name or of a path.

    Raises:
        FewstepError: it is neither.
    """
    if source in names():
        return FOLDER / source
    path = Path(source)
    if (path / "model.json").is_file():
        return path
    found = "a folder without model.json" if path.is_dir() else "nothing by that name"
    raise FewstepError(
        f"expected a zoo name ({', '.join(names()) or 'none is installed'}) or a checkpoint folder, found {found}: {source!r}"
    )
