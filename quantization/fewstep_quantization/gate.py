"""The ship gate: a build goes into a bundle if it is worth what was asked for, and says what it is worth."""

from dataclasses import dataclass

from rich.table import Table

from fewstep.errors import FewstepError
from fewstep.gate import Gate
from fewstep_quantization.config import Limits


@dataclass(frozen=True)
class Check:
    """One line of the gate: a figure, and the limit that it had to reach."""

    what: str
    found: str
    limit: str
    passed: bool


class GateError(FewstepError):
    """A build that did not reach its limits; it was not written."""

    def __init__(self, checks: list[Check]) -> None:
        failed = ", ".join(f"{c.what} {c.found} (limit {c.limit})" for c in checks if not c.passed)
        super().__init__(
            f"expected a build within the limits, found {failed}; choose other limits or another scheme, or write it with --force"
        )
        self.checks = checks


def check(gate: Gate, limits: Limits) -> list[Check]:
    """Every figure with its limit. Speed-up and PSNR count with the lower end of their intervals: what may be noise is no gain."""
    least_psnr = gate.psnr_mean if gate.psnr_interval is None else gate.psnr_interval[0]
    rows = [
        ("speed-up", gate.speedup_interval[0], limits.speedup, f"{gate.speedup:.2f}x, at least {gate.speedup_interval[0]:.2f}x", ">= {:g}x"),
        ("mean PSNR", least_psnr, limits.psnr, f"{gate.psnr_mean:.1f} dB, at least {least_psnr:.1f} dB", ">= {:g} dB"),
    ]  # fmt: skip
    checks = [
        Check(what, found, text.format(limit) if limit is not None else "", limit is None or value >= limit)
        for what, value, limit, found, text in rows
    ]
    size = f"<= {limits.size:g}" if limits.size is not None else ""
    checks.append(Check("size", f"{gate.size:.3f}", size, limits.size is None or gate.size <= limits.size))
    checks.append(Check("latent error", f"{gate.latent_error:.4f}", "", passed=True))
    checks.append(Check("worst PSNR", f"{gate.psnr:.1f} dB", "", passed=True))
    return checks + _judged(gate, limits)


def _judged(gate: Gate, limits: Limits) -> list[Check]:
    """Frechet distance and text-image score, whose limits bound how much worse each may be."""
    rows = []
    for what, limit, worse in (("frechet", limits.frechet, 1), ("text_image", limits.text_image, -1)):
        if (judgement := gate.judged.get(what)) is None:
            continue
        low, high = judgement.interval
        found = f"{judgement.build:.4g} after {judgement.reference:.4g}: {judgement.change:+.1%} ({low:+.1%} to {high:+.1%})"
        asked = "" if limit is None else f"{'<=' if worse > 0 else '>='} {worse * limit:+.1%}"
        rows.append(Check(what, found, asked, limit is None or worse * judgement.change <= limit))
    return rows


def table(checks: list[Check], title: str) -> Table:
    """The gate as a table for the terminal."""
    result = Table(title=title)
    for heading in ("figure", "found", "limit", ""):
        result.add_column(heading)
    for entry in checks:
        verdict = "" if not entry.limit else "reached" if entry.passed else "[bold]missed[/bold]"
        result.add_row(entry.what, entry.found, entry.limit, verdict)
    return result
