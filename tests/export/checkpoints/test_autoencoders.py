import json
from pathlib import Path

import diffusers
import numpy as np
import pytest
import torch

from fewstep.errors import FewstepError
from fewstep_export.checkpoints.autoencoders import Autoencoder, RgbDecoder
from fewstep_export.checkpoints.folder import Folder


def folder_with(path: Path, name: str, **config: object) -> Folder:
    """A pipeline folder that has nothing but the autoencoder's configuration."""
    (path / "vae").mkdir()
    (path / "vae/config.json").write_text(json.dumps(config))
    return Folder(path, {"vae": ["diffusers", name]})


def test_scaling_and_shift_are_those_of_the_latents(tmp_path: Path) -> None:
    config = {
        "latent_channels": 2,
        "block_out_channels": [8, 8, 8, 8],
        "scaling_factor": 0.5,
        "shift_factor": 0.1,
    }
    found = Autoencoder.read(folder_with(tmp_path, "AutoencoderKL", **config))
    assert (found.factor, found.image(64).size) == (8, 512)
    assert found.latent(64).scale == (0.5, 0.5) and found.latent(64).shift == (0.1, 0.1)
    assert found.latent(64, factor=0.5).scale == (0.25, 0.25)


def test_means_and_deviations_of_channels_go_before(tmp_path: Path) -> None:
    config = {"latent_channels": 2, "block_out_channels": [8], "scaling_factor": 0.5, "shift_factor": None}
    config |= {"latents_mean": [1.0, -1.0], "latents_std": [2.0, 4.0]}
    latent = Autoencoder.read(folder_with(tmp_path, "AutoencoderKL", **config)).latent(4)
    x_n = 3.0
    expected = [x_n * std / 0.5 + mean for std, mean in ((2.0, 1.0), (4.0, -1.0))]
    np.testing.assert_allclose(
        [x_n / s + m for s, m in zip(latent.scale, latent.shift, strict=True)], expected
    )


def test_the_tiny_autoencoder_is_read_and_decodes_into_0_to_1(tmp_path: Path) -> None:
    torch.manual_seed(0)
    tiny = diffusers.AutoencoderTiny(
        encoder_block_out_channels=(8, 8), decoder_block_out_channels=(8, 8), num_encoder_blocks=(1, 1),
        num_decoder_blocks=(1, 1),
    )  # fmt: skip
    tiny.save_pretrained(tmp_path / "vae")
    folder = Folder(tmp_path, {"vae": ["diffusers", "AutoencoderTiny"]})
    found = Autoencoder.read(folder)
    assert (found.channels, found.factor, found.latent(4).scale) == (4, 2, (1.0,) * 4)
    latents = torch.randn(2, 4, 4, 4)
    image = found.component(folder).run({"latents": latents.numpy()})["image"]
    with torch.inference_mode():
        expected = (tiny.decode(latents).sample * 0.5 + 0.5).clamp(0, 1)
    np.testing.assert_allclose(image, expected.numpy(), atol=1e-5)
    assert isinstance(found.component(folder).module, RgbDecoder)


def test_another_autoencoder_is_named(tmp_path: Path) -> None:
    with pytest.raises(FewstepError, match=r"AutoencoderKL, .*, found AutoencoderKLWan, in .*vae"):
        Autoencoder.read(folder_with(tmp_path, "AutoencoderKLWan"))
