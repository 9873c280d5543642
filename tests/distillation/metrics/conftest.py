"""Judges with random weights, and a cache of their own."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from fewstep_distillation.metrics.efficientnet import EfficientNetLite0
from fewstep_distillation.metrics.evaluate import Judges
from fewstep_distillation.metrics.features import ImageFeatures
from fewstep_distillation.metrics.image_text import ImageTextConfig, ImageTextHead
from fewstep_distillation.metrics.text import TextFeatures
from fewstep_models.minilm import MiniLM

torch.set_num_threads(1)  # the models are tiny; more threads only wait for each other on a busy machine


USER_CACHE = os.environ.get("FEWSTEP_CACHE")


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The user's cache is left alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEWSTEP_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def _real_weights(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """But slow tests find the real weights in it."""
    if request.node.get_closest_marker("slow") is None:
        return
    if USER_CACHE is None:
        monkeypatch.delenv("FEWSTEP_CACHE")
    else:
        monkeypatch.setenv("FEWSTEP_CACHE", USER_CACHE)


@pytest.fixture(scope="session")
def image_features() -> ImageFeatures:
    """The real network with random weights that keep the size of activations (He et al. 2015)."""
    torch.manual_seed(0)
    model = EfficientNetLite0()
    for module in model.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight)
    return ImageFeatures(model.eval().requires_grad_(False))


@pytest.fixture(scope="session")
def judges(image_features: ImageFeatures, text_encoder: MiniLM, tokenizer: Path) -> Judges:
    """Judges with random weights."""
    torch.manual_seed(2)
    head = ImageTextHead(ImageTextConfig(text_dim=32)).eval().requires_grad_(False)
    return Judges(image_features, TextFeatures(text_encoder, tokenizer), head)
