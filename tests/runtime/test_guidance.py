"""Guidance against its formula; the two modes against each other."""

import tracemalloc

import numpy as np
import pytest

from fewstep.errors import FewstepError
from fewstep.guidance import Conditions, GuidanceConfig, GuidanceMode, guide
from fewstep.loop import Array

RNG = np.random.default_rng(0)
X = RNG.normal(size=(2, 3, 4, 4)).astype(np.float32)


def text(seed: int) -> Conditions:
    states = np.random.default_rng(seed).normal(size=(2, 5, 6)).astype(np.float32)
    return {"text_states": states, "text_mask": np.ones((2, 5), dtype=np.float32)}


class Denoiser:
    """A denoiser whose output depends on all inputs; it notes the batch of every call."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    def __call__(self, latents: Array, timestep: Array, conditions: Conditions) -> Array:
        self.batches.append(len(latents))
        assert timestep.dtype == np.float32
        states, mask = conditions["text_states"], conditions["text_mask"]
        level = (timestep * mask.sum(1) * states.sum((1, 2)))[:, None, None, None]
        velocity: Array = np.tanh(latents + level)
        return velocity


def expected(scale: float) -> Array:
    t = np.full(2, 0.25, dtype=np.float32)
    m_c, m_0 = Denoiser()(X, t, text(1)), Denoiser()(X, t, text(2))
    return m_0 + scale * (m_c - m_0)


@pytest.mark.parametrize(("mode", "batches"), [("batched", [4]), ("sequential", [2, 2])])
@pytest.mark.parametrize("scale", [0.0, 0.5, 4.0])
def test_guidance_mixes_both_branches(mode: GuidanceMode, batches: list[int], scale: float) -> None:
    denoiser = Denoiser()
    found = guide(denoiser, text(1), text(2), GuidanceConfig(scale, mode))(X, 0.25)
    np.testing.assert_allclose(found, expected(scale), atol=1e-6)
    assert denoiser.batches == batches


@pytest.mark.parametrize("mode", ["batched", "sequential"])
def test_scale_one_skips_the_unconditional_branch(mode: GuidanceMode) -> None:
    denoiser = Denoiser()
    found = guide(denoiser, text(1), text(2), GuidanceConfig(1.0, mode))(X, 0.25)
    np.testing.assert_allclose(found, expected(1.0), atol=1e-6)
    assert denoiser.batches == [2]


def test_guidance_may_be_on_in_an_interval_alone() -> None:
    denoiser = Denoiser()
    model = guide(denoiser, text(1), text(2), GuidanceConfig(4.0, interval=(0.25, 0.5)))
    t = np.full(2, 0.25, dtype=np.float32)
    np.testing.assert_allclose(model(X, 0.25), expected(4.0), atol=1e-6)
    np.testing.assert_allclose(model(X, 0.6), Denoiser()(X, t * 0 + 0.6, text(1)), atol=1e-6)
    model(X, 0.5)
    model(X, 0.1)
    assert denoiser.batches == [4, 2, 4, 2]
    with pytest.raises(FewstepError, match=r"found 0\.5 to 0\.25; swap them"):
        GuidanceConfig(4.0, interval=(0.5, 0.25))


@pytest.mark.parametrize("mode", ["batched", "sequential"])
def test_guidance_allocates_nothing_after_the_first_call(mode: GuidanceMode) -> None:
    x = np.zeros((2, 4, 64, 64), dtype=np.float32)
    outputs = {2: np.ones_like(x), 4: np.ones((4, *x.shape[1:]), dtype=np.float32)}
    model = guide(lambda latents, *_: outputs[len(latents)], text(1), text(2), GuidanceConfig(4.0, mode))
    model(x, 0.5)
    tracemalloc.start()
    try:
        model(x, 0.4)
        assert tracemalloc.get_traced_memory()[1] < x.nbytes / 4
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("mode", ["batched", "sequential"])
def test_guided_lines_may_keep_the_norm_of_the_conditional_ones(mode: GuidanceMode) -> None:
    config = GuidanceConfig(4.0, mode, keep_norm=True)
    found = guide(Denoiser(), text(1), text(2), config)(X, 0.25)
    length = np.linalg.norm(expected(1.0), axis=-1) / np.linalg.norm(expected(4.0), axis=-1)
    np.testing.assert_allclose(found, expected(4.0) * length[..., None], atol=1e-6)
