from pathlib import Path

import numpy as np
import torch

from fewstep.manifest import TokenizerFile
from fewstep.tokenizer import Tokenizer
from fewstep_distillation.metrics.text import MAX_LENGTH, TextFeatures
from fewstep_models.minilm import MiniLM


def test_is_the_mean_state_over_the_tokens_of_each_text(text_encoder: MiniLM, tokenizer: Path) -> None:
    texts = ["red circle, red circle", "gold", "blue square"]
    tokens = Tokenizer.load(tokenizer, TokenizerFile(tokenizer.name, MAX_LENGTH)).encode(texts)
    ids, mask = (torch.from_numpy(tokens[name]) for name in ("input_ids", "text_mask"))
    with torch.inference_mode():
        states = text_encoder(ids, mask)
    expected = [states[i, : int(mask[i].sum())].mean(0).numpy() for i in range(3)]
    features = TextFeatures(text_encoder, tokenizer)
    np.testing.assert_allclose(features(texts), np.stack(expected), atol=1e-5)
    np.testing.assert_array_equal(features(texts), features(texts))  # the second call reads the cache
