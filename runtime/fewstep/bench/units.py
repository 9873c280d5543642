"""Figures for people: milliseconds, megabytes, per cent."""


def milliseconds(seconds: float) -> str:
    """Seconds as milliseconds with three figures or all whole ones, like "8.20" or "1358"."""
    value = 1e3 * seconds
    return f"{value:.0f}" if value >= 100 else f"{value:#.3g}"


def megabytes(size: int | None) -> str:
    """Bytes as megabytes of 10^6 bytes, like "138.7"; "unknown" if there is no figure."""
    return "unknown" if size is None else f"{size / 1e6:.1f}"


def percent(share: float) -> str:
    """A share of 1 in per cent, like "0.54 %"."""
    return f"{100 * share:.2f} %"
