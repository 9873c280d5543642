"""Builds the text-to-emoji data set: fetch, join, rasterise, split, write.

The same configuration gives the same bytes. A build that was stopped, however rudely, goes on where it stopped: downloads stay in
the cache, finished pictures in a folder beside the output, which is moved into place as a whole at the end.
"""

import hashlib
import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from itertools import chain
from pathlib import Path

import PIL
from PIL import features

from fewstep.errors import FewstepError
from fewstep_distillation.data.dataset import VERSION, EmojiDataset
from fewstep_distillation.data.emoji_config import EmojiConfig, Progress
from fewstep_distillation.data.folder import Counts, install_folder, write_folder
from fewstep_distillation.data.packages import fetch
from fewstep_distillation.data.pictures import Picture, list_pictures
from fewstep_distillation.data.shards import rasterise_shards, read_shard

__all__ = ["DatasetInfo", "EmojiConfig", "build"]


@dataclass(frozen=True)
class DatasetInfo:
    """A built data set: where it is, the digest of its pictures and index, and what is in it."""

    folder: Path
    digest: str
    counts: Counts

    @classmethod
    def open(cls, folder: Path) -> "DatasetInfo":
        """Reads `dataset.json`."""
        info = EmojiDataset(folder).info
        return cls(folder, info["digest"], Counts(**info["counts"]))


def build(config: EmojiConfig, on_progress: Progress = lambda what, done, total: None) -> DatasetInfo:
    """Builds the data set into `config.output`, or finds it there already.

    Raises:
        FewstepError: a package cannot be fetched, something else stands in the output's place, a drawing cannot be
            rasterised, or the disk is full.
    """
    versions = rasteriser_versions()
    _refuse_foreign_folder(config)
    partial = config.output.with_name(f".{config.output.name}.partial")
    try:
        for number, package in enumerate(config.packages):
            on_progress("fetch packages", number, len(config.packages))
            fetch(package, config.cache)
        on_progress("fetch packages", len(config.packages), len(config.packages))
        pictures = list_pictures(config)
        plan = plan_digest(pictures, config.size, versions)
        if not _is_built(config, plan):
            facts: dict[str, object] = {"versions": versions, "plan": plan}
            _build_folder(config, pictures, facts, partial, on_progress)
    except OSError as error:
        raise FewstepError(
            f"cannot build {config.output}: {error.strerror or error}: {error.filename or partial}; make room or choose "
            "another folder, then run again: what is finished is kept"
        ) from error
    return DatasetInfo.open(config.output)


def plan_digest(pictures: Sequence[Picture], size: int, versions: dict[str, str]) -> str:
    """SHA-256 of everything that decides the result: two builds with the same plan give the same bytes."""
    total = hashlib.sha256(json.dumps([VERSION, size, versions]).encode())
    for picture in pictures:
        total.update(json.dumps(picture.row).encode() + hashlib.sha256(picture.drawing.data).digest())
    return total.hexdigest()


def _build_folder(
    config: EmojiConfig,
    pictures: Sequence[Picture],
    facts: dict[str, object],
    partial: Path,
    on_progress: Progress,
) -> None:
    """Everything in `partial` that belongs to another plan is dropped first."""
    work = partial / str(facts["plan"])[:16]
    for other in partial.glob("*"):
        if other != work:
            shutil.rmtree(other)
    work.mkdir(parents=True, exist_ok=True)
    drawings = [(f"{picture.style.key} {picture.glyph.codepoints}", picture.drawing) for picture in pictures]
    shards = rasterise_shards(
        drawings, config.size, work, config.workers, lambda done, total: on_progress("rasterise", done, total)
    )
    encoded: Iterator[bytes] = chain.from_iterable(read_shard(path) for path in shards)
    write_folder(work / "staged", config, pictures, encoded, facts)
    install_folder(work / "staged", config.output)
    shutil.rmtree(partial)


def rasteriser_versions() -> dict[str, str]:
    """What the bytes depend on besides the packages: they are the same for the same versions.

    Raises:
        FewstepError: resvg-py is not installed.
    """
    try:
        resvg = version("resvg-py")
    except PackageNotFoundError:
        raise FewstepError(
            "expected resvg-py to rasterise with, found none; run `pip install fewstep[train]`"
        ) from None
    return {"resvg-py": resvg, "pillow": PIL.__version__, "libwebp": str(features.version_module("webp"))}


def _refuse_foreign_folder(config: EmojiConfig) -> None:
    output = config.output
    if (
        output.exists()
        and not (output / "dataset.json").is_file()
        and (output.is_file() or any(output.iterdir()))
    ):
        raise FewstepError(
            f"expected a data set or nothing at {output}, found something else; choose another folder with -o"
        )


def _is_built(config: EmojiConfig, plan: str) -> bool:
    """Whether this very data set stands in the output's place; another one, or a damaged one, may be replaced on demand alone."""
    if not (config.output / "dataset.json").is_file():
        return False
    try:
        if EmojiDataset(config.output, verify=True).info.get("plan") == plan:
            return True
        found = "one with other options or versions"
    except FewstepError:
        found = "a damaged one"
    if config.overwrite:
        return False
    raise FewstepError(
        f"expected no other data set at {config.output}, found {found}; choose another folder with -o, or replace it with --overwrite"
    )
