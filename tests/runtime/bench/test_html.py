"""The page of a real benchmark, read by a parser."""

import io
from base64 import b64decode
from dataclasses import replace
from html.parser import HTMLParser

from PIL import Image

from fewstep.bench.html import page
from fewstep.bench.runner import Benchmark
from fewstep.bench.units import milliseconds

VOID = {"meta", "img", "br", "hr", "link", "input"}
LOADING = {"src", "href", "srcset", "data", "action", "poster"}


class Reader(HTMLParser):
    """Collects text and the addresses that a browser would load; fails on tags that are not closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in LOADING]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data + "\n"


def read(text: str) -> Reader:
    reader = Reader()
    reader.feed(text)
    reader.close()
    assert reader.open == []
    return reader


def test_the_page_is_whole_and_loads_nothing(benchmark_of_tiny: Benchmark) -> None:
    text = page(benchmark_of_tiny)
    reader = read(text)
    assert reader.addresses
    assert all(address.startswith("data:image/png;base64,") for address in reader.addresses)
    assert not {"script", "link", "iframe", "object"} & set(reader.tags)
    for loading in ("http:", "https:", "url(", "@import"):
        assert loading not in text


def test_the_page_tells_every_variant_and_figure(benchmark_of_tiny: Benchmark) -> None:
    report, text = benchmark_of_tiny.report, read(page(benchmark_of_tiny)).text
    for v in report.variants:
        assert f"denoiser x2, {v.name}" in text
        for _, latency in v.latencies:
            assert milliseconds(latency.p90) in text
    for fact in (report.command, report.device.processor, report.device.date, "1 thread on"):
        assert fact in text


def test_the_pictures_are_those_of_the_timed_runs(benchmark_of_tiny: Benchmark) -> None:
    addresses = read(page(benchmark_of_tiny)).addresses
    drawn = [d for pictures in benchmark_of_tiny.drawn.values() for d in pictures]
    assert len(addresses) == len(drawn)
    for address, d in zip(addresses, drawn, strict=True):
        with Image.open(io.BytesIO(b64decode(address.partition(",")[2]))) as picture:
            assert picture.tobytes() == d.picture.tobytes()


def test_names_are_escaped(benchmark_of_tiny: Benchmark) -> None:
    hostile = replace(benchmark_of_tiny.report, bundle="<b>&", command="<script>")
    reader = read(page(replace(benchmark_of_tiny, report=hostile)))
    assert "fewstep bench: <b>&" in reader.text.replace("\n", "")
    assert not {"b", "script"} & set(reader.tags)
