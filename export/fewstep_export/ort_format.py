"""ONNX graphs to ONNX Runtime's own format, for builds of the runtime that hold only the operators in use."""

import contextlib
import io
import logging
import warnings
from pathlib import Path

from fewstep.errors import FewstepError

OPERATORS_CONFIG = "required_operators.config"


def convert_folder(onnx_folder: Path, ort_folder: Path) -> list[Path]:
    """Writes NAME.ort for every NAME.onnx of a folder, and `required_operators.config` for ONNX Runtime's build script.

    Graphs are optimised before saving ("fixed" style), but for the blocked layouts of the CPU at hand, which no phone has.
    It works without network and leaves no other file. ONNX Runtime writes one table of a .ort file in the order of its hash map, so
    that two conversions hold the same but differ in bytes.

    Raises:
        FewstepError: a graph cannot be converted, or the files cannot be written.
    """
    from onnxruntime.tools.convert_onnx_models_to_ort import OptimizationStyle, convert_onnx_models_to_ort

    logging.getLogger("ort_format_model.utils").setLevel(
        logging.WARNING
    )  # it tells every file that it writes
    ort_folder.mkdir(parents=True, exist_ok=True)
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", ResourceWarning
            )  # the converter leaves closing its files to Python
            convert_onnx_models_to_ort(onnx_folder, ort_folder, [OptimizationStyle.Fixed])
        _drop_paths(ort_folder / OPERATORS_CONFIG)
    except Exception as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise FewstepError(
            f"expected .ort files in {ort_folder.name}, found an error ({lines[0][:200]}); check the free space of the disk"
        ) from error
    return sorted(ort_folder.iterdir())


def _drop_paths(config: Path) -> None:
    """Leaves the operators; the comments hold paths of this machine."""
    lines = config.read_text(encoding="utf-8").splitlines(keepends=True)
    config.write_text("".join(line for line in lines if not line.startswith("#")), encoding="utf-8")
