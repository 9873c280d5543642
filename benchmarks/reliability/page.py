"""The tables of docs/reliability.md from results/reliability.json, between lines that begin with "<!-- table" and "<!-- end".

python benchmarks/reliability/page.py
"""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from record import read

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
_FAULTS = {
    "kill": "killed by SIGKILL, half of them at a random moment and half at a random operation on files",
    "full": "disk full, from almost nothing to almost enough",
    "permission": "the folder of the bundle becomes read-only at a random operation",
    "two": "a second export to the same place",
    "changed": "the checkpoint's weights are replaced meanwhile",
}
_COMMANDS = {
    "export": "`fewstep export`, killed by SIGKILL at a random moment or a random operation on files",
    "quantize": "`fewstep quantize`, the same",
    "clock": "`fewstep export`, and the clock jumps meanwhile by an hour, ten years or to before 1970",
}


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Markdown."""
    lines = ["| " + " | ".join(map(str, row)) + " |" for row in (head, *rows)]
    return "\n".join([lines[0], "|" + "---|" * len(head), *lines[1:]])


def fuzz() -> str:
    """Inputs by reader and engine."""
    found = {engine: read(["fuzz", engine]) for engine in ("mutations", "atheris")}
    names = list(dict.fromkeys(name for engine in found.values() for name in engine))
    rows, total, wrong = [], 0, 0
    for name in names:
        entries = [engine.get(name, {}) for engine in found.values()]
        inputs = [entry.get("inputs", 0) for entry in entries]
        total, wrong = total + sum(inputs), wrong + sum(len(entry.get("findings", [])) for entry in entries)
        peak = max(entry.get("peak_bytes", 0) for entry in entries)
        rows.append(
            [
                name.replace("_", " "),
                *(f"{n:,}" for n in inputs),
                f"{entries[0].get('accepted', 0):,}",
                f"{peak / 1e6:.0f} MB",
            ]
        )
    rows.append(["all", f"**{total:,}** together", "", "", ""])
    head = ["reader", "mutations", "guided by coverage", "of the mutations were taken", "peak memory"]
    return f"{table(head, rows)}\n\nFindings that are left: {wrong}."


def export() -> str:
    """Faults and outcomes, of forks of an export."""
    return _faults("export", _FAULTS)


def commands() -> str:
    """The same, of commands as a user starts them."""
    return _faults("commands", _COMMANDS)


def _faults(part: str, names: Mapping[str, str]) -> str:
    rows = []
    for name, told in names.items():
        counts = read([part, name])
        if counts:
            said = {
                k: v
                for k, v in counts.items()
                if isinstance(v, int) and k not in ("trials", "broken", "unclear", "stuck")
            }
            outcomes = ", ".join(f"{k} {v}" for k, v in said.items())
            rows.append(
                [told, counts["trials"], outcomes, counts["broken"], counts["unclear"], counts["stuck"]]
            )
    return table(["fault", "trials", "outcomes", "broken", "unclear", "stuck"], rows)


def runtime() -> str:
    """Memory, threads, want of memory."""
    growth, memory, threads = (read(["runtime", name]) for name in ("growth", "memory", "threads"))
    rows: list[Sequence[object]] = []
    if growth:
        told = f"{growth['growth']:+.2%} at the end, {growth['largest_growth']:+.2%} at most, of {growth['resident_bytes'][0] / 1e6:.0f} MB"
        rows.append(
            [
                f"{growth['pictures']:,} pictures of {growth['variant']}: resident set after the first tenth",
                told,
            ]
        )
    if threads:
        rows.append(
            [
                f"{threads['threads']} threads share a pipeline",
                f"{threads['the same bits as alone']} of {threads['pictures']} pictures as alone",
            ]
        )
    if memory:
        counts = {
            k: v for k, v in memory.items() if isinstance(v, int) and k not in ("trials", "drawn_with_bytes")
        }
        told = ", ".join(f"{k} {v}" for k, v in counts.items())
        rows.append(
            [
                f"address space from {memory['drawn_with_bytes'] / 1e6:,.0f} MB down to nothing, {memory['trials']} limits",
                told,
            ]
        )
    return table(["", "found"], rows)


def server() -> str:
    """The load test."""
    load = read(["server", "load"])
    if not load:
        return ""
    refused = ", ".join(f"{k.partition(':')[0]} {v}" for k, v in load["refused"].items())
    rows = [
        ["uploads, of which taken", f"{load['uploads']:,}, {load['taken']:,}"],
        [
            "devices, of which the last report is there",
            f"{load['devices']}, {load['devices whose last report is there']}",
        ],
        ["clients that sent a byte a second meanwhile", load["slow clients at the same time"]],
        ["refused meanwhile", refused],
        ["an upload, median and worst", f"{load['median_ms']} ms, {load['worst_ms']} ms"],
        ["growth of the server's memory (with its clients)", f"{load['growth_bytes'] / 1e6:.1f} MB"],
    ]
    return table(["", ""], rows)


def compatibility() -> str:
    """What was installed where, and how it went."""
    rows = []
    for name, found in read(["compatibility"]).items():
        versions = ", ".join(f"{package} {version}" for package, version in found.get("versions", {}).items())
        rows.append([name, versions, found["result"]])
    return table(["what", "versions", "result"], rows)


TABLES: Mapping[str, Callable[[], str]] = {
    t.__name__: t for t in (fuzz, export, commands, runtime, server, compatibility)
}


def filled(text: str) -> str:
    """The page with its tables made anew."""
    for name, make in TABLES.items():
        before, head, rest = re.split(rf"(<!-- table {name} .*?-->\n)", text)
        text = f"{before}{head}{make()}\n<!-- end {name} -->{rest.partition(f'<!-- end {name} -->')[2]}"
    return text


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
