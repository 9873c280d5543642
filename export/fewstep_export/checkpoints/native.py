"""Checkpoints of fewstep's own: a zoo name or a folder with model.json."""

import hashlib
from pathlib import Path

from torch import Tensor, nn

from fewstep.errors import FewstepError
from fewstep.manifest import Guidance, Image, Latent, Licence, Prompts, Sampling, TokenizerFile
from fewstep.records import from_json
from fewstep_export.components import Component, Generator, TokenizerSource
from fewstep_export.vocabulary import cut_vocabulary
from fewstep_models import zoo
from fewstep_models.autoencoder import Autoencoder
from fewstep_models.checkpoint import Checkpoint, CheckpointConfig, digest
from fewstep_models.minilm import MiniLM, tokenizer_file

TEXT_ENCODER_LICENCE = Licence(
    "text encoder and tokenizer, all-MiniLM-L6-v2", "Apache-2.0", "sentence-transformers"
)


class PictureDecoder(nn.Module):
    """latents (B, C, h, w), un-normalised -> image (B, 4, H, W) in [0, 1]."""

    def __init__(self, autoencoder: Autoencoder) -> None:
        super().__init__()
        self.decoder = autoencoder.decoder

    def forward(self, latents: Tensor) -> Tensor:
        image: Tensor = self.decoder(latents)
        return image.clamp(0.0, 1.0)


def load_native(source: str, vocabulary: int | None = None) -> Generator:
    """The model of a zoo name or of a checkpoint folder, with the published text encoder.

    Args:
        source: zoo name or folder.
        vocabulary: how many of the most frequent pieces of words the text encoder keeps beside those that the model was taught; None
            keeps all.

    Raises:
        FewstepError: there is no such model, or a file is missing or damaged.
    """
    folder = zoo.resolve(source)
    encoder = MiniLM.from_pretrained()
    return build_native(Checkpoint.load(folder), digest(folder), encoder, tokenizer_file(), vocabulary)


def build_native(
    checkpoint: Checkpoint,
    checkpoint_sha256: str,
    text_encoder: MiniLM,
    tokenizer: Path,
    vocabulary: int | None = None,
) -> Generator:
    """A generator from its parts; `vocabulary` as in `load_native`.

    Raises:
        FewstepError: the checkpoint does not predict flow.
    """
    content = tokenizer.read_text(encoding="utf-8")
    if vocabulary is not None:
        cut = cut_vocabulary(content, vocabulary, checkpoint.words)
        content, text_encoder = cut.content, text_encoder.with_rows(cut.rows)
    config, size = checkpoint.config, checkpoint.config.denoiser.size
    denoiser_inputs = ("latents", "timestep", "text_states", "text_mask")
    return Generator(
        name=config.name,
        components=(
            Component("text_encoder", text_encoder, ("input_ids", "text_mask"), ("text_states",)),
            Component("denoiser", checkpoint.denoiser, denoiser_inputs, ("velocity",)),
            Component("decoder", PictureDecoder(checkpoint.autoencoder).eval(), ("latents",), ("image",)),
        ),
        tokenizers=(TokenizerSource(TokenizerFile("tokenizer.json", config.max_length), content),),
        sampling=_sampling(config),
        guidance=Guidance(config.sampling.guidance),
        latent=Latent(
            (config.denoiser.latent_channels, size, size), config.latent.scale, config.latent.shift
        ),
        image=Image(config.image_size, "RGBA", "premultiplied"),
        prompts=Prompts(config.styles, config.examples),
        licences=_licences(config),
        checkpoint_sha256=_sha256(checkpoint_sha256, text_encoder, content),
    )


def _sampling(config: CheckpointConfig) -> Sampling:
    defaults = config.sampling
    if defaults.prediction != "flow":
        raise FewstepError(
            f"expected a checkpoint that predicts flow, found '{defaults.prediction}'; use another checkpoint"
        )
    return Sampling("flow", defaults.sampler, defaults.steps, shift=defaults.shift)


def _licences(config: CheckpointConfig) -> tuple[Licence, ...]:
    given = tuple(from_json(Licence, entry, "licences of model.json") for entry in config.licences)
    told = any("MiniLM" in entry.what for entry in given)
    return given if told else (*given, TEXT_ENCODER_LICENCE)


def _sha256(checkpoint_sha256: str, text_encoder: nn.Module, tokenizer: str) -> str:
    total = hashlib.sha256(checkpoint_sha256.encode() + tokenizer.encode("utf-8"))
    for name, value in sorted(text_encoder.state_dict().items()):
        total.update(name.encode() + b"\0" + value.numpy().tobytes())
    return total.hexdigest()
