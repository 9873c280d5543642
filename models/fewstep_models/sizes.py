"""What every configuration of a network checks."""

from typing import Any


def require_positive(config: Any, *fields: str) -> None:
    """Refuse sizes below 1.

    Raises:
        ValueError: the message names the field and the configuration.
    """
    for field in fields:
        if getattr(config, field) < 1:
            raise ValueError(
                f"{type(config).__name__}.{field} must be positive, found {getattr(config, field)}"
            )
