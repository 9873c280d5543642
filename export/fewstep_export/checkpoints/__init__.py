"""Checkpoints as generators: one reader a kind of checkpoint, one adapter a family of diffusers pipelines."""

from pathlib import Path

from fewstep.errors import FewstepError
from fewstep_export.checkpoints.described import load_described
from fewstep_export.checkpoints.native import load_native
from fewstep_export.components import Generator
from fewstep_export.config import ExportConfig
from fewstep_export.large.weights import PICKLES

__all__ = ["load_generator"]


def load_generator(config: ExportConfig) -> Generator:
    """The model that an export is asked for.

    1. A folder with model_index.json, or a safetensors file with --config: a diffusers pipeline, with LoRA files fused into it.
    2. A JSON file: ONNX graphs that it describes.
    3. Anything else: a zoo name or a folder of fewstep.

    Raises:
        FewstepError: there is no such model, it is damaged, or an option is not for it.
    """
    source = Path(config.source)
    if (source / "model_index.json").is_file() or source.suffix == ".safetensors" or source.suffix in PICKLES:
        return _load_pipeline(source, config)
    if config.size is not None or config.loras or config.configurations is not None:
        raise FewstepError(
            f"expected --size, --lora and --config for diffusers pipelines alone, found one, for {source.name}; leave it out"
        )
    if source.suffix == ".json" and source.is_file():
        _no_vocabulary(config)
        return load_described(source)
    return load_native(config.source, config.vocabulary)


def _no_vocabulary(config: ExportConfig) -> None:
    if config.vocabulary is not None:
        raise FewstepError(
            f"expected --vocabulary for checkpoints of fewstep alone, found it for {Path(config.source).name}; leave it out"
        )


def _load_pipeline(source: Path, config: ExportConfig) -> Generator:
    _no_vocabulary(config)
    # These take seconds: they import diffusers.
    from fewstep_export.checkpoints.diffusers import load_diffusers
    from fewstep_export.checkpoints.folder import Folder
    from fewstep_export.checkpoints.lora import fuse_loras
    from fewstep_export.checkpoints.single_file import open_single_file

    folder = Folder.open(source) if source.is_dir() else open_single_file(source, config.configurations)
    return load_diffusers(fuse_loras(folder, config.loras), config.size)
