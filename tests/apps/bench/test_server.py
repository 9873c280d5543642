"""The benchmark's server: its token, and what it refuses."""

import json
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fewstep.bench.browser_report import BrowserReport
from fewstep_apps.bench.limits import REPORT_BYTES
from fewstep_apps.bench.server import Session, serve

REPORT = {
    "format": "fewstep-web-bench",
    "version": 1,
    "device": "device-1",
    "state": "done",
    "error": None,
    "date": "2026-11-24T00:00:00.000Z",
    "browser": {"user_agent": "test", "cores": 4},
    "build": {
        "bundle": "tiny",
        "variant": "int8",
        "backend": "wasm",
        "threads": 2,
        "probe": "",
        "steps": 4,
        "load_ms": 1,
    },
    "first": {"ms": 9, "calls": {"denoiser": [2, 2]}},
    "runs": [{"ms": 5, "calls": {"denoiser": [1, 1.5]}}],
    "sustained": [[1, 5.0], [2, 6.0]],
    "battery": [0.5, 0.4],
    "memory_bytes": None,
}


@pytest.fixture
def session() -> Session:
    return Session({"runs": 1})


@pytest.fixture
def url(tmp_path: Path, session: Session) -> Iterator[str]:
    (tmp_path / "index.html").write_text("the app")
    with serve(tmp_path, session, "127.0.0.1") as port:
        yield f"http://127.0.0.1:{port}"


def ask(url: str, body: bytes | None = None) -> tuple[int, Any]:
    """The status and the JSON of an answer."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data=body), timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def test_every_device_gets_its_own_job(url: str, session: Session) -> None:
    assert [ask(f"{url}/job/{session.token}") for _ in range(2)] == [
        (200, {"device": "device-1", "runs": 1}),
        (200, {"device": "device-2", "runs": 1}),
    ]


@pytest.mark.parametrize("token", ["", "wrong", "%00"])
def test_a_wrong_token_is_refused(url: str, session: Session, token: str) -> None:
    for status, answer in (
        ask(f"{url}/job/{token}"),
        ask(f"{url}/report/{token}", json.dumps(REPORT).encode()),
    ):
        assert status == 403 and "token of the running command" in answer["error"]
    assert session.reports == {}


def test_two_runs_have_different_tokens() -> None:
    assert Session({}).token != Session({}).token


def test_a_report_is_taken_and_a_later_one_takes_its_place(url: str, session: Session) -> None:
    heard: list[BrowserReport] = []
    session.on_report = heard.append
    session.join()
    for state in ("running", "done"):
        status, _ = ask(f"{url}/report/{session.token}", json.dumps(REPORT | {"state": state}).encode())
        assert status == 200
    assert [report.state for report in heard] == ["running", "done"]
    assert session.reports["device-1"].median_ms == 5


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (b"{", 400, "Expecting"),
        (json.dumps(REPORT | {"state": "asleep"}).encode(), 400, "report.state"),
        (json.dumps(REPORT | {"runs": []}).encode(), 400, "expected a build and runs"),
        (json.dumps(REPORT | {"more": 1}).encode(), 400, "found 'more'"),
        (b" " * (REPORT_BYTES + 1), 413, "at most"),
    ],
)
def test_what_is_no_report_is_refused(
    url: str, session: Session, body: bytes, status: int, message: str
) -> None:
    found, answer = ask(f"{url}/report/{session.token}", body)
    assert found == status and message in answer["error"]
    assert session.reports == {}


def test_who_still_sends_too_much_when_refused_hears_why(url: str, session: Session) -> None:
    """A server that closes at once resets the connection under what is yet to be sent."""
    host, port = url.removeprefix("http://").split(":")
    head = f"POST /report/{session.token} HTTP/1.1\r\nHost: {host}:{port}\r\n"
    with socket.create_connection((host, int(port)), timeout=60) as client:
        client.sendall(f"{head}Content-Length: {3 * REPORT_BYTES}\r\n\r\n".encode())
        for _ in range(3):
            time.sleep(0.05)
            client.sendall(bytes(REPORT_BYTES))
        assert b" 413 " in client.recv(100)


def test_files_come_with_the_headers_that_threads_ask_for(url: str) -> None:
    with urllib.request.urlopen(f"{url}/index.html", timeout=60) as answer:
        assert answer.read() == b"the app"
        assert answer.headers["Cross-Origin-Embedder-Policy"] == "require-corp"
