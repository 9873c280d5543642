"""The text encoder against a BERT written out in torch's own modules, with the published names."""

import pytest
import torch
from torch import Tensor, nn

from fewstep_models.minilm import MiniLM, MiniLMConfig

SMALL = MiniLMConfig(vocabulary=50, positions=16, width=24, layers=2, heads=4, ffn=48)


def _bert_state(config: MiniLMConfig) -> dict[str, Tensor]:
    torch.manual_seed(0)
    width = config.width
    state = {
        "embeddings.word_embeddings.weight": torch.randn(config.vocabulary, width),
        "embeddings.position_embeddings.weight": torch.randn(config.positions, width),
        "embeddings.token_type_embeddings.weight": torch.randn(2, width),
    }

    def linear(name: str, rows: int, columns: int) -> None:
        state[f"{name}.weight"], state[f"{name}.bias"] = (
            torch.randn(rows, columns) / columns**0.5,
            torch.randn(rows),
        )

    def norm(name: str) -> None:
        state[f"{name}.weight"], state[f"{name}.bias"] = (
            1 + 0.1 * torch.randn(width),
            0.1 * torch.randn(width),
        )

    norm("embeddings.LayerNorm")
    for i in range(config.layers):
        layer = f"encoder.layer.{i}"
        for part in ("query", "key", "value"):
            linear(f"{layer}.attention.self.{part}", width, width)
        linear(f"{layer}.attention.output.dense", width, width)
        linear(f"{layer}.intermediate.dense", config.ffn, width)
        linear(f"{layer}.output.dense", width, config.ffn)
        norm(f"{layer}.attention.output.LayerNorm")
        norm(f"{layer}.output.LayerNorm")
    return state


def _reference_layer(state: dict[str, Tensor], i: int, config: MiniLMConfig) -> nn.TransformerEncoderLayer:
    layer = nn.TransformerEncoderLayer(
        config.width, config.heads, config.ffn, 0.0, nn.functional.gelu, 1e-12, batch_first=True
    )
    bert = {name.removeprefix(f"encoder.layer.{i}."): value for name, value in state.items()}
    names = {
        "self_attn.out_proj": "attention.output.dense",
        "linear1": "intermediate.dense",
        "linear2": "output.dense",
        "norm1": "attention.output.LayerNorm",
        "norm2": "output.LayerNorm",
    }
    own = {f"{a}.{kind}": bert[f"{b}.{kind}"] for a, b in names.items() for kind in ("weight", "bias")}
    for kind in ("weight", "bias"):
        parts = [bert[f"attention.self.{part}.{kind}"] for part in ("query", "key", "value")]
        own[f"self_attn.in_proj_{kind}"] = torch.cat(parts)
    layer.load_state_dict(own)
    return layer.eval()


def test_agrees_with_torch_transformer_layers() -> None:
    state = _bert_state(SMALL)
    ids = torch.randint(0, SMALL.vocabulary, (3, 7), dtype=torch.int32)
    mask = torch.tensor([[1.0] * 7, [1.0] * 4 + [0] * 3, [1.0] * 2 + [0] * 5])
    x = state["embeddings.word_embeddings.weight"][ids] + state["embeddings.position_embeddings.weight"][:7]
    x = x + state["embeddings.token_type_embeddings.weight"][0]
    x = nn.functional.layer_norm(
        x, (SMALL.width,), state["embeddings.LayerNorm.weight"], state["embeddings.LayerNorm.bias"], 1e-12
    )
    for i in range(SMALL.layers):
        layer = _reference_layer(state, i, SMALL)
        x = layer.train()(
            x, src_key_padding_mask=mask == 0
        )  # train(): the plain path, without the fused kernel
    ours = MiniLM.from_bert(state, SMALL)(ids, mask)
    torch.testing.assert_close(ours[mask == 1], x[mask == 1], atol=1e-4, rtol=1e-4)


@pytest.mark.slow
def test_published_weights_know_what_is_alike() -> None:
    from fewstep_distillation.metrics.text import TextFeatures

    kitten, cat, rocket = nn.functional.normalize(
        torch.from_numpy(TextFeatures.from_pretrained()(["kitten", "cat", "rocket"]))
    )
    assert kitten @ cat > 0.7
    assert kitten @ rocket < 0.5
