"""The pinned packages: fetched by the real npm from a registry on this machine, checked, and read."""

import base64
import dataclasses
import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

import pytest

from fewstep.errors import FewstepError
from fewstep_distillation.data.emoji_config import Sources
from fewstep_distillation.data.glyphs import TEXTS
from fewstep_distillation.data.packages import Package, fetch, integrity, read
from fewstep_distillation.data.styles import NOTO, STYLES


class Registry(ThreadingHTTPServer):
    """The two answers of an npm registry that `npm pack` asks for: a package's versions, and a tarball."""

    def __init__(self, package: Package, tarball: bytes) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.package, self.tarball = package, tarball
        self.requests: list[str] = []

    def answer(self, path: str) -> bytes | None:
        """What stands under a path, or None."""
        self.requests.append(path)
        if path.endswith(".tgz"):
            return self.tarball
        if path != f"/{self.package.name}":
            return None
        sha512 = base64.b64encode(hashlib.sha512(self.tarball).digest()).decode()
        dist = {"tarball": f"{self.url}/{self.package.tarball}", "integrity": f"sha512-{sha512}"}
        entry = {"name": self.package.name, "version": self.package.version, "dist": dist}
        versions = {self.package.version: entry}
        return json.dumps({"name": self.package.name, "dist-tags": {}, "versions": versions}).encode()


class _Answers(BaseHTTPRequestHandler):
    server: Registry

    def do_GET(self) -> None:
        body = self.server.answer(unquote(self.path))
        self.send_response(404 if body is None else 200)
        self.send_header("Content-Length", str(len(body or b"")))
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, format: str, *args: object) -> None:
        """Keeps quiet."""


@pytest.fixture
def noto(sources: Sources) -> Package:
    """The cut package of the style noto."""
    return sources.style(NOTO.key).package


@pytest.fixture
def registry(
    noto: Package, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Registry]:
    """A registry that serves the cut package, and an npm that knows nothing but it."""
    server = Registry(noto, (cache / noto.tarball).read_bytes())
    for name, value in {
        "registry": server.url,
        "noproxy": "127.0.0.1",
        "cache": str(tmp_path / "npm-cache"),
        "userconfig": str(tmp_path / "npmrc"),
    }.items():
        monkeypatch.setenv(f"npm_config_{name}", value)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_every_package_is_pinned_by_a_sha512() -> None:
    packages = [style.package for style in STYLES] + list(vars(TEXTS).values())
    assert len(packages) == 12
    assert all(len(base64.b64decode(p.integrity.removeprefix("sha512-"))) == 64 for p in packages)


def test_npm_fetches_the_tarball_once(registry: Registry, noto: Package, tmp_path: Path) -> None:
    tarball = fetch(noto, tmp_path / "downloads")
    assert tarball == tmp_path / "downloads" / "iconify-json-noto-1.2.9.tgz"
    assert integrity(tarball) == noto.integrity
    asked = len(registry.requests)
    assert fetch(noto, tmp_path / "downloads") == tarball
    assert len(registry.requests) == asked
    assert [path.name for path in tarball.parent.iterdir()] == [tarball.name]


def test_a_damaged_download_is_fetched_again(registry: Registry, noto: Package, tmp_path: Path) -> None:
    damaged = tmp_path / noto.tarball
    damaged.write_bytes(registry.tarball[:-100])
    assert fetch(noto, tmp_path) == damaged
    assert damaged.read_bytes() == registry.tarball
    assert registry.requests


def test_another_tarball_than_the_pinned_one_is_refused(
    registry: Registry, noto: Package, cache: Path, sources: Sources, tmp_path: Path
) -> None:
    registry.tarball = (cache / sources.texts.emojilib.tarball).read_bytes()
    with pytest.raises(
        FewstepError, match=r"expected sha512-\S+ for @iconify-json/noto@1\.2\.9, found sha512-"
    ):
        fetch(noto, tmp_path / "downloads")
    assert list((tmp_path / "downloads").iterdir()) == []


def test_a_version_that_the_registry_lacks_is_named(
    registry: Registry, noto: Package, tmp_path: Path
) -> None:
    with pytest.raises(
        FewstepError, match=r"cannot download @iconify-json/noto@9\.9\.9 with npm \(ETARGET: "
    ):
        fetch(dataclasses.replace(noto, version="9.9.9"), tmp_path / "downloads")


@pytest.mark.usefixtures("no_registry")
def test_a_registry_that_is_away_is_told(noto: Package, tmp_path: Path) -> None:
    with pytest.raises(
        FewstepError, match=r"cannot download \S+ with npm \(ECONNREFUSED.*\); check the network"
    ):
        fetch(noto, tmp_path / "downloads")
    assert list((tmp_path / "downloads").iterdir()) == []


@pytest.mark.usefixtures("no_npm")
def test_a_missing_npm_is_told(noto: Package, cache: Path, tmp_path: Path) -> None:
    assert fetch(noto, cache) == cache / noto.tarball  # what is there needs no npm
    with pytest.raises(
        FewstepError, match=r"expected npm on PATH to fetch @iconify-json/noto@1\.2\.9, found none"
    ):
        fetch(noto, tmp_path / "downloads")


def test_read_gives_the_files_that_match_as_a_whole(noto: Package, cache: Path) -> None:
    files = read(cache / noto.tarball, r"(icons|chars)\.json")
    assert sorted(files) == ["chars.json", "icons.json"]
    assert json.loads(files["icons.json"])["prefix"] == "noto"


def test_read_refuses_a_damaged_tarball_and_a_missing_file(
    noto: Package, cache: Path, tmp_path: Path
) -> None:
    whole = (cache / noto.tarball).read_bytes()
    for name, content in {"cut": whole[: len(whole) // 2], "no": b"not a tarball", "none": b""}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(FewstepError, match=rf"cannot read {tmp_path}/{name}: .*; delete it"):
            read(tmp_path / name, r"icons\.json")
    with pytest.raises(FewstepError, match=r"expected a file nothing\\\.json in .*, found none"):
        read(cache / noto.tarball, r"nothing\.json")
