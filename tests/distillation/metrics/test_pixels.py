import numpy as np

from fewstep_distillation.metrics.pixels import pixel_codes


def test_averages_premultiplied_blocks() -> None:
    picture = np.zeros((1, 64, 64, 4), np.uint8)
    picture[0, :2, :2] = [[[255, 0, 51, 255], [255, 0, 51, 255]], [[255, 9, 9, 0], [255, 9, 9, 0]]]
    codes = pixel_codes(picture).reshape(32, 32, 4)
    np.testing.assert_allclose(codes[0, 0], [0.5, 0, 0.1, 0.5], atol=1e-6)  # the hidden colour has no weight
    assert not codes[0, 1:].any()


def test_small_pictures_are_repeated() -> None:
    picture = np.full((1, 16, 16, 4), 255, np.uint8)
    assert pixel_codes(picture).shape == (1, 4096)
    np.testing.assert_allclose(pixel_codes(picture), 1)
