"""What the benchmark's server does about pages elsewhere, about those who hold it up, and about paths outside."""

import http.client
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.apps.bench.test_server import REPORT

from fewstep_apps.bench import limits, server
from fewstep_apps.bench.limits import Guard
from fewstep_apps.bench.server import Session, serve


@pytest.fixture
def session() -> Session:
    return Session({"runs": 1})


@pytest.fixture
def port(tmp_path: Path, session: Session) -> Iterator[int]:
    site = tmp_path / "site"
    site.mkdir()
    (site / "index.html").write_text("the app")
    (site / "parts").mkdir()
    (tmp_path / "secret").write_text("secret")
    (site / "link").symlink_to(tmp_path / "secret")
    with serve(site, session, "127.0.0.1", names=["192.168.1.2"]) as found:
        yield found


def ask(port: int, path: str, body: bytes | None = None, **headers: str) -> int:
    """The status of an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.putrequest("GET" if body is None else "POST", path, skip_host=True)
    for name, value in {"Host": f"127.0.0.1:{port}", **headers}.items():
        if value:
            connection.putheader(name, value)
    if body is not None and "Content-Length" not in headers:
        connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body)
    with connection.getresponse() as answer:
        status = answer.status
    connection.close()
    return status


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST", "192.168.1.2"])
def test_the_names_that_the_command_prints_are_answered(port: int, host: str) -> None:
    assert ask(port, "/", Host=f"{host}:{port}") == 200


@pytest.mark.parametrize(
    "host", ["evil.example:{port}", "localhost", "localhost:1", "localhost:{port}.evil.example", ""]
)
def test_another_host_name_is_refused(port: int, session: Session, host: str) -> None:
    """DNS rebinding: a page of evil.example whose name now points to this machine."""
    for path in ("/", "/index.html", f"/job/{session.token}"):
        assert ask(port, path, Host=host.format(port=port)) == 403


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://localhost:1", "http://127.0.0.1"])
def test_a_request_of_another_page_is_refused(port: int, session: Session, origin: str) -> None:
    session.join()
    body = json.dumps(REPORT).encode()
    assert ask(port, f"/report/{session.token}", body, Origin=origin) == 403
    assert ask(port, f"/report/{session.token}", body, Origin=f"http://127.0.0.1:{port}") == 200


def test_a_device_that_asked_for_no_job_is_refused(port: int, session: Session) -> None:
    body = json.dumps(REPORT).encode()
    assert ask(port, f"/report/{session.token}", body) == 409
    assert ask(port, f"/job/{session.token}") == 200
    assert ask(port, f"/report/{session.token}", body) == 200
    assert list(session.reports) == ["device-1"]


def test_there_are_so_many_jobs_and_no_more(
    port: int, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "DEVICES", 2)
    assert [ask(port, f"/job/{session.token}") for _ in range(3)] == [200, 200, 503]


@pytest.mark.parametrize(
    "path",
    [
        "/../secret",
        "/%2e%2e/secret",
        "/..%2fsecret",
        "//../secret",
        "/link",
        "/parts/",
        "/parts",
        "/..\\secret",
        "/%00",
        "/nothing",
    ],
)
def test_no_path_leads_outside_and_no_folder_is_listed(port: int, path: str) -> None:
    assert ask(port, path) == 404


@pytest.mark.parametrize("length", ["", "-1", "1, 2", "x", "1e3"])
def test_a_body_without_a_plain_length_is_refused(port: int, session: Session, length: str) -> None:
    assert ask(port, f"/report/{session.token}", b"{}", **{"Content-Length": length}) == 411


@pytest.mark.parametrize("length", [str(limits.REPORT_BYTES + 1), "9" * 30])
def test_a_body_that_is_too_long_is_refused_before_it_is_read(
    port: int, session: Session, length: str
) -> None:
    assert ask(port, f"/report/{session.token}", b"{}", **{"Content-Length": length}) == 413


def test_a_body_that_is_cut_off_is_refused(port: int, session: Session) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
        head = (
            f"POST /report/{session.token} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: 100\r\n\r\n"
        )
        client.sendall(head.encode() + b"{}")
        client.shutdown(socket.SHUT_WR)
        assert b" 400 " in client.recv(100)


def test_a_client_that_says_nothing_or_too_little_is_hung_up_on(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server._Handler, "timeout", 0.3)
    monkeypatch.setattr(server, "CONNECTION_SECONDS", 1.0)
    begin = time.monotonic()
    with (
        socket.create_connection(("127.0.0.1", port), timeout=60) as silent,
        socket.create_connection(("127.0.0.1", port), timeout=60) as slow,
    ):
        assert silent.recv(1) == b""
        with pytest.raises(OSError):
            while time.monotonic() - begin < 20:  # a byte every 0.1 s, for ever
                slow.sendall(b"G")
                time.sleep(0.1)
    assert ask(port, "/") == 200


def test_one_address_holds_so_many_connections_and_no_more(port: int) -> None:
    held = [
        socket.create_connection(("127.0.0.1", port), timeout=60) for _ in range(limits.CONNECTIONS_OF_ONE)
    ]
    with socket.create_connection(("127.0.0.1", port), timeout=60) as one_more:
        assert one_more.recv(1) == b""
    for connection in held:
        connection.close()
    end = time.monotonic() + 10
    while time.monotonic() < end:
        try:
            assert ask(port, "/") == 200
            break
        except OSError:
            time.sleep(0.05)  # until the server has noticed
    else:
        pytest.fail("the connections were not given back")


def test_a_guard_counts_connections_and_requests() -> None:
    clock = [0.0]
    guard = Guard(now=lambda: clock[0])
    assert [guard.admits_request("a") for _ in range(501)] == [True] * 500 + [False]
    assert guard.admits_request("b")
    clock[0] = 1.0
    assert [guard.admits_request("a") for _ in range(51)] == [True] * 50 + [False]
    for k in range(limits.CONNECTIONS):
        assert guard.enter(f"address {k}")
    assert not guard.enter("one more")
    guard.leave("address 0")
    assert guard.enter("one more")


def test_a_guard_remembers_so_many_addresses_and_no_more() -> None:
    guard = Guard()
    for k in range(2 * limits.ADDRESSES):
        assert guard.admits_request(str(k))
    assert len(guard._buckets) == limits.ADDRESSES
