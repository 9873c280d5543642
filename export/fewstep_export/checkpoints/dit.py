"""DiT on classes: no text encoder; a prompt is the name of a class, and the empty one no class."""

from collections.abc import Mapping, Sequence

import tokenizers
import torch
from torch import Tensor, nn

from fewstep.errors import FewstepError
from fewstep.manifest import Guidance, Prompts, TokenizerFile
from fewstep_export.checkpoints.family import Defaults, Family, Source
from fewstep_export.checkpoints.folder import Folder
from fewstep_export.components import Component, TokenizerSource

CLASSES = "classes.json"


class ClassDiT(nn.Module):
    """The noise (B, C, h, w) of latents, timestep and the class's name, input_ids (B, 1); the predicted variance is left out.

    Args:
        transformer: DiT.
        classes: the class of every word of the tokenizer; a class may have several names.
    """

    def __init__(self, transformer: nn.Module, classes: Sequence[int]) -> None:
        super().__init__()
        self.transformer = transformer
        self.register_buffer("classes", torch.tensor(classes), persistent=False)

    def forward(self, latents: Tensor, timestep: Tensor, input_ids: Tensor) -> Tensor:
        labels = self.get_buffer("classes")[input_ids[:, 0].long()]
        output: Tensor = self.transformer(latents, timestep=timestep, class_labels=labels, return_dict=False)[
            0
        ]
        return output[:, : latents.shape[1]]


def read(source: Source) -> Family:
    """A class-conditional DiT pipeline.

    Raises:
        FewstepError: a part is missing or damaged, or another size is asked for than the model has.
    """
    folder, config = source.folder, source.folder.config("transformer")
    side = int(config["sample_size"])
    if source.autoencoder.side(source.size, side) != side:
        raise FewstepError(
            f"expected the size {side * source.autoencoder.factor}, the only one of a DiT, found {source.size}; leave out --size"
        )
    count = int(config["num_embeds_ada_norm"])
    classes = class_numbers(folder, count)
    denoiser = ClassDiT(folder.module("transformer"), [*classes.values(), count]).eval()
    defaults = Defaults("DiTPipeline")
    return Family(
        (Component("denoiser", denoiser, ("latents", "timestep", "input_ids"), ("prediction",)),),
        (class_tokenizer(list(classes)),),
        side,
        Guidance(defaults.guidance),
        defaults.steps,
        prompts=Prompts(examples=_examples(classes)),
        arguments=lambda call: {"class_labels": [classes[call.prompt]], "guidance_scale": call.scale},
    )


def class_numbers(folder: Folder, count: int) -> Mapping[str, int]:
    """The number of every class by its names (`id2label` of the index, where commas part synonyms), and by itself as a text."""
    labels = folder.index.get("id2label") or {}
    named = {
        name.strip(): int(number)
        for number, names in labels.items()
        for name in str(names).split(",")
        if name.strip()
    }
    return {**named, **{str(number): number for number in range(count)}}


def _examples(classes: Mapping[str, int]) -> tuple[str, ...]:
    """The first name of each of the first classes."""
    first: dict[int, str] = {}
    for name, number in classes.items():
        first.setdefault(number, name)
    return tuple(first.values())[:8]


def class_tokenizer(names: Sequence[str]) -> TokenizerSource:
    """A tokenizer whose words are the names of the classes; an empty prompt is padding, the word behind the last."""
    words = tokenizers.Tokenizer(tokenizers.models.WordLevel({name: i for i, name in enumerate(names)}))
    words.normalizer = tokenizers.normalizers.Strip()
    words.enable_padding(pad_id=len(names), pad_token="")
    return TokenizerSource(TokenizerFile(CLASSES, max_length=1), words.to_str() + "\n")
