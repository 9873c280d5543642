"""The log of a training run as a picture: one panel for every value that it holds."""

import json
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

_ABSCISSA = ("step", "seconds")


def plot_log(log: Path) -> Path:
    """Write ``log.svg`` beside a ``log.jsonl`` of the trainer; values against seconds of training, those that are positive on a log scale."""
    records = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    names = [name for name in (records[-1] if records else {}) if name not in _ABSCISSA]
    matplotlib.rcParams["svg.hashsalt"] = "fewstep"
    figure = Figure(figsize=(8, 1 + 1.6 * len(names)), layout="constrained")
    for axes, name in zip(figure.subplots(max(len(names), 1), squeeze=False)[:, 0], names, strict=False):
        points = [(record["seconds"], record[name]) for record in records if name in record]
        seconds, values = zip(*points, strict=True)
        axes.plot(seconds, values, linewidth=1)
        axes.set(ylabel=name, xlabel="seconds" if name == names[-1] else "")
        if min(values) > 0:
            axes.set_yscale("log")
    path = log.with_suffix(".svg")
    figure.savefig(path, metadata={"Date": None})
    return path
