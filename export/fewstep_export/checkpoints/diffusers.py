"""Folders of diffusers pipelines: the family is told by the class of the denoiser, everything else by configurations."""

import math
from collections.abc import Callable, Mapping

from fewstep.errors import FewstepError
from fewstep.manifest import Licence, Sampling
from fewstep.samplers import from_diffusers
from fewstep.samplers.diffusers import Options
from fewstep_export.checkpoints import (
    dit,
    flux,
    lumina2,
    pixart,
    sana,
    stable_diffusion,
    stable_diffusion_3,
    stable_diffusion_xl,
    z_image,
)
from fewstep_export.checkpoints.autoencoders import Autoencoder
from fewstep_export.checkpoints.family import Family, Source
from fewstep_export.checkpoints.folder import Folder
from fewstep_export.checkpoints.reference import PipelineReference
from fewstep_export.components import Generator

Reader = Callable[[Source], Family]
READERS: Mapping[str, Reader] = {
    "DiTTransformer2DModel": dit.read,
    "FluxTransformer2DModel": flux.read,
    "Lumina2Transformer2DModel": lumina2.read,
    "PixArtTransformer2DModel": pixart.read,
    "SD3Transformer2DModel": stable_diffusion_3.read,
    "SanaTransformer2DModel": sana.read,
    "ZImageTransformer2DModel": z_image.read,
}
"""The readers of transformers by the denoiser's class."""
_FORMER = {"ada_norm_single": "PixArtTransformer2DModel", "ada_norm_zero": "DiTTransformer2DModel"}


def load_diffusers(folder: Folder, size: int | None = None) -> Generator:
    """The model in a folder with model_index.json.

    Args:
        folder: the pipeline.
        size: side of the pictures in pixels; None takes the checkpoint's.

    Raises:
        FewstepError: the pipeline is of no known family, a part is missing or damaged, or its scheduler has no step table.
    """
    reader = _reader(folder)
    _require_scheduler(folder)
    autoencoder = Autoencoder.read(folder)
    family = reader(Source(folder, autoencoder, size))
    image = autoencoder.image(family.side)
    return Generator(
        name=folder.name,
        components=(*family.components, autoencoder.component(folder)),
        tokenizers=family.tokenizers,
        sampling=_sampling(folder, family),
        guidance=family.guidance,
        latent=autoencoder.latent(family.side, family.latent_factor),
        image=image,
        prompts=family.prompts,
        licences=(Licence("weights and tokenizers", folder.licence(), f"the authors of {folder.name}"),),
        checkpoint_sha256=folder.sha256(),
        reference=PipelineReference(folder, image.size, family.arguments),
    )


def _reader(folder: Folder) -> Reader:
    """The family's reader."""
    if folder.has("unet"):
        sized = folder.config("unet").get("addition_embed_type") == "text_time"
        return stable_diffusion_xl.read if sized else stable_diffusion.read
    name = folder.class_name("transformer")
    if name == "Transformer2DModel":  # the old name of two
        name = _FORMER.get(str(folder.config("transformer").get("norm_type")), name)
    if name not in READERS:
        raise FewstepError(
            f"expected a unet, or one of the transformers {', '.join(READERS)}, found {name}, in {folder.path}; export its "
            "denoiser with fewstep_export.checkpoints.modules"
        )
    return READERS[name]


def _require_scheduler(folder: Folder) -> None:
    """Refuses a scheduler without step table before the weights are read."""
    from_diffusers(folder.config("scheduler"), 2, Options(tokens=1))


def _in_json(value: object) -> object:
    """A field of a scheduler as a manifest can hold it: JSON has no infinite number, and `lambda_min_clipped` is one unless it is set."""
    return "-inf" if value == -math.inf else value


def _sampling(folder: Folder, family: Family) -> Sampling:
    config: Mapping[str, object] = folder.config("scheduler")
    options = Options(tokens=family.tokens)
    return Sampling(
        prediction=from_diffusers(config, family.steps, options).prediction,
        sampler=str(config["_class_name"]).removeprefix("Flax"),
        steps=family.steps,
        scheduler={key: _in_json(value) for key, value in config.items() if key != "_diffusers_version"},
        tokens=family.tokens,
        even_levels=family.even_levels,
    )
