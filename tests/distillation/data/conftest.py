"""The cut packages of tests/data/emoji-packages as tarballs in a cache, with sources that pin them, and the committed slice."""

import dataclasses
import gzip
import io
import tarfile
from pathlib import Path

import pytest

from fewstep_distillation.data.emoji_config import EmojiConfig, Sources
from fewstep_distillation.data.glyphs import TEXTS, TextPackages
from fewstep_distillation.data.packages import Package, integrity
from fewstep_distillation.data.styles import STYLES

DATA = Path(__file__).parents[2] / "data"
SLICE = DATA / "emoji-slice"
SLICE_GLYPHS = 8


def pack(folder: Path, tarball: Path) -> None:
    """Packs a folder as npm does: everything below `package/`; the same bytes every time."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as archive:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            member = tarfile.TarInfo(f"package/{path.relative_to(folder)}")
            member.size = path.stat().st_size
            archive.addfile(member, io.BytesIO(path.read_bytes()))
    tarball.write_bytes(gzip.compress(raw.getvalue(), mtime=0))


def pack_cut_packages(cache: Path) -> Sources:
    """Fills `cache` with the cut packages; the sources are the real ones, with the integrity of these tarballs."""

    def cut(package: Package) -> Package:
        tarball = cache / package.tarball
        pack(DATA / "emoji-packages" / tarball.stem, tarball)
        return dataclasses.replace(package, integrity=integrity(tarball))

    cache.mkdir(parents=True, exist_ok=True)
    styles = tuple(dataclasses.replace(style, package=cut(style.package)) for style in STYLES)
    texts = TextPackages(cut(TEXTS.emojibase), cut(TEXTS.emojilib), cut(TEXTS.emoji_mart))
    return Sources(styles, texts)


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of downloads that holds the cut packages."""
    return tmp_path_factory.mktemp("npm")


@pytest.fixture(scope="session")
def sources(cache: Path) -> Sources:
    """Sources that pin the cut packages."""
    return pack_cut_packages(cache)


@pytest.fixture
def config(sources: Sources, cache: Path, tmp_path: Path) -> EmojiConfig:
    """The glyphs of the slice, from the cut packages, in this process."""
    return EmojiConfig(tmp_path / "emoji", glyphs=SLICE_GLYPHS, workers=1, cache=cache, sources=sources)


@pytest.fixture
def no_npm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A PATH without npm."""
    monkeypatch.setenv("PATH", str(tmp_path))


@pytest.fixture
def no_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """A registry that nothing answers for: port 1 of this machine."""
    monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:1")
    monkeypatch.setenv("npm_config_noproxy", "127.0.0.1")
