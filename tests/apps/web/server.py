"""A plain server of static files, which counts what it is asked for and can be told to misbehave."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


@dataclass
class Server:
    """Its address; how often each path was asked for; and what goes wrong, as the number of times that it still does."""

    url: str = ""
    asked: Counter[str] = field(default_factory=Counter)
    corrupted: Counter[str] = field(default_factory=Counter)
    broken: Counter[str] = field(default_factory=Counter)
    replaced: dict[str, str] = field(default_factory=dict)
    """Paths whose content is that of another path."""
    rate: int | None = None
    """Bytes a second of a slow network."""
    _server: ThreadingHTTPServer | None = None

    def kill(self) -> None:
        """Ends it, as when the network is gone."""
        if self._server:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


@contextmanager
def serve(folder: Path) -> Iterator[Server]:
    """Serves a folder at http://localhost, a secure context, until the end of the block."""
    state = Server()

    class Handler(SimpleHTTPRequestHandler):
        protocol_version = "HTTP/1.0"

        def do_GET(self) -> None:
            path = self.path.split("?")[0].lstrip("/")
            state.asked[path] += 1
            self.path = f"/{state.replaced.get(path, path)}"
            if not (state.corrupted[path] > 0 or state.broken[path] > 0):
                super().do_GET()
                return
            content = bytearray((folder / path).read_bytes())
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if state.broken[path] > 0:
                state.broken[path] -= 1
                del content[len(content) // 2 :]  # the connection ends before what was announced
            else:
                state.corrupted[path] -= 1
                content[len(content) // 2] ^= 1
            self.wfile.write(content)

        def copyfile(self, source: Any, outputfile: Any) -> None:
            while piece := source.read(1 << 16):
                outputfile.write(piece)
                if state.rate:
                    time.sleep(len(piece) / state.rate)

        def log_message(self, format: str, *args: object) -> None:
            """Says nothing."""

    state._server = ThreadingHTTPServer(("127.0.0.1", 0), lambda *a: Handler(*a, directory=str(folder)))
    state.url = f"http://localhost:{state._server.server_port}/"
    thread = threading.Thread(target=state._server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield state
    finally:
        state.kill()
        thread.join()
