"""What the text encoder weighs over the wire, by the number of levels of its weights and by the rows of its vocabulary.

    python benchmarks/web_size.py

Writes results/web_size.json. Weights are rounded to whole multiples of a scale for each row, at most `levels` to either side, one byte each,
and gzipped as the web app's parts are; `entropy` is what an ideal coder of single bytes would need. How well the model draws with such
weights is not measured here: the ratio of signal to error of the weights alone is given.
"""

import gzip
import json
import re
from pathlib import Path

import numpy as np
import numpy.typing as npt
from facts import facts

from fewstep_models.minilm import MiniLM, tokenizer_file

RESULT = Path(__file__).parent / "results" / "web_size.json"
LEVELS = (127, 63, 31, 15, 7)
Weights = npt.NDArray[np.float32]


def figures(matrices: list[Weights], levels: int) -> dict[str, float]:
    """Megabytes gzipped and at their entropy, and decibels of signal to error."""
    packed = entropy = signal = error = 0.0
    for weights in matrices:
        scale = np.abs(weights).max(1, keepdims=True) / levels
        steps = np.rint(weights / np.where(scale == 0, 1, scale)).astype(np.int8)
        packed += len(gzip.compress(steps.tobytes(), 9))
        _, counts = np.unique(steps, return_counts=True)
        share = counts / counts.sum()
        entropy -= float((share * np.log2(share)).sum()) * steps.size / 8
        signal, error = (
            signal + float((weights**2).sum()),
            error + float(((weights - steps * scale) ** 2).sum()),
        )
    return {
        "levels": levels,
        "gzip_mb": round(packed / 1e6, 2),
        "entropy_mb": round(entropy / 1e6, 2),
        "snr_db": round(10 * np.log10(signal / error), 1),
    }


def english_rows() -> list[int]:
    """Rows of the vocabulary that a prompt in plain ASCII can reach."""
    vocabulary = json.loads(tokenizer_file().read_text(encoding="utf-8"))["model"]["vocab"]
    plain = re.compile(r"(##)?[\x21-\x7e]+")
    return sorted(
        row for piece, row in vocabulary.items() if plain.fullmatch(piece) and "[unused" not in piece
    )


def main() -> None:
    """Measures and writes."""
    state = {name: value.detach().numpy() for name, value in MiniLM.from_pretrained().state_dict().items()}
    matrices = [value for value in state.values() if value.ndim == 2]
    vocabulary = max(matrices, key=len)
    layers = [matrix for matrix in matrices if matrix is not vocabulary]
    rows = english_rows()
    parts = {"vocabulary": [vocabulary], "vocabulary, ASCII rows": [vocabulary[rows]], "layers": layers}
    value = {
        **facts("numpy", "tokenizers"),
        "rows": {"all": len(vocabulary), "ASCII": len(rows)},
        "parameters": {name: sum(int(matrix.size) for matrix in part) for name, part in parts.items()},
        "parts": {name: [figures(part, levels) for levels in LEVELS] for name, part in parts.items()},
    }
    RESULT.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
