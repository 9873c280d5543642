"""The server of a benchmark on phones: the packaged app, a job for each device, and a place for their reports."""

import hmac
import json
import secrets
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path

from fewstep.bench.browser_report import BrowserReport
from fewstep.errors import FewstepError
from fewstep.records import from_json

LIMIT = 1 << 20
"""Bytes of the largest report that is taken."""


@dataclass
class Session:
    """One run of the command: its token, what it asks of every device, and what they answered, by device.

    `job` is what `apps/web/src/bench.ts` calls a Job, without the device. `on_report` is called in the server's threads.
    """

    job: Mapping[str, object]
    on_report: Callable[[BrowserReport], None] = lambda _report: None
    token: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    reports: dict[str, BrowserReport] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def join(self) -> Mapping[str, object]:
        """The job of one more device."""
        with self._lock:
            return {"device": f"device-{next(self._numbers)}", **self.job}

    def take(self, report: BrowserReport) -> None:
        """Keeps a device's latest report."""
        with self._lock:
            self.reports[report.device] = report
        self.on_report(report)

    def admits(self, token: str) -> bool:
        """Whether it is this run's token; takes the same time for every wrong one."""
        return hmac.compare_digest(token.encode(), self.token.encode())


@contextmanager
def serve(
    folder: Path, session: Session, host: str = "", port: int = 0, tls: ssl.SSLContext | None = None
) -> Iterator[int]:
    """Serves the package in `folder` and the session until the end of the block; yields the port.

    Raises:
        OSError: the port is in use.
    """
    server = ThreadingHTTPServer(
        (host, port), lambda *request: _Handler(*request, folder=folder, session=session)
    )
    server.daemon_threads = True
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


class _Handler(SimpleHTTPRequestHandler):
    """Files with the headers that threads ask for; GET /job/TOKEN; POST /report/TOKEN."""

    def __init__(self, *request: object, folder: Path, session: Session) -> None:
        self._session = session
        super().__init__(*request, directory=str(folder))  # type: ignore[arg-type]

    def do_GET(self) -> None:
        if self.path.startswith("/job/"):
            if self._admitted("/job/"):
                self._answer(200, self._session.join())
        else:
            super().do_GET()

    def do_POST(self) -> None:
        if not self._admitted("/report/"):
            return
        try:
            length = int(self.headers.get("Content-Length", ""))
        except ValueError:
            return self._answer(411, {"error": "expected Content-Length"})
        if not 0 <= length <= LIMIT:
            return self._answer(413, {"error": f"expected at most {LIMIT} bytes"})
        try:
            report = from_json(BrowserReport, json.loads(self.rfile.read(length)), "report")
        except (FewstepError, ValueError, RecursionError) as error:
            return self._answer(400, {"error": str(error)})
        self._session.take(report)
        self._answer(200, {})

    def end_headers(self) -> None:
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        super().end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing: the terminal shows the table."""

    def _admitted(self, prefix: str) -> bool:
        if self.path.startswith(prefix) and self._session.admits(self.path.removeprefix(prefix)):
            return True
        self._answer(403, {"error": "expected the token of the running command; scan its code again"})
        return False

    def _answer(self, status: int, value: Mapping[str, object]) -> None:
        content = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
