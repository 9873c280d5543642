"""The ends of a command: what a user can cause, and want of memory, are one sentence on standard error and exit code 2."""

import sys
from collections.abc import Callable

from fewstep.errors import FewstepError, printable


def guarded(run: Callable[[], object]) -> None:
    """Runs it; what a user can cause becomes one sentence on standard error and exit code 2."""
    try:
        run()
    except FewstepError as error:
        _fail(str(error))
    except MemoryError:
        _fail(
            "expected enough memory, found none left; close other programs, use --sequential or a smaller variant"
        )
    except ImportError as error:  # a library that is missing, broken, or finds no memory
        _fail(
            f"expected a library that loads, found none ({error}); free some memory, or install fewstep again"
        )
    except OSError as error:
        _fail(
            f"{error.strerror or error}: {error.filename or 'while reading or writing'}; nothing half-written was left"
        )


def _fail(sentence: str) -> None:
    print(f"fewstep: {printable(sentence)}", file=sys.stderr)
    sys.exit(2)
