"""The benchmark's server under load: 1,000 uploads of 20 devices beside clients that are slow, silent, oversized, or of another page.

    python benchmarks/reliability/server_load.py --uploads 1000

Every report that was answered with 200 must be there, the last of each device with its last number, and the server's memory must not grow with
what was refused. Adds to results/reliability.json.
"""

import argparse
import http.client
import json
import resource
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from record import record
from tests.apps.bench.test_server import REPORT

from fewstep_apps.bench.limits import REPORT_BYTES
from fewstep_apps.bench.server import Session, serve

DEVICES = 20


def post(port: int, path: str, body: bytes, **headers: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("POST", path, body, {"Content-Type": "application/json", **headers})
        return connection.getresponse().status
    except OSError:
        return 0
    finally:
        connection.close()


def upload(port: int, session: Session, device: str, number: int) -> tuple[int, float]:
    """The status, and the seconds until it came; one that was asked to slow down tries again, as the page does."""
    report: dict[str, Any] = {
        **REPORT,
        "device": device,
        "memory_bytes": number,
        "browser": {"padding": "x" * 20_000},
    }
    body, begin = json.dumps(report).encode(), time.monotonic()
    for _ in range(200):
        status = post(port, f"/report/{session.token}", body)
        if status not in (0, 429):
            break
        time.sleep(0.1)
    return status, time.monotonic() - begin


def hold(port: int, session: Session, stop: threading.Event) -> None:
    """A client that sends a byte of a report every second."""
    while not stop.is_set():
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
                client.sendall(
                    f"POST /report/{session.token} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: 900000\r\n\r\n".encode()
                )
                while not stop.wait(1.0):
                    client.sendall(b" ")
        except OSError:
            stop.wait(0.1)


def disturb(port: int, session: Session, stop: threading.Event, counts: Counter[str]) -> None:
    """Requests that must be refused."""
    oversized, foreign = b" " * (REPORT_BYTES + 1), b"{}"
    while not stop.is_set():
        for name, status in (
            ("oversized", post(port, f"/report/{session.token}", oversized)),
            (
                "of another page",
                post(port, f"/report/{session.token}", foreign, Origin="http://evil.example"),
            ),
            ("of another name", post(port, f"/report/{session.token}", foreign, Host="evil.example")),
            ("without the token", post(port, "/report/wrong", foreign)),
            ("no report", post(port, f"/report/{session.token}", b"[" * 5000)),
        ):
            counts[f"{name}: {'answered 200' if status == 200 else 'refused'}"] += 1
        stop.wait(0.2)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--uploads", type=int, default=1000)
    parser.add_argument("--slow", type=int, default=16)
    parser.add_argument("--no-record", action="store_true")
    options = parser.parse_args()
    taken: Counter[str] = Counter()
    lock = threading.Lock()

    def count(report: Any) -> None:
        with lock:
            taken[report.device] += 1

    session, refused, stop = Session({"runs": 1}, on_report=count), Counter[str](), threading.Event()
    with tempfile.TemporaryDirectory() as folder, serve(Path(folder), session, "127.0.0.1") as port:
        devices = [str((session.join() or {})["device"]) for _ in range(DEVICES)]
        helpers = [threading.Thread(target=hold, args=(port, session, stop)) for _ in range(options.slow)]
        helpers.append(threading.Thread(target=disturb, args=(port, session, stop, refused)))
        for helper in helpers:
            helper.start()
        time.sleep(1)
        memory, begin = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()

        def of_device(k: int) -> list[tuple[int, float]]:
            return [upload(port, session, devices[k], number) for number in range(options.uploads // DEVICES)]

        with ThreadPoolExecutor(8) as pool:
            answers = [answer for found in pool.map(of_device, range(DEVICES)) for answer in found]
        seconds = time.monotonic() - begin
        stop.set()
        for helper in helpers:
            helper.join()
    last = options.uploads // DEVICES - 1
    figures = {
        "uploads": len(answers),
        "answered 200": sum(status == 200 for status, _ in answers),
        "taken": sum(taken.values()),
        "devices whose last report is there": sum(session.reports[d].memory_bytes == last for d in devices),
        "devices": DEVICES,
        "slow clients at the same time": options.slow,
        "seconds": round(seconds, 2),
        "median_ms": round(1000 * statistics.median(s for _, s in answers), 1),
        "worst_ms": round(1000 * max(s for _, s in answers), 1),
        "refused": dict(sorted(refused.items())),
        "growth_bytes": 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory),
    }
    print(json.dumps(figures, indent=1))
    if not options.no_record:
        record(["server", "load"], figures)
    lost = figures["answered 200"] != options.uploads or figures["taken"] != options.uploads
    sys.exit(bool(lost or any(name.endswith("200") for name in refused)))


if __name__ == "__main__":
    main()
