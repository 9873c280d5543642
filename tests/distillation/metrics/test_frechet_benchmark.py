"""benchmarks/frechet_against_evaluations.py on a tiny checkpoint: its rows, and the plot that it draws of them."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.scripts import load_script

from fewstep_distillation.data.dataset import EmojiDataset
from fewstep_distillation.metrics.evaluate import Evaluator, Judges
from fewstep_distillation.metrics.generators import checkpoint_table
from fewstep_distillation.metrics.offline import Workbench
from fewstep_distillation.metrics.prompts import EvaluateConfig
from fewstep_models.checkpoint import Checkpoint
from fewstep_models.minilm import MiniLM

PATH = Path(__file__).parents[3] / "benchmarks" / "frechet_against_evaluations.py"


@pytest.fixture(scope="module")
def script() -> Any:
    return load_script(PATH)


@pytest.fixture
def bench(
    checkpoint: Checkpoint, dataset: EmojiDataset, judges: Judges, text_encoder: MiniLM, tokenizer: Path
) -> Workbench:
    return Workbench(checkpoint, Evaluator(dataset, judges), text_encoder, tokenizer, "cpu", "fp32", 6)


def test_a_row_holds_what_one_evaluation_gives(script: Any, bench: Workbench, tmp_path: Path) -> None:
    choices = [("flow-euler", 2, 1.0), ("flow-euler", 3, 1.0), ("flow-dpm++2m", 3, 1.0)]
    configs = [EvaluateConfig(12, seed) for seed in (0, 12)]
    results = list(script.measure(bench, choices, configs, {"n": 12}))
    assert [len(result["rows"]) for result in results] == [1, 2, 3, 4, 5, 6]
    rows = results[-1]["rows"]
    assert [(row["sampler"], row["evaluations"], row["guidance"]) for row in rows] == choices * 2
    assert [row["seed"] for row in rows] == [0] * 3 + [12] * 3

    generator = bench.generator(checkpoint_table(bench.checkpoint, "flow-dpm++2m", 3), 1.0)
    single = bench.evaluator.evaluate(generator, configs[0])
    assert rows[2]["frechet"] == single.generated.frechet["train"]
    assert rows[2]["text_image_r1"] == single.generated.text_image["all"].r1
    assert results[-1]["real"]["held_out_to_train"] == single.real.frechet["train"]

    result = json.loads(json.dumps(results[-1]))
    assert script.curves(result["rows"])[("flow-euler", 1.0)][3] == [rows[1]["frechet"], rows[4]["frechet"]]
    script.plot(result, tmp_path / "first.svg")
    script.plot(result, tmp_path / "again.svg")
    first = (tmp_path / "first.svg").read_text()
    assert "<svg" in first
    assert first == (tmp_path / "again.svg").read_text()


def test_the_options_have_the_settings_of_the_issue(script: Any) -> None:
    options = script.options_of(["--guidance", "3", "4.5", "--lite0", "weights.pth", "--n", "100"])
    assert options.evaluations == (4, 8, 12, 20, 28, 50)
    assert options.samplers == ["flow-euler", "flow-dpm++2m"]
    assert (options.guidance, options.lite0, options.checkpoint) == (
        [3.0, 4.5],
        Path("weights.pth"),
        "emoji-128",
    )
    facts = script.environment(options)
    assert facts["command"].startswith(
        "python benchmarks/frechet_against_evaluations.py --guidance 3 4.5 --evaluations 4 8 12"
    )
