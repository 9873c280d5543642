"""A small decoder, taught the pictures of a large one (the role of TAESD, github.com/madebyollin/taesd, for the DC-AE of the zoo)."""

import dataclasses
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from fewstep.image import to_pil
from fewstep_distillation.data.dataset import EmojiDataset
from fewstep_distillation.methods.autoencoder import augment
from fewstep_distillation.perceptual import PerceptualDistance
from fewstep_distillation.pictures import composite, premultiply, save_comparison
from fewstep_distillation.recipe import DecoderRecipe
from fewstep_distillation.run_config import autocast
from fewstep_models import zoo
from fewstep_models.autoencoder import Autoencoder, Decoder
from fewstep_models.checkpoint import Checkpoint


class DecoderMethod:
    """``L1(d(z), d_T(z)) + w_p perceptual(d(z), d_T(z))`` on latents z of augmented pictures with noise, and d_T the teacher's decoder."""

    def __init__(self, recipe: DecoderRecipe) -> None:
        self.recipe = recipe
        self.checkpoint = Checkpoint.load(zoo.resolve(recipe.teacher))
        self.teacher = self.checkpoint.autoencoder
        self.config = dataclasses.replace(
            self.teacher.config, decoder_widths=recipe.widths, decoder_blocks=recipe.blocks
        )
        self.module: nn.Module = Decoder(self.config)
        self.dataset = EmojiDataset(Path(recipe.run.data))
        self.perceptual = PerceptualDistance.from_pretrained() if recipe.perceptual_weight else None

    def prepare(self, device: torch.device) -> None:
        """All training pictures as bytes on the device."""
        self.device = device
        self.images = torch.from_numpy(self.dataset.images(self.dataset.split("train"))).to(device)
        self.teacher.to(device)
        if self.perceptual is not None:
            self.perceptual.to(device)

    def loss(
        self, module: nn.Module, batch_size: int, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """One batch."""
        recipe, device = self.recipe, generator.device
        index = torch.randint(len(self.images), (batch_size,), generator=generator, device=device)
        x = augment(premultiply(self.images[index]), generator)
        with torch.no_grad(), autocast(recipe.run, device):
            z = self.teacher.encode(x).float()
            z = z + recipe.latent_noise * torch.randn(z.shape, generator=generator, device=device)
            wanted = self.teacher.decode(z).float()
        drawn = module(z)
        l1 = (drawn - wanted).abs().mean()
        if self.perceptual is None:
            return l1, {}
        background = torch.rand(batch_size, 3, 1, 1, generator=generator, device=device)
        with autocast(recipe.run, device):
            distance = self.perceptual(composite(drawn, background), composite(wanted, background))
        return l1 + recipe.perceptual_weight * distance, {"l1": l1.detach(), "perceptual": distance.detach()}

    @torch.no_grad()
    def write(self, module: nn.Module, folder: Path) -> None:
        """The teacher's checkpoint with the small decoder, and held-out pictures by both decoders."""
        small = Autoencoder(self.config).to(self.device).eval().requires_grad_(False)
        small.encoder.load_state_dict(self.teacher.encoder.state_dict())
        small.decoder.load_state_dict(module.state_dict())
        config = dataclasses.replace(
            self.checkpoint.config,
            name=self.recipe.name,
            autoencoder=self.config,
            training={**self.checkpoint.config.training, "decoder_teacher": self.checkpoint.config.name},
        )
        Checkpoint(config, small, self.checkpoint.denoiser, self.checkpoint.words).save(folder)
        self._save_sheet(small, folder / "decoded.png")

    def _save_sheet(self, small: Autoencoder, path: Path) -> None:
        """Rows of eight: what the teacher's decoder makes of a picture's latents, and below it what the small one makes."""
        held_out = self.dataset.split("zero")[:32] or self.dataset.split("train")[:32]
        z = small.encode(premultiply(torch.from_numpy(self.dataset.images(held_out)).to(self.device)))
        both = [
            np.stack([np.asarray(to_pil(picture)) for picture in decode(z).float().cpu().numpy()])
            for decode in (self.teacher.decode, small.decode)
        ]
        names = [self.dataset.rows[i].name for i in held_out]
        save_comparison(both[0], both[1], path, names, "small decoder")
