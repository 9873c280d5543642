from dataclasses import replace

import numpy as np

from fewstep.fixed_feeds import PROMPTS
from fewstep.manifest import Prompts
from fewstep_export.components import Generator
from fewstep_export.fixed_inputs import Cases, prompts_of


def test_real_prompts_and_the_empty_one_are_encoded(cases: Cases, tiny: Generator) -> None:
    pair, single = cases["text_encoder"]
    assert pair.feeds["text_mask"].sum(1).tolist() == [
        2,
        8,
    ]  # [CLS] and [SEP] alone, and with six words between
    assert single.feeds["input_ids"].shape == (1, tiny.tokenizers[0].record.max_length)
    assert prompts_of(tiny) == ("a red heart, flat style", "a blue star, flat style")


def test_a_checkpoint_without_examples_gets_general_prompts(tiny: Generator) -> None:
    bare = replace(tiny, prompts=Prompts())
    assert prompts_of(bare) == PROMPTS


def test_three_timesteps_at_two_batch_sizes(cases: Cases) -> None:
    found = [(case.feeds["timestep"][0], len(case.expected["velocity"])) for case in cases["denoiser"]]
    assert [batch for _, batch in found] == [2, 1] * 3
    assert len({float(timestep) for timestep, _ in found}) == 3
    assert found[0][0] == 1000.0
    assert not np.array_equal(cases["denoiser"][0].feeds["latents"], cases["denoiser"][2].feeds["latents"])
