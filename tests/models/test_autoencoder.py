"""The autoencoder: size, shapes, shortcuts, range."""

import pytest
import torch

from fewstep_models.autoencoder import (
    Autoencoder,
    AutoencoderConfig,
    Downsample,
    Upsample,
    channel_mean,
    channel_repeat,
)


def test_default_size_is_that_of_the_issue() -> None:
    autoencoder = Autoencoder(AutoencoderConfig())
    assert sum(p.numel() for p in autoencoder.parameters()) <= 3e6
    assert sum(p.numel() for p in autoencoder.decoder.parameters()) <= 1.5e6


def test_shapes_and_range() -> None:
    autoencoder = Autoencoder(
        AutoencoderConfig(widths=(8, 8, 32), encoder_blocks=(1, 1, 1), decoder_blocks=(1, 1, 1))
    )
    z = autoencoder.encode(torch.rand(2, 4, 16, 16))
    assert z.shape == (2, 8, 4, 4)
    image = autoencoder.decode(100 * z)
    assert image.shape == (2, 4, 16, 16)
    assert image.min() >= 0
    assert image.max() <= 1


def test_channel_mean_undoes_channel_repeat() -> None:
    x = torch.randn(2, 6, 3, 3)
    torch.testing.assert_close(channel_mean(channel_repeat(x, 24), 6), x)
    torch.testing.assert_close(channel_repeat(x, 12)[:, :2], x[:, :1].expand(-1, 2, -1, -1))


def test_shortcuts_alone_keep_a_constant_picture() -> None:
    down, up = Downsample(4, 8), Upsample(8, 4)
    for module in (down, up):
        torch.nn.init.zeros_(module.conv.weight)
        assert module.conv.bias is not None
        torch.nn.init.zeros_(module.conv.bias)
    x = torch.arange(4.0)[None, :, None, None].expand(1, 4, 6, 6)
    torch.testing.assert_close(up(down(x)), x)


def test_config_names_stages_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match="one entry a stage, found 2, 1, 2"):
        AutoencoderConfig(widths=(8, 8), encoder_blocks=(1,), decoder_blocks=(1, 1))
