"""Train the deep-compression autoencoder on transparent pictures."""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fewstep.image import to_pil
from fewstep_distillation.data.dataset import EmojiDataset
from fewstep_distillation.perceptual import PerceptualDistance
from fewstep_distillation.pictures import composite, premultiply, save_comparison
from fewstep_distillation.recipe import AutoencoderRecipe
from fewstep_models.autoencoder import Autoencoder
from fewstep_models.checkpoint import save_autoencoder


class AutoencoderMethod:
    """``L1(x, x') + w_p perceptual(x, x') + w_z/2 mean(z^2)`` on premultiplied RGBA, ``x' = decode(encode(x) + noise)``."""

    def __init__(self, recipe: AutoencoderRecipe) -> None:
        self.recipe = recipe
        self.module: nn.Module = _NoisyAutoencoder(Autoencoder(recipe.model))
        self.dataset = EmojiDataset(Path(recipe.run.data))
        self.perceptual = PerceptualDistance.from_pretrained() if recipe.perceptual_weight else None

    def prepare(self, device: torch.device) -> None:
        """All training pictures fit on the device as bytes (11,146 take 0.7 GB)."""
        train = self.dataset.split("train")
        self.images = torch.from_numpy(self.dataset.images(train)).to(device)
        if self.perceptual is not None:
            self.perceptual.to(device)

    def loss(
        self, module: nn.Module, batch_size: int, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """One batch; see the class for the formula."""
        recipe, device = self.recipe, generator.device
        index = torch.randint(len(self.images), (batch_size,), generator=generator, device=device)
        x = augment(premultiply(self.images[index]), generator)
        factor = recipe.model.downsampling
        shape = (batch_size, recipe.model.latent_channels, x.shape[2] // factor, x.shape[3] // factor)
        noise = recipe.latent_noise * torch.randn(shape, generator=generator, device=device)
        reconstruction, z = module(x, noise)
        l1 = (reconstruction - x).abs().mean()
        energy = z.float().square().mean()
        total = l1 + recipe.latent_weight / 2 * energy
        metrics = {"l1": l1.detach(), "energy": energy.detach()}
        if self.perceptual is not None:
            background = torch.rand(batch_size, 3, 1, 1, generator=generator, device=device)
            with torch.autocast(device.type, torch.bfloat16, enabled=recipe.run.precision != "no"):
                distance = self.perceptual(composite(reconstruction, background), composite(x, background))
            total = total + recipe.perceptual_weight * distance
            metrics["perceptual"] = distance.detach()
        return total, metrics

    @torch.no_grad()
    def write(self, module: nn.Module, folder: Path) -> None:
        """``autoencoder.safetensors`` and a sheet of held-out pictures above their reconstructions."""
        autoencoder: Autoencoder = module.autoencoder  # type: ignore[assignment]
        save_autoencoder(autoencoder, folder)
        held_out = self.dataset.split("zero")[:32] or self.dataset.split("train")[:32]
        x = premultiply(torch.from_numpy(self.dataset.images(held_out)).to(next(module.parameters()).device))
        reconstructed = autoencoder.decode(autoencoder.encode(x)).cpu().numpy()
        decoded = np.stack([np.asarray(to_pil(picture)) for picture in reconstructed])
        names = [self.dataset.rows[i].name for i in held_out]
        originals = self.dataset.images(held_out)
        save_comparison(originals, decoded, folder / "reconstructions.png", names, "reconstructed")


class _NoisyAutoencoder(nn.Module):
    """The forward pass of training in one call, so that data-parallel wrappers see it: encode, add noise, decode."""

    def __init__(self, autoencoder: Autoencoder) -> None:
        super().__init__()
        self.autoencoder = autoencoder

    def forward(self, x: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        z = self.autoencoder.encode(x)
        return self.autoencoder.decoder(z + noise), z


def augment(x: Tensor, generator: torch.Generator, reach: int = 8) -> Tensor:
    """Mirror half of the batch, permute the colour channels of a fifth, shift all by up to ``reach`` pixels; (B, 4, H, W)."""
    b, _, height, width = x.shape
    coin = torch.rand(2, b, 1, 1, 1, generator=generator, device=x.device)
    x = torch.where(coin[0] < 0.5, x.flip(-1), x)
    order = [*torch.randperm(3, generator=generator, device=x.device).tolist(), 3]
    x = torch.where(coin[1] < 0.2, x[:, order], x)
    dy, dx = torch.randint(0, 2 * reach + 1, (2,), generator=generator, device=x.device).tolist()
    return F.pad(x, (reach,) * 4)[:, :, dy : dy + height, dx : dx + width]
