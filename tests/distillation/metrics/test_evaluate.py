import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from fewstep_distillation.data.captions import canonical_caption
from fewstep_distillation.data.dataset import EmojiDataset
from fewstep_distillation.metrics.copy_rate import CopyRate
from fewstep_distillation.metrics.evaluate import Evaluator, Judges
from fewstep_distillation.metrics.features import Pictures
from fewstep_distillation.metrics.generators import TorchGenerator, checkpoint_table
from fewstep_distillation.metrics.prompts import EvaluateConfig
from fewstep_distillation.metrics.retrieval import Retrieval
from fewstep_distillation.metrics.sweep import sweep
from fewstep_models.checkpoint import Checkpoint
from fewstep_models.minilm import MiniLM

CONFIG = EvaluateConfig(n=12, seed=3)


class Oracle:
    """Draws the true picture of every prompt."""

    batch_size = 5

    def __init__(self, dataset: EmojiDataset) -> None:
        self._dataset = dataset
        self._rows = {canonical_caption(row): i for i, row in enumerate(dataset.rows)}

    @property
    def facts(self) -> Mapping[str, object]:
        return {"name": "oracle"}

    def generate(self, prompts: Sequence[str], seed: int) -> Pictures:
        return self._dataset.images([self._rows[prompt] for prompt in prompts])


@pytest.fixture(scope="module")
def evaluator(dataset: EmojiDataset, judges: Judges) -> Evaluator:
    return Evaluator(dataset, judges)


@pytest.fixture(scope="module")
def torch_generator(checkpoint: Checkpoint, text_encoder: MiniLM, tokenizer: Path) -> TorchGenerator:
    table = checkpoint_table(checkpoint, None, None)
    return TorchGenerator(
        checkpoint, table, 3.0, batch_size=5, text_encoder=text_encoder, tokenizer=tokenizer
    )


def test_two_runs_give_the_same_json(
    dataset: EmojiDataset, judges: Judges, torch_generator: TorchGenerator
) -> None:
    first, second = (
        json.dumps(Evaluator(dataset, judges).evaluate(torch_generator, CONFIG).to_dict()) for _ in range(2)
    )
    assert first == second
    other = Evaluator(dataset, judges).evaluate(torch_generator, EvaluateConfig(n=12, seed=4)).to_dict()
    assert json.dumps(other["generated"]) != json.dumps(json.loads(first)["generated"])


def test_true_pictures_reach_the_ceilings(evaluator: Evaluator, dataset: EmojiDataset) -> None:
    report = evaluator.evaluate(Oracle(dataset), CONFIG)
    assert report.generated.compose is not None
    assert (report.generated.compose.r1, report.generated.compose.candidates) == (1, 10)
    for split, found in report.generated.text_image.items():
        assert found.r1 == report.real.text_image[split].r1
        assert found.similarity == pytest.approx(report.real.text_image[split].similarity, abs=1e-5)
    copies = report.generated.copies["train"]
    assert (copies.copies, copies.near_duplicates, copies.pictures) == (1, 1, 7)
    assert report.config == CONFIG
    assert sum(rate.pictures for rate in report.generated.copies.values()) == report.generated.pictures == 12


def test_noise_is_worse_than_truth(
    evaluator: Evaluator, dataset: EmojiDataset, torch_generator: TorchGenerator
) -> None:
    true, noise = (evaluator.evaluate(g, CONFIG).generated for g in (Oracle(dataset), torch_generator))
    for other in ("train", "held_out"):
        assert true.frechet[other] < noise.frechet[other]
        assert true.kernel[other].mean < noise.kernel[other].mean
    assert true.copies["train"].median_nearness > noise.copies["train"].median_nearness


def test_prompts_of_one_split_have_no_compose(evaluator: Evaluator, dataset: EmojiDataset) -> None:
    report = evaluator.evaluate(Oracle(dataset), EvaluateConfig(n=4, split="zero"))
    assert report.generated.compose is None
    assert list(report.generated.copies) == ["zero"]


def test_progress_counts_every_picture(dataset: EmojiDataset, judges: Judges) -> None:
    seen: list[tuple[str, int, int]] = []
    evaluator = Evaluator(dataset, judges, lambda *call: seen.append(call))
    evaluator.evaluate(Oracle(dataset), CONFIG)
    assert [call for call in seen if call[0] == "drawing"] == [("drawing", n, 12) for n in (5, 10, 12)]


def test_sweep_gives_what_single_evaluations_give(
    evaluator: Evaluator,
    checkpoint: Checkpoint,
    text_encoder: MiniLM,
    tokenizer: Path,
) -> None:
    table = checkpoint_table(checkpoint, "flow-euler", 2)

    def generator_at(scale: float) -> TorchGenerator:
        return TorchGenerator(checkpoint, table, scale, text_encoder=text_encoder, tokenizer=tokenizer)

    seen: list[float] = []
    result = sweep(
        evaluator, generator_at, (1.0, 4.0), CONFIG, lambda run: seen.append(run["generator"]["guidance"])
    )
    assert seen == [1.0, 4.0]
    assert (
        result["runs"][1]["generated"] == evaluator.evaluate(generator_at(4.0), CONFIG).to_dict()["generated"]
    )
    assert result["runs"][0]["generated"] != result["runs"][1]["generated"]
    assert np.isfinite(result["real"]["frechet"]["halves"])


class Shuffled(Oracle):
    """Draws the true picture of another prompt."""

    def generate(self, prompts: Sequence[str], seed: int) -> Pictures:
        order = np.random.default_rng(0).permutation(len(self._rows))
        rows = list(self._rows.values())
        other = {prompt: rows[order[k]] for k, prompt in enumerate(self._rows)}
        return self._dataset.images([other[prompt] for prompt in prompts])


def test_shuffled_captions_lower_the_score_of_unseen_pairs(
    evaluator: Evaluator, dataset: EmojiDataset
) -> None:
    """The judge of text is untrained here; tests/distillation/metrics/test_real_pictures.py asks the real one."""
    config = EvaluateConfig(n=len(dataset), seed=3)
    true, shuffled = (evaluator.evaluate(g, config).generated for g in (Oracle(dataset), Shuffled(dataset)))
    assert true.compose is not None and shuffled.compose is not None
    assert shuffled.compose.intervals["r1"][1] < true.compose.intervals["r1"][0]
    assert true.text_image["all"].queries == shuffled.text_image["all"].queries == len(dataset)


def test_every_mean_lies_in_its_interval(evaluator: Evaluator, torch_generator: TorchGenerator) -> None:
    found = evaluator.evaluate(torch_generator, CONFIG).generated
    assert found.compose is not None
    judged: list[Retrieval | CopyRate] = [*found.text_image.values(), found.compose, *found.copies.values()]
    for figures in judged:
        assert figures.intervals
        for name, (low, high) in figures.intervals.items():
            assert low <= getattr(figures, name) <= high
