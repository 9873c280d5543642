"""The checkpoint's own diffusers pipeline, drawing with our noise: what a bundle is compared with from prompt to pixels."""

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from fewstep.manifest import Sampling
from fewstep.noise import gaussian
from fewstep_export.checkpoints.family import Call
from fewstep_export.checkpoints.folder import Folder, quiet
from fewstep_export.components import Array


@dataclass(frozen=True)
class PipelineReference:
    """Draws with the pipeline of a folder, on the CPU in float32; callable as `fewstep_export.components.Reference`.

    Attributes:
        folder: the pipeline.
        size: side of the pictures in pixels.
        arguments: what the pipeline's call is told besides the steps.
    """

    folder: Folder
    size: int
    arguments: Callable[[Call], dict[str, object]]

    def __call__(self, prompts: Sequence[str], sampling: Sampling, scale: float) -> Array:
        pipeline = self._load(sampling)
        pictures = []
        for seed, prompt in enumerate(prompts):
            arguments = self.arguments(Call(prompt, scale, self.size, sampling.steps))
            with quiet(), torch.inference_mode(), given_noise(pipeline, seed):
                result = pipeline(**arguments, num_inference_steps=sampling.steps, output_type="np")
            pictures.append(np.asarray(result.images, dtype=np.float32).transpose(0, 3, 1, 2))
        return np.concatenate(pictures)

    def _load(self, sampling: Sampling) -> Any:
        import diffusers

        pipeline, kind = self.folder.pipeline(), getattr(diffusers, sampling.sampler)
        with quiet():
            if not isinstance(pipeline.scheduler, kind):
                pipeline.scheduler = kind.from_config(pipeline.scheduler.config)
        pipeline.set_progress_bar_config(disable=True)
        return pipeline


@contextlib.contextmanager
def given_noise(pipeline: Any, seed: int) -> Iterator[None]:
    """Lets the pipeline and its scheduler draw from `fewstep.noise`: stream 0 first, and stream i + 1 in step i.

    Their modules import `randn_tensor` by name, so it is there that the name is bound anew.
    """
    scheduler, stream = pipeline.scheduler, 0
    step = scheduler.step

    def counted(*arguments: object, **options: object) -> object:
        nonlocal stream
        stream += 1
        return step(*arguments, **options)

    def drawn(shape: tuple[int, ...], *_: object, **options: Any) -> torch.Tensor:
        noise = np.stack([gaussian(tuple(shape)[1:], seed, stream) for _ in range(shape[0])])
        return torch.from_numpy(noise).to(options.get("dtype") or torch.float32)

    modules = [sys.modules[type(part).__module__] for part in (pipeline, scheduler)]
    modules = [module for module in modules if hasattr(module, "randn_tensor")]
    originals = [module.randn_tensor for module in modules]
    scheduler.step = counted
    for module in modules:
        module.randn_tensor = drawn  # type: ignore[attr-defined]
    try:
        yield
    finally:
        scheduler.step = step
        for module, original in zip(modules, originals, strict=True):
            module.randn_tensor = original  # type: ignore[attr-defined]
