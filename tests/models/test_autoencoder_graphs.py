"""The published autoencoders' decoders as ONNX graphs: portable operators, torch's pictures in FP32 and close ones in FP16."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fewstep_export.components import Component
from fewstep_export.onnx_export import export_component
from fewstep_export.session import runner
from fewstep_export.targets.ort import emulate_fp16, to_fp16
from fewstep_models.autoencoder_dc import AutoencoderDC, AutoencoderDCConfig, Stage
from fewstep_models.autoencoder_kl import AutoencoderKL, AutoencoderKLConfig
from fewstep_models.autoencoder_tiny import AutoencoderTiny, AutoencoderTinyConfig

from .conftest import operators, randomise
from .test_backbones import NOT_PORTABLE

STAGES = (Stage(8, 1), Stage(16, 1, "EfficientViTBlock", (3,)))
CONFIGS: dict[str, AutoencoderKLConfig | AutoencoderTinyConfig | AutoencoderDCConfig] = {
    "kl": AutoencoderKLConfig(widths=(8, 16), blocks=1, groups=4),
    "tiny": AutoencoderTinyConfig(width=8, encoder_blocks=(1, 1), decoder_blocks=(1, 1)),
    "dc": AutoencoderDCConfig(latent_channels=4, encoder=STAGES, decoder=STAGES, head_channels=8),
    "dc shuffled": AutoencoderDCConfig(
        latent_channels=4, encoder=STAGES, decoder=STAGES, head_channels=8, shuffle=True
    ),
}


class Decoding(nn.Module):
    """`decode` as a module."""

    def __init__(self, autoencoder: AutoencoderKL | AutoencoderTiny | AutoencoderDC) -> None:
        super().__init__()
        self.autoencoder = autoencoder

    def forward(self, latents: Tensor) -> Tensor:
        return self.autoencoder.decode(latents)


@pytest.mark.parametrize("name", CONFIGS)
def test_graph_is_portable_and_agrees_with_torch(name: str) -> None:
    component = Component("decoder", Decoding(randomise(CONFIGS[name].build())), ("latents",), ("image",))
    feeds = {"latents": torch.randn(2, 4, 4, 4, generator=torch.Generator().manual_seed(0)).numpy()}
    exported, expected = export_component(component, feeds), component.run(feeds)["image"]
    assert expected.std() > 0.05
    assert not operators(exported.model) & NOT_PORTABLE
    for model, tolerance in ((exported.model, 1e-5), (emulate_fp16(to_fp16(exported.model)), 2e-2)):
        found = runner(model)(feeds)["image"]
        assert found.shape == (2, 3, 8, 8)
        np.testing.assert_allclose(found, expected, atol=tolerance, rtol=0)
