"""The errors a caller of fewstep may meet; each message is one sentence that a person can act on."""


class FewstepError(Exception):
    """An input, a file or a setting that fewstep refuses; the command line prints it and exits with code 2."""


class BundleError(FewstepError):
    """A bundle that is missing a part, or whose manifest says something that cannot be."""


class IntegrityError(BundleError):
    """A bundle whose files are not the ones its manifest lists: another size, another SHA-256, or an extra file."""
