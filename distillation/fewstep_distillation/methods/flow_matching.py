"""Train a rectified-flow text-to-image teacher (Liu et al. 2022; Lipman et al. 2022) in the latent space of an autoencoder."""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fewstep_distillation.banks import LatentBank, TextBank, build_banks
from fewstep_distillation.data.captions import words
from fewstep_distillation.data.dataset import EmojiDataset
from fewstep_distillation.recipe import FlowMatchingRecipe
from fewstep_distillation.samples import save_samples
from fewstep_distillation.timesteps import sample_sigma
from fewstep_distillation.zoo_facts import EXAMPLES, LICENCES, STYLES
from fewstep_models.checkpoint import Checkpoint, CheckpointConfig, load_autoencoder


class FlowMatchingMethod:
    """``x = (1 - sigma) x0 + sigma noise``, loss ``|u_theta(x, 1000 sigma, text) - (noise - x0)|^2``; text is dropped now and then."""

    def __init__(self, recipe: FlowMatchingRecipe) -> None:
        self.recipe = recipe
        self.dataset = EmojiDataset(Path(recipe.run.data))
        self.autoencoder = load_autoencoder(Path(recipe.autoencoder))
        self.module: nn.Module = recipe.model.build()
        self.latents: LatentBank
        self.text: TextBank

    def prepare(self, device: torch.device) -> None:
        """Encode all pictures and captions of the training split."""
        self.device = device
        self.latents, self.text = build_banks(
            self.dataset, self.autoencoder, self.recipe.bank, self.recipe.run.seed, device
        )

    def loss(
        self, module: nn.Module, batch_size: int, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """One batch; see the class for the formula."""
        x0, states, mask = self._batch(batch_size, generator)
        sigma = sample_sigma(self.recipe.timesteps, batch_size, generator)
        noise = torch.randn(x0.shape, generator=generator, device=x0.device)
        s = sigma[:, None, None, None]
        velocity = module((1 - s) * x0 + s * noise, 1000 * sigma, states, mask)
        return F.mse_loss(velocity.float(), noise - x0), {}

    def _batch(self, batch_size: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Latents (B, C, h, w), text states (B, L, D) and masks (B, L); a dropped caption is the empty one, row 0."""
        bank, device = self.latents, generator.device
        index = torch.multinomial(bank.weights, batch_size, replacement=True, generator=generator)
        coins = torch.rand(2, batch_size, generator=generator, device=device)
        caption = bank.first[index] + (coins[0] * bank.count[index]).long()
        caption = torch.where(coins[1] < self.recipe.caption_dropout, 0, caption)
        return bank.latents[index], self.text.states[caption].float(), self.text.masks[caption]

    def write(self, module: nn.Module, folder: Path) -> None:
        """A whole checkpoint (autoencoder, denoiser, model.json) and a sheet of 64 prompts."""
        self._checkpoint(module).save(folder)
        self.sample(module, folder / "samples.png")

    @torch.no_grad()
    def sample(self, module: nn.Module, path: Path) -> None:
        """The sheet alone."""
        save_samples(self._checkpoint(module), self.dataset, path, self.recipe.run.seed, self.device)

    def _checkpoint(self, module: nn.Module) -> Checkpoint:
        recipe, rows = self.recipe, self.dataset.rows
        taught = [rows[i] for i in self.dataset.split("train")]
        config = CheckpointConfig(
            name=recipe.name,
            autoencoder=self.autoencoder.config,
            denoiser=recipe.model,
            latent=self.latents.statistics,
            styles=STYLES,
            examples=EXAMPLES,
            licences=LICENCES,
            training={
                "data_digest": self.dataset.digest,
                "method": "flow-matching",
                "timesteps": recipe.timesteps.density,
            },
        )
        return Checkpoint(config, self.autoencoder, module, words(taught))
