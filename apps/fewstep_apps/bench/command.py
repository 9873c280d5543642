"""Running a benchmark on phones; the body of `fewstep bench --device web`."""

import io
import json
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import segno
from rich.console import Console
from rich.live import Live

from fewstep import atomic
from fewstep.bench.config import BenchConfig
from fewstep.bench.overview import BROWSERS, page, row_of
from fewstep.bundle import Bundle
from fewstep.errors import FewstepError
from fewstep.records import to_json
from fewstep_apps.bench import certificate
from fewstep_apps.bench.server import Session, serve
from fewstep_apps.bench.table import table
from fewstep_apps.config import PackageConfig
from fewstep_apps.web.package import package_web

SUSTAINED = 60.0
"""Seconds of drawings one after the other, to see throttling."""

_PATIENCE = 30.0  # seconds without news after which the command ends, once every device has finished

_IDLE = 1800.0  # seconds without any news after which it ends anyway

_PLAIN = (
    "Plain HTTP: browsers give such a page one thread and no WebGPU, and keep nothing for the next visit. --device web-https gives all "
    "of them after a warning; over USB, `adb reverse tcp:{port} tcp:{port}` and http://localhost:{port}/?bench=... do so without one."
)
_OWN_CERTIFICATE = (
    "The certificate is this command's own: the browser warns, and goes on if you say so; threads and WebGPU work then, offline use "
    "does not."
)


def bench_web(config: BenchConfig, json_file: str | None, html_file: Path | None) -> None:
    """Measures on phones that open the page by plain HTTP."""
    _bench(config, json_file, html_file, secure=False)


def bench_web_https(config: BenchConfig, json_file: str | None, html_file: Path | None) -> None:
    """Measures on phones that open the page by HTTPS with a certificate of its own."""
    _bench(config, json_file, html_file, secure=True)


def job(config: BenchConfig, sustained: float) -> Mapping[str, object]:
    """What every device is asked for.

    Raises:
        FewstepError: something is asked for that the page does not do.
    """
    unknown = {"--steps": config.steps, "--sampler": config.sampler, "--guidance": config.guidance}
    if found := [name for name, value in unknown.items() if value is not None]:
        raise FewstepError(
            f"expected no {found[0]} with --device web, found it; the page draws by the bundle's defaults"
        )
    examples = Bundle.open(config.bundle).manifest.prompts.examples
    return {
        "prompt": examples[0] if examples else "",
        "seed": config.seed,
        "warmup": config.warmup,
        "runs": config.runs,
        "sustained_s": sustained,
        "threads": config.threads,
        "backend": None,
    }


def _bench(config: BenchConfig, json_file: str | None, html_file: Path | None, secure: bool) -> None:
    for file in [
        *([Path(json_file)] if json_file not in (None, "-") else []),
        *([html_file] if html_file else []),
    ]:
        atomic.require_writable(file)
    console, host, news = Console(stderr=True), _address(), threading.Event()
    session = Session(job(config, SUSTAINED), on_report=lambda _report: news.set())
    with tempfile.TemporaryDirectory() as temporary:
        with console.status("packaging"):
            folder = package_web(
                PackageConfig(config.bundle, "web", Path(temporary) / "site", config.variants)
            ).output
        tls = certificate.context(host, Path(temporary)) if secure else None
        with serve(folder, session, tls=tls, names=[host]) as port:
            _invite(console, f"{'https' if secure else 'http'}://{host}:{port}/?bench={session.token}", port)
            _watch(console, session, news)
    reports = list(session.reports.values())
    done = [report for report in reports if report.state == "done"]
    value = {"format": BROWSERS, "version": 1, "reports": to_json(reports)}
    text = json.dumps(value, indent=2) + "\n"
    if html_file:
        atomic.write_bytes(html_file, page([row_of(r, "this run") for r in done]).encode())
    if json_file == "-":
        sys.stdout.write(text)
    elif json_file:
        atomic.write_bytes(Path(json_file), text.encode())


def _invite(console: Console, url: str, port: int) -> None:
    """The QR code and the address, on the terminal."""
    code = io.StringIO()
    segno.make(url, error="l").terminal(out=code, compact=True)
    console.file.write(code.getvalue())
    console.print(
        f"\nScan the code with phones in this network, or open\n{url}\n", highlight=False, soft_wrap=True
    )
    note = _OWN_CERTIFICATE if url.startswith("https") else _PLAIN.format(port=port)
    console.print(
        f"{note}\nCtrl-C ends the command; it ends by itself when all phones are done.\n",
        highlight=False,
        soft_wrap=True,
    )


def _watch(console: Console, session: Session, news: threading.Event) -> None:
    """Shows the table until all devices are done for a while, or the user ends it."""
    last = time.monotonic()
    with Live(table([]), console=console, auto_refresh=False) as live:
        try:
            while True:
                if news.wait(0.5):
                    news.clear()
                    last = time.monotonic()
                    live.update(table(list(session.reports.values())), refresh=True)
                reports = list(session.reports.values())
                done = bool(reports) and all(report.finished for report in reports)
                silent = time.monotonic() - last
                if (done and silent > _PATIENCE) or silent > _IDLE:
                    return
        except KeyboardInterrupt:
            return


def _address() -> str:
    """This machine's address in the local network; nothing is sent to find it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # an address for documentation (RFC 5737)
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])
