"""The native checkpoint: a folder with ``model.json`` and one FP16 safetensors file a component."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from fewstep.errors import FewstepError
from fewstep_models import backbones
from fewstep_models.autoencoder import Autoencoder, AutoencoderConfig
from fewstep_models.backbones import BackboneConfig
from fewstep_models.block_removal import of_blocks
from fewstep_models.lora import read_additions, with_additions

FORMAT, VERSION = "fewstep-checkpoint", 1
COMPONENTS = ("autoencoder", "denoiser")
WORDS = "words.txt"
"""The words of the training captions, one a line: what a smaller vocabulary must keep."""


@dataclass(frozen=True)
class LatentStatistics:
    """The denoiser's latents are ``z_n = (z - shift) * scale``, one value a channel."""

    scale: tuple[float, ...]
    shift: tuple[float, ...]

    def normalise(self, z: Tensor) -> Tensor:
        """Autoencoder latents (B, C, h, w) -> denoiser latents."""
        return (z - self._column(self.shift, z)) * self._column(self.scale, z)

    def restore(self, z_n: Tensor) -> Tensor:
        """Denoiser latents (B, C, h, w) -> autoencoder latents."""
        return z_n / self._column(self.scale, z_n) + self._column(self.shift, z_n)

    def _column(self, values: tuple[float, ...], like: Tensor) -> Tensor:
        return torch.tensor(values, dtype=like.dtype, device=like.device)[:, None, None]


@dataclass(frozen=True)
class SamplingDefaults:
    """How the weights want to be sampled."""

    prediction: str = "flow"
    shift: float = 1.0
    steps: int = 20
    guidance: float = 4.0
    sampler: str = "flow-dpm++2m"


@dataclass(frozen=True)
class CheckpointConfig:
    """Everything in ``model.json``.

    ``weights`` names, by component, the checkpoint in the folder beside this one whose weights it has: students share their teacher's
    autoencoder. A component that is not there has its own file. ``loras`` are the components with additions to those weights, which are in
    ``COMPONENT.lora.safetensors`` (see ``lora.py``). ``blocks`` are those blocks of that other denoiser which this one has, where it has not all.
    """

    name: str
    autoencoder: AutoencoderConfig
    denoiser: BackboneConfig
    latent: LatentStatistics
    sampling: SamplingDefaults = field(default_factory=SamplingDefaults)
    image_size: int = 128
    max_length: int = 32
    styles: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()
    licences: tuple[Mapping[str, str], ...] = ()
    training: Mapping[str, Any] = field(default_factory=dict)
    weights: Mapping[str, str] = field(default_factory=dict)
    loras: tuple[str, ...] = ()
    blocks: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Refuse weights that lie anywhere but in the folder beside."""
        for component, name in self.weights.items():
            if component not in COMPONENTS or name in ("", ".", "..") or Path(name).name != name:
                raise ValueError(
                    f"expected weights of {' or '.join(COMPONENTS)} by the name of a folder beside, found {component!r}: {name!r}"
                )
        if not set(self.loras) <= set(COMPONENTS):
            raise ValueError(f"expected loras among {' and '.join(COMPONENTS)}, found {self.loras}")
        if self.blocks and (
            "denoiser" not in self.weights or len(self.blocks) != getattr(self.denoiser, "depth", 0)
        ):
            raise ValueError(
                f"expected a block of another checkpoint's denoiser for each of this one's, found {self.blocks}"
            )

    def weight_file(self, folder: Path, component: str) -> Path:
        """Where the weights of a component of the checkpoint in this folder are."""
        owner = folder.resolve().parent / self.weights[component] if component in self.weights else folder
        return owner / f"{component}.safetensors"

    def files(self, folder: Path) -> list[Path]:
        """All files that the checkpoint in this folder consists of."""
        weights = [self.weight_file(folder, component) for component in COMPONENTS]
        return [folder / "model.json", *weights, *(lora_file(folder, component) for component in self.loras)]

    def to_json(self) -> dict[str, Any]:
        """The content of ``model.json``."""
        shape = [self.denoiser.latent_channels, self.denoiser.size, self.denoiser.size]
        return {
            "format": FORMAT,
            "version": VERSION,
            "name": self.name,
            "autoencoder": asdict(self.autoencoder),
            "denoiser": backbones.to_json(self.denoiser),
            "text_encoder": {"type": "minilm", "max_length": self.max_length},
            "latent": {"shape": shape, **asdict(self.latent)},
            "sampling": asdict(self.sampling),
            "image": {"size": self.image_size, "channels": "RGBA"},
            "styles": list(self.styles),
            "examples": list(self.examples),
            "licences": [dict(entry) for entry in self.licences],
            "training": dict(self.training),
            **({"weights": dict(self.weights)} if self.weights else {}),
            **({"loras": list(self.loras)} if self.loras else {}),
            **({"blocks": list(self.blocks)} if self.blocks else {}),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "CheckpointConfig":
        """The inverse of :meth:`to_json`.

        Raises:
            KeyError, TypeError, ValueError: a field is missing or does not fit; :func:`Checkpoint.load` says where.
        """
        if (data["format"], data["version"]) != (FORMAT, VERSION):
            raise ValueError(
                f"format {data['format']!r} version {data['version']!r} is not {FORMAT!r} version {VERSION}"
            )
        if data["text_encoder"]["type"] != "minilm":
            raise ValueError(f"expected the text encoder 'minilm', found {data['text_encoder']['type']!r}")
        return cls(
            name=data["name"],
            autoencoder=AutoencoderConfig(**data["autoencoder"]),
            denoiser=backbones.from_json(data["denoiser"]),
            latent=LatentStatistics(tuple(data["latent"]["scale"]), tuple(data["latent"]["shift"])),
            sampling=SamplingDefaults(**data["sampling"]),
            image_size=data["image"]["size"],
            max_length=data["text_encoder"]["max_length"],
            styles=tuple(data["styles"]),
            examples=tuple(data["examples"]),
            licences=tuple(data["licences"]),
            training=data["training"],
            weights=data.get("weights", {}),
            loras=tuple(data.get("loras", ())),
            blocks=tuple(data.get("blocks", ())),
        )


@dataclass(frozen=True)
class Checkpoint:
    """A configuration with its two trained components, in float32 and evaluation mode, and the words of its training captions."""

    config: CheckpointConfig
    autoencoder: Autoencoder
    denoiser: nn.Module
    words: tuple[str, ...] = ()

    @classmethod
    def load(cls, folder: Path) -> "Checkpoint":
        """Read a checkpoint folder.

        Raises:
            FewstepError: a file is missing, damaged, or does not fit the configuration.
        """
        config = read_config(folder)
        autoencoder, denoiser = Autoencoder(config.autoencoder), config.denoiser.build()
        for component, network in zip(COMPONENTS, (autoencoder, denoiser), strict=True):
            additions = read_additions(lora_file(folder, component)) if component in config.loras else {}
            blocks = config.blocks if component == "denoiser" else ()
            load_weights(network, config.weight_file(folder, component), additions, blocks)
        networks = (autoencoder.eval().requires_grad_(False), denoiser.eval().requires_grad_(False))
        return cls(config, *networks, _words(config, folder))

    def save(self, folder: Path) -> None:
        """Write ``model.json`` and all weights in FP16, also those that were another checkpoint's."""
        folder.mkdir(parents=True, exist_ok=True)
        save_weights(self.autoencoder, folder / "autoencoder.safetensors")
        save_weights(self.denoiser, folder / "denoiser.safetensors")
        write_config(dataclasses.replace(self.config, weights={}, loras=(), blocks=()), folder)
        if self.words:
            (folder / WORDS).write_text("\n".join(self.words) + "\n", encoding="utf-8")


def _words(config: CheckpointConfig, folder: Path) -> tuple[str, ...]:
    """The words of the folder, or of the one whose autoencoder it has."""
    beside = config.weight_file(folder, "autoencoder").parent
    files = [path for path in (folder / WORDS, beside / WORDS) if path.is_file()]
    return tuple(files[0].read_text(encoding="utf-8").split()) if files else ()


def read_config(folder: Path) -> CheckpointConfig:
    """``model.json`` of a checkpoint folder.

    Raises:
        FewstepError: it is missing or not what it should be.
    """
    path = folder / "model.json"
    try:
        return CheckpointConfig.from_json(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise FewstepError(
            f"expected a checkpoint with model.json in {folder}, found none; give a checkpoint folder or a zoo name"
        ) from error
    except (KeyError, TypeError, ValueError) as error:
        raise FewstepError(
            f"cannot read {path}: {type(error).__name__}: {error}; write it again with `fewstep train`"
        ) from error


def write_config(config: CheckpointConfig, folder: Path) -> None:
    """Write ``model.json``."""
    (folder / "model.json").write_text(json.dumps(config.to_json(), indent=1) + "\n", encoding="utf-8")


def save_weights(module: nn.Module, path: Path) -> None:
    """Parameters of a module as an FP16 safetensors file; a submodule's ``full_precision`` names those that stay FP32.

    Raises:
        ValueError: a value is not finite in FP16.
    """
    full = {
        f"{prefix}.{name}".removeprefix(".")
        for prefix, part in module.named_modules()
        for name in getattr(part, "full_precision", ())
    }
    stored = {
        name: value.detach().to("cpu", torch.float32 if name in full else torch.float16).contiguous()
        for name, value in module.state_dict().items()
    }
    for name, value in stored.items():
        if not torch.isfinite(value).all():
            raise ValueError(f"{name} does not fit FP16: it has values that are not finite")
    save_file(stored, path, metadata={"format": "pt"})


def lora_file(folder: Path, component: str) -> Path:
    """Where the additions to a component's weights are."""
    return folder / f"{component}.lora.safetensors"


def load_weights(
    module: nn.Module, path: Path, additions: Mapping[str, Tensor] | None = None, blocks: Sequence[int] = ()
) -> None:
    """Read weights into a module, as float32, with the additions of a LoRA (``lora.py``); of a deeper network's, those of ``blocks``.

    Raises:
        FewstepError: the file is missing or damaged, or names and shapes are not those of the module.
    """
    try:
        state = load_file(path)
    except (OSError, SafetensorError) as error:
        raise FewstepError(
            f"cannot read the weights {path}: {error}; restore the file and run again"
        ) from error
    state = of_blocks(state, blocks) if blocks else state
    try:
        module.load_state_dict(with_additions(state, additions or {}))
    except (KeyError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise FewstepError(
            f"the weights {path} do not fit model.json: {reason}; use weights and model.json of one training run"
        ) from error


def save_autoencoder(autoencoder: Autoencoder, folder: Path) -> None:
    """Write an autoencoder alone: ``autoencoder.json`` and its FP16 weights."""
    (folder / "autoencoder.json").write_text(json.dumps(asdict(autoencoder.config)) + "\n", encoding="utf-8")
    save_weights(autoencoder, folder / "autoencoder.safetensors")


def load_autoencoder(folder: Path) -> Autoencoder:
    """Read what :func:`save_autoencoder` wrote, in float32 and evaluation mode.

    Raises:
        FewstepError: a file is missing or damaged.
    """
    path = folder / "autoencoder.json"
    try:
        config = AutoencoderConfig(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, TypeError, ValueError) as error:
        raise FewstepError(f"cannot read {path} ({error}); train the autoencoder first") from error
    autoencoder = Autoencoder(config)
    load_weights(autoencoder, folder / "autoencoder.safetensors")
    return autoencoder.eval().requires_grad_(False)


def digest(folder: Path) -> str:
    """sha256 over the names and contents of a checkpoint's files, wherever its weights are."""
    total = hashlib.sha256()
    for file in read_config(folder).files(folder):
        total.update(file.name.encode() + b"\0" + hashlib.sha256(file.read_bytes()).digest())
    return total.hexdigest()
