"""The errors a caller of fewstep may meet; each message is one sentence that a person can act on."""

_LONGEST = 2000


class FewstepError(Exception):
    """An input, a file or a setting that fewstep refuses; the command line prints it and exits with code 2.

    What a message quotes may come from a stranger's file: it is one line of printable characters, and of bounded length.
    """

    def __init__(self, message: str) -> None:
        super().__init__(printable(message, _LONGEST))


class BundleError(FewstepError):
    """A bundle that is missing a part, or whose manifest says something that cannot be."""


class IntegrityError(BundleError):
    """A bundle whose files are not the ones its manifest lists: another size, another SHA-256, or an extra file."""


class SignatureError(BundleError):
    """A bundle that is not signed by the key that was asked for."""


class NonFiniteError(FewstepError):
    """A graph gave NaN or infinity; the message names the graph and the step."""


def printable(text: str, longest: int | None = None) -> str:
    """The text on one line, safe for a terminal: what moves the cursor or reverses text becomes "?"; cut in the middle if too long."""
    if not text.isprintable():
        joined = "\u200d"  # between the parts of an emoji
        text = "".join(c if c.isprintable() or c == joined else " " if c.isspace() else "?" for c in text)
    if longest is None or len(text) <= longest:
        return text
    return f"{text[: longest // 2]} ... {text[-longest // 2 :]}"
