"""ONNX graphs to Core ML packages on any machine, and the saved package judged without a Mac."""

import contextlib
import io
import logging
import warnings

from fewstep.errors import FewstepError

# coremltools remarks on versions of torch and scikit-learn, of which nothing is used here, and on the parts that a Mac alone has
with contextlib.redirect_stderr(io.StringIO()), warnings.catch_warnings():
    warnings.simplefilter("ignore")
    try:
        import coremltools
    except ImportError as error:
        raise FewstepError(
            "expected coremltools for Core ML, found none; install fewstep with the extra [coreml]"
        ) from error

logging.getLogger(coremltools.__name__).setLevel(logging.ERROR)
