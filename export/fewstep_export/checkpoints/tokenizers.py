"""Tokenizers of transformers as `tokenizers` JSON, which the runtime reads; slow ones are converted by transformers itself."""

from fewstep.errors import FewstepError
from fewstep.manifest import TokenizerFile
from fewstep_export.checkpoints.folder import Folder
from fewstep_export.components import TokenizerSource


def read_tokenizer(folder: Folder, part: str, record: TokenizerFile) -> TokenizerSource:
    """A tokenizer of a pipeline.

    Args:
        folder: the pipeline.
        part: like "tokenizer_2".
        record: how prompts are written for it.

    Raises:
        FewstepError: its files are missing, or it has no form that `tokenizers` reads.
    """
    tokenizer = folder.tokenizer(part)
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise FewstepError(
            f"expected a tokenizer that transformers converts to tokenizer.json, found {type(tokenizer).__name__}, in "
            f"{folder.path / part}; save a fast one there"
        )
    if tokenizer.pad_token_id is None:
        raise FewstepError(f"expected a padding token, found none, in {folder.path / part}; set pad_token")
    backend.no_truncation()
    backend.enable_padding(pad_id=tokenizer.pad_token_id, pad_token=tokenizer.pad_token)
    return TokenizerSource(record, backend.to_str(pretty=False) + "\n")


def file_name(k: int) -> str:
    """The file of tokenizer k, counted from 0."""
    return f"tokenizer_{k + 1}.json" if k else "tokenizer.json"
