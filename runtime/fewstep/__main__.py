"""Where the `fewstep` command begins, and `python -m fewstep`: with little memory even the command line cannot be loaded."""

from fewstep.guard import guarded


def main() -> None:
    """Runs the command line."""
    guarded(_run)


def _run() -> None:
    try:
        from fewstep.address_space import watch_address_space
        from fewstep.cli import build_app
    except SystemError:  # CPython's, where it forgets to say that there is no memory
        raise MemoryError from None
    watch_address_space()
    build_app()(prog_name="fewstep")


if __name__ == "__main__":
    main()
