"""The server of a benchmark on phones: the packaged app, a job for each device, and a place for their reports.

It is reached by everybody in the network, and by every page that a browser in it shows. Files are for all; jobs and reports for who has the
token; requests under another host name or of another origin for nobody; and nobody may hold it up (`fewstep_apps.bench.limits`).
"""

import hmac
import json
import secrets
import socket
import ssl
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import Any

from fewstep.bench.browser_report import BrowserReport
from fewstep.errors import FewstepError
from fewstep.records import from_json
from fewstep.strict_json import parse_json
from fewstep_apps.bench.limits import (
    CONNECTION_SECONDS,
    DEVICES,
    LINGER_BYTES,
    LINGER_SECONDS,
    REPORT_BYTES,
    SILENCE_SECONDS,
    Guard,
)

_HEADERS = {
    "Cross-Origin-Opener-Policy": "same-origin",  # with the next one what threads ask for
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",  # the address holds the token
}


@dataclass
class Session:
    """One run of the command: its token, what it asks of every device, and what they answered, by device.

    `job` is what `apps/web/src/bench.ts` calls a Job, without the device. `on_report` is called in the server's threads.
    """

    job: Mapping[str, object]
    on_report: Callable[[BrowserReport], None] = lambda _report: None
    token: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    reports: dict[str, BrowserReport] = field(default_factory=dict)
    _devices: set[str] = field(default_factory=set)
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def join(self) -> Mapping[str, object] | None:
        """The job of one more device; None if there are too many."""
        with self._lock:
            if len(self._devices) >= DEVICES:
                return None
            device = f"device-{next(self._numbers)}"
            self._devices.add(device)
            return {"device": device, **self.job}

    def take(self, report: BrowserReport) -> bool:
        """Keeps a device's latest report; False if nobody asked that device for one."""
        with self._lock:
            if report.device not in self._devices:
                return False
            self.reports[report.device] = report
        self.on_report(report)
        return True

    def admits(self, token: str) -> bool:
        """Whether it is this run's token; takes the same time for every wrong one."""
        return hmac.compare_digest(token.encode(), self.token.encode())


@contextmanager
def serve(
    folder: Path,
    session: Session,
    host: str = "",
    port: int = 0,
    tls: ssl.SSLContext | None = None,
    names: Collection[str] = (),
) -> Iterator[int]:
    """Serves the package in `folder` and the session until the end of the block; yields the port.

    Args:
        folder: of the package.
        session: of this run.
        host: the address to listen at; all of this machine by default.
        port: 0 takes a free one.
        tls: for HTTPS.
        names: host names and addresses by which browsers may ask, besides localhost and `host`.

    Raises:
        OSError: the port is in use.
    """
    server = _Server((host, port), folder, session, names)
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    """Threads that are counted, end in time, and end with the program."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(
        self, address: tuple[str, int], folder: Path, session: Session, names: Collection[str]
    ) -> None:
        self.folder, self.session, self.guard = folder.resolve(), session, Guard()
        super().__init__(address, _Handler)
        port = self.server_address[1]
        known = {"localhost", "127.0.0.1", "[::1]", *names, *([address[0]] if address[0] else [])}
        self.hosts = frozenset(f"{name}:{port}".lower() for name in known)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Takes the connection into a thread of its own, if it is not one too many."""
        if self.guard.enter(client_address[0]):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Handles it, and ends it when its time is over, whatever it waits for."""
        timer = threading.Timer(CONNECTION_SECONDS, _hang_up, [request])
        timer.daemon = True
        timer.start()
        try:
            super().process_request_thread(request, client_address)
        finally:
            timer.cancel()
            self.guard.leave(client_address[0])

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Says nothing: a connection that breaks is its client's business, and the terminal shows the table."""


def _hang_up(request: socket.socket) -> None:
    with suppress(OSError):
        request.shutdown(socket.SHUT_RDWR)


class _Handler(SimpleHTTPRequestHandler):
    """Files; GET /job/TOKEN; POST /report/TOKEN."""

    server: _Server
    timeout = SILENCE_SECONDS
    server_version, sys_version = "fewstep", ""

    def __init__(self, request: Any, client_address: Any, server: _Server) -> None:
        super().__init__(request, client_address, server, directory=str(server.folder))

    def parse_request(self) -> bool:
        """Reads the head of a request; refuses what no page of ours sends."""
        if not super().parse_request():
            return False
        host, origin = self.headers.get_all("Host", []), self.headers.get_all("Origin", [])
        if len(host) != 1 or host[0].lower() not in self.server.hosts:
            # A page elsewhere whose name was made to point here (DNS rebinding) still sends its own name.
            return self._refuse(403, "expected the address that the command prints")
        if any(one.lower().partition("://")[2] != host[0].lower() for one in origin):
            return self._refuse(403, "expected a request of the page that this command serves")
        if not self.server.guard.admits_request(self.client_address[0]):
            return self._refuse(429, "expected fewer requests a second")
        return True

    def do_GET(self) -> None:
        if not self.path.startswith("/job/"):
            super().do_GET()
        elif self._admitted("/job/"):
            job = self.server.session.join()
            self._answer(200, job) if job else self._refuse(503, f"expected at most {DEVICES} devices")

    def do_POST(self) -> None:
        if not self._admitted("/report/"):
            return
        lengths = self.headers.get_all("Content-Length", [])
        if len(lengths) != 1 or not lengths[0].isdecimal() or "Transfer-Encoding" in self.headers:
            self._refuse(411, "expected one Content-Length")
            return
        if len(lengths[0]) > 10 or int(lengths[0]) > REPORT_BYTES:
            self._refuse(413, f"expected at most {REPORT_BYTES} bytes")
            return
        try:
            report = from_json(BrowserReport, parse_json(self._body(int(lengths[0])), "report"), "report")
        except FewstepError as error:
            self._refuse(400, str(error))
            return
        if self.server.session.take(report):
            self._answer(200, {})
        else:
            self._refuse(409, "expected a device that asked for a job")

    def send_head(self) -> Any:
        """The file of a request; folders are not listed, and links out of the folder are not followed."""
        path = Path(self.translate_path(self.path))
        if path.is_dir():
            path /= "index.html"
        if not path.is_file() or not path.resolve().is_relative_to(self.server.folder):
            self.send_error(404)
            return None
        return super().send_head()

    def end_headers(self) -> None:
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing: the terminal shows the table."""

    def _body(self, length: int) -> bytes:
        data = self.rfile.read(length)
        if len(data) != length:
            raise FewstepError(f"expected {length} bytes, found {len(data)}")
        return data

    def _admitted(self, prefix: str) -> bool:
        if self.path.startswith(prefix) and self.server.session.admits(self.path.removeprefix(prefix)):
            return True
        return self._refuse(403, "expected the token of the running command; scan its code again")

    def _refuse(self, status: int, message: str) -> bool:
        self._answer(status, {"error": message})
        if self.command == "POST":
            self._linger()
        return False

    def _linger(self) -> None:
        """Reads some of a body that nobody wants: closing with bytes unread resets the connection, and the answer is lost."""
        self.connection.settimeout(LINGER_SECONDS)
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)
            left = LINGER_BYTES
            while left > 0 and (data := self.connection.recv(1 << 16)):
                left -= len(data)

    def _answer(self, status: int, value: Mapping[str, object]) -> None:
        content = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(content)
