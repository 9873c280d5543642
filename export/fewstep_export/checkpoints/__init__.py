"""Checkpoints as generators: one reader a kind of checkpoint, one adapter a family of diffusers pipelines."""

from pathlib import Path

from fewstep.errors import FewstepError
from fewstep_export.checkpoints.native import load_native
from fewstep_export.components import Generator
from fewstep_export.config import ExportConfig

__all__ = ["load_generator"]


def load_generator(config: ExportConfig) -> Generator:
    """The model that an export is asked for: a zoo name, a folder of fewstep or one of diffusers.

    Raises:
        FewstepError: there is no such model, or it is damaged.
    """
    source = Path(config.source)
    if (source / "model_index.json").is_file():
        from fewstep_export.checkpoints.diffusers import load_diffusers  # takes seconds: it imports diffusers

        return load_diffusers(source, config.size)
    if config.size is not None:
        raise FewstepError(
            f"expected --size for a diffusers pipeline alone, found it for {source.name}; leave it out"
        )
    return load_native(config.source)
