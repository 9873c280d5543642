"""Eight of a bundle's examples by several of its builds, a row each, from the same noise: to be looked at.

    python benchmarks/precision_sheet.py emoji-128-4step.fewstep fp32 int8 w4 -o docs/images/int8-pictures.webp

Figures of the same builds come of int8_quality.py.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from fewstep.image import contact_sheet, to_pil
from fewstep.loop import Array
from fewstep.pipeline import Pipeline


def draw(bundle: Path, variant: str) -> Array:
    """Eight of the model's examples (8, channels, H, W), each from the noise of its own number."""
    pipeline = Pipeline(bundle, variant)
    prompts = pipeline.manifest.prompts.examples[:8]
    return np.concatenate([pipeline.generate_array([text], [seed]) for seed, text in enumerate(prompts)])


def write_sheet(file: Path, rows: Mapping[str, Array]) -> None:
    """Pictures side by side on white, a row a build."""
    pictures = [to_pil(picture) for row in rows.values() for picture in row]
    captions = [build for build, row in rows.items() for _ in row]
    sheet = contact_sheet(pictures, captions, columns=len(pictures) // len(rows))
    sheet.convert("RGB").save(file, quality=80, method=6)


def main() -> None:
    """Draws and writes the sheet."""
    parser = argparse.ArgumentParser()
    parser.add_argument("bundle", type=Path)
    parser.add_argument("variants", nargs="+")
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    write_sheet(options.output, {name: draw(options.bundle, name) for name in options.variants})


if __name__ == "__main__":
    main()
