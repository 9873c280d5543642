"""What the text encoder's packages for Core ML make of texts that nothing was fitted to, against FP16.

    python benchmarks/coreml_texts.py out/earlier.fewstep=palette-mixed out/coreml.fewstep=palette-mixed ...

The mean over texts of the squared error of the states of tokens, relative to their squares: of 64 texts of two words of the vocabulary behind those of
the calibration, and of the model's examples in 32 other pairs of thing and style. Computed by the evaluator in float32. Writes results/coreml_texts.json.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from facts import facts

from fewstep.bundle import Bundle
from fewstep.loop_form import TEXT_ENCODER
from fewstep.network import Feeds
from fewstep_export.checkpoints import load_generator
from fewstep_export.config import ExportConfig
from fewstep_export.coreml.evaluate import Evaluator
from fewstep_export.coreml.trajectories import PICTURES, TEXTS, examples
from fewstep_quantization.calibration.texts import broad_texts

RESULT = Path(__file__).parent / "results" / "coreml_texts.json"
OTHERS, PAIRS = 64, 32


def inputs(model: str) -> dict[str, list[Feeds]]:
    """The two sets of texts as inputs of the text encoder."""
    generator = load_generator(ExportConfig(model, Path("out")))
    (tokenizer,) = generator.text_to_image().tokenizers
    words = broad_texts([tokenizer], generator.prompts.styles, TEXTS + OTHERS)[TEXTS:]
    pairs = examples(generator, 10 * PICTURES)[-PAIRS:]
    sets = {"other words": words, "other pairs": pairs}
    return {name: [dict(tokenizer.encode([text])) for text in texts] for name, texts in sets.items()}


def error(right: Evaluator, found: Evaluator, texts: Sequence[Feeds]) -> float:
    """The mean relative squared error of the states of tokens."""
    errors = []
    for feeds in texts:
        token = feeds["text_mask"][0] > 0
        a, b = (run(feeds)["text_states"][0][token] for run in (right, found))
        errors.append(float(np.square(a - b).sum() / np.square(a).sum()))
    return float(np.mean(errors))


def main(packages: Sequence[str]) -> None:
    """Measures BUNDLE=PRECISION one by one; the FP16 package of the same bundle is right."""
    found = []
    for package in packages:
        path, _, precision = package.partition("=")
        bundle = Bundle.open(Path(path))
        half, other = (
            Evaluator(
                bundle.graph(bundle.manifest.variant(f"coreml-{name}").components[TEXT_ENCODER]), "fp32"
            )
            for name in ("fp16", precision)
        )
        sets = inputs(bundle.manifest.name)
        errors = {name: error(half, other, texts) for name, texts in sets.items()}
        found.append({"bundle": Path(path).name, "precision": precision, **errors})
        print(found[-1], flush=True)
    RESULT.write_text(json.dumps({**facts("coremltools", "torch"), "packages": found}, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
