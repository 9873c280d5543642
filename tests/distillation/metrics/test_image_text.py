import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch

from fewstep.errors import FewstepError
from fewstep_distillation.metrics.image_text import WEIGHTS, ImageTextConfig, ImageTextHead
from fewstep_distillation.metrics.train_image_text import HeadTraining, Pairs, name_retrieval, train_head
from fewstep_models.checkpoint import save_weights

CONFIG = ImageTextConfig(image_dim=24, text_dim=12, hidden=64, width=32, dropout=0.1)


def planted(concepts: int, pictures: int, seed: int) -> Pairs:
    """Pictures and texts are two fixed linear views of the same concept, with noise; only the mapping can be learnt."""
    views = np.random.default_rng(0)
    to_image, to_text = views.normal(size=(8, 24)), views.normal(size=(8, 12))
    rng = np.random.default_rng(seed)
    concept = rng.normal(size=(concepts, 8)).repeat(pictures, axis=0)
    images = concept @ to_image + 0.2 * rng.normal(size=(concepts * pictures, 24))
    name = (concept @ to_text)[:, None].repeat(2, axis=1)
    name[:, 1] += 0.1 * rng.normal(size=(concepts * pictures, 12))
    return Pairs(images.astype(np.float32), name.astype(np.float32), np.arange(concepts).repeat(pictures))


def test_learns_a_planted_mapping_and_carries_it_to_unseen_concepts() -> None:
    unseen = planted(50, 3, seed=2)
    torch.manual_seed(0)
    before = name_retrieval(ImageTextHead(CONFIG).eval().requires_grad_(False), unseen)
    head = train_head(planted(200, 3, seed=1), HeadTraining(steps=300, batch_size=64, captions=1), CONFIG)
    after = name_retrieval(head, unseen)
    assert before.r1 < 0.1
    assert after.r1 > 0.7
    assert (after.queries, after.candidates) == (150, 50)


def test_training_is_repeatable() -> None:
    pairs, training = planted(20, 2, seed=1), HeadTraining(steps=5, batch_size=16, captions=1)
    first, second = (train_head(pairs, training, CONFIG).state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_loss_is_symmetric_in_image_and_text() -> None:
    config = ImageTextConfig(image_dim=12, text_dim=12, hidden=16, width=8, dropout=0.0)
    head, swapped = ImageTextHead(config), ImageTextHead(config)
    swapped.image.load_state_dict(head.text.state_dict())
    swapped.text.load_state_dict(head.image.state_dict())
    images, texts = torch.randn(2, 6, 12, generator=torch.Generator().manual_seed(0))
    assert head.loss(images, texts).item() == pytest.approx(swapped.loss(texts, images).item(), rel=1e-5)


def test_score_is_the_diagonal_of_similarity() -> None:
    head = ImageTextHead(CONFIG).eval()
    pairs = planted(10, 1, seed=0)
    texts = pairs.texts[:, 0]
    similarity = head.similarity(pairs.images, texts)
    np.testing.assert_allclose(head.score(pairs.images, texts), np.diag(similarity), atol=1e-6)
    assert np.abs(similarity).max() <= 1 + 1e-6


def test_weights_survive_the_file(tmp_path: Path) -> None:
    torch.manual_seed(0)
    head = ImageTextHead().eval().requires_grad_(False)
    save_weights(head, tmp_path / "head.safetensors")
    assert (tmp_path / "head.safetensors").stat().st_size < 1.5e6
    images, texts = torch.randn(4, 1280).numpy(), torch.randn(4, 384).numpy()
    loaded = ImageTextHead.load(tmp_path / "head.safetensors")
    np.testing.assert_allclose(loaded.score(images, texts), head.score(images, texts), atol=2e-3)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FewstepError, match=r"head\.safetensors"):
        ImageTextHead.load(tmp_path / "head.safetensors")


def test_the_shipped_head_fits_what_its_json_says() -> None:
    facts = json.loads(WEIGHTS.with_suffix(".json").read_text())
    assert facts["config"] == asdict(ImageTextConfig())
    images, texts = np.random.default_rng(0).normal(size=(2, 5, 1280)).astype(np.float32)
    assert ImageTextHead.load(WEIGHTS).similarity(images, texts[:, :384]).shape == (5, 5)
    unseen = facts["recipe_on_a_tenth_of_families_left_out"]
    assert unseen["r1"] > 20 / unseen["candidates"]  # far above chance
