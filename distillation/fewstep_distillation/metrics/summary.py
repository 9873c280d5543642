"""A report as a few lines for a person."""

from collections.abc import Iterator, Mapping

from fewstep_distillation.metrics.evaluate import Figures, Report
from fewstep_distillation.metrics.kernel_distance import KernelDistance
from fewstep_distillation.metrics.retrieval import Retrieval


def summary(report: Report) -> str:
    """One line a metric; real pictures stand in square brackets, 95 % intervals in round ones."""
    return "\n".join(_lines(report))


def _lines(report: Report) -> Iterator[str]:
    found, real = report.generated, report.real
    about = ", ".join(f"{key} {value}" for key, value in report.generator.items())
    yield f"{about}; {found.pictures} pictures, seed {report.config.seed}, split {report.config.split}"
    yield _distances("Frechet distance", found.frechet, real.frechet)
    yield _distances("kernel distance x 1000", _thousandfold(found.kernel), _thousandfold(real.kernel))
    for split, value in found.text_image.items():
        true = real.text_image[split]
        yield (
            f"text and image, {split} ({value.queries} among {value.candidates:.0f} names): "
            f"score {value.similarity:.3f}{_bracket(true.similarity)}, R@1 {_within(value, 'r1')}{_bracket(true.r1)}, "
            f"R@10 {value.r10:.3f}{_bracket(true.r10)}"
        )
    yield from _compose(found, real)
    for split, rate in found.copies.items():
        ceiling = real.copies.get(split)
        yield (
            f"copies, {split} ({rate.pictures}): {rate.copies:.3f}{_bracket(ceiling.copies if ceiling else None)} are nearer to "
            f"training than 95 % of unseen real pictures, {rate.near_duplicates:.3f}"
            f"{_bracket(ceiling.near_duplicates if ceiling else None)} near-duplicates in pixels"
        )


def _within(found: Retrieval, name: str) -> str:
    """A share with its 95 % interval."""
    share = f"{getattr(found, name):.3f}"
    return (
        f"{share} ({found.intervals[name][0]:.3f} to {found.intervals[name][1]:.3f})"
        if found.intervals
        else share
    )


def _bracket(value: float | None) -> str:
    return "" if value is None else f" [{value:.3f}]"


def _distances(title: str, found: Mapping[str, float], real: Mapping[str, float]) -> str:
    of_found = ", ".join(f"to {name} {value:.2f}" for name, value in found.items())
    return f"{title}: {of_found} [held-out to train {real['train']:.2f}, halves {real['halves']:.2f}]"


def _thousandfold(kernel: Mapping[str, KernelDistance]) -> Mapping[str, float]:
    return {name: value.mean * 1000 for name, value in kernel.items()}


def _compose(found: Figures, real: Figures) -> Iterator[str]:
    if found.compose is not None:
        other = f" [same glyph in another style: {real.compose.r1:.3f}]" if real.compose else ""
        yield (
            f"compose ({found.compose.queries} hidden pairs among {found.compose.candidates:.0f} pictures of the style): "
            f"R@1 {_within(found.compose, 'r1')}{other}, R@5 {found.compose.r5:.3f}"
        )
