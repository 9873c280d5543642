"""The certificate that a run makes for itself: a client that is told to trust it can check it by the address."""

import ssl
import urllib.request
from pathlib import Path

import pytest

from fewstep.errors import FewstepError
from fewstep_apps.bench.certificate import context
from fewstep_apps.bench.server import Session, serve


def test_the_server_answers_by_https_for_that_address_alone(tmp_path: Path) -> None:
    site = tmp_path / "site"
    site.mkdir()
    (site / "index.html").write_text("the app")
    session = Session({})
    with serve(site, session, "127.0.0.1", tls=context("127.0.0.1", tmp_path)) as port:
        trusting = ssl.create_default_context(cafile=tmp_path / "certificate.pem")
        with urllib.request.urlopen(
            f"https://127.0.0.1:{port}/index.html", context=trusting, timeout=60
        ) as answer:
            assert answer.read() == b"the app"
        with pytest.raises(OSError, match="certificate verify failed"):
            urllib.request.urlopen(f"https://localhost:{port}/index.html", context=trusting, timeout=60)


def test_without_openssl_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FewstepError, match="expected the command openssl"):
        context("127.0.0.1", tmp_path)
