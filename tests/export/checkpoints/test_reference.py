"""The pipeline draws from our noise, and afterwards from its own again."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from diffusers.utils.torch_utils import randn_tensor

from fewstep.noise import gaussian
from fewstep_export.checkpoints.folder import Folder, quiet
from fewstep_export.checkpoints.reference import given_noise


def test_streams_follow_the_steps(checkpoint: Callable[[str], Path]) -> None:
    pipeline = Folder.open(checkpoint("sdxl_turbo")).pipeline()
    scheduler, x = pipeline.scheduler, torch.zeros(1, 4, 8, 8)
    with quiet(), given_noise(pipeline, seed=5):
        scheduler.set_timesteps(2)
        first = (
            pipeline.prepare_latents(1, 4, 16, 16, torch.float32, "cpu", None) / scheduler.init_noise_sigma
        )
        after = scheduler.step(x, scheduler.timesteps[0], x).prev_sample
    np.testing.assert_allclose(first.numpy()[0], gaussian((4, 8, 8), 5, 0), atol=1e-6)
    stream = gaussian((4, 8, 8), 5, 1)
    ratio = after.numpy()[0] / stream
    np.testing.assert_allclose(ratio, ratio.flat[0], rtol=1e-3)  # nothing but this noise, scaled


def test_everything_is_as_before_afterwards(checkpoint: Callable[[str], Path]) -> None:
    pipeline = Folder.open(checkpoint("sdxl_turbo")).pipeline()
    step = pipeline.scheduler.step
    with given_noise(pipeline, seed=0):
        assert pipeline.scheduler.step is not step
    assert pipeline.scheduler.step == step
    from diffusers.pipelines.stable_diffusion_xl import pipeline_stable_diffusion_xl as module

    assert module.randn_tensor is randn_tensor
