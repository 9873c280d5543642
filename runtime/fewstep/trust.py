"""What the user of a bundle asks of it beyond being whole."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Trust:
    """Whose bundles, and with what in them.

    Args:
        public_key: a minisign public key (the line that begins with RW, or the text of its file); the manifest must be signed by it.
        operators: custom operators and functions that graphs may have, as DOMAIN::NAME.
    """

    public_key: str | None = None
    operators: frozenset[str] = frozenset()
