"""The one training loop: any method, any number of processes, resumable, bounded by steps or by seconds.

Data order is a function of (seed, step, process) alone, so a resumed run sees what the uninterrupted one would have seen.
"""

import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast
from safetensors.torch import load_file, save_file
from torch import Tensor

from fewstep.errors import FewstepError
from fewstep_distillation.ema import ExponentialMovingAverage
from fewstep_distillation.log_plot import plot_log
from fewstep_distillation.methods.protocol import Criticised, Method, Sampled, Scheduled
from fewstep_distillation.optimised import Optimised
from fewstep_distillation.run_config import RunConfig


@dataclass
class Progress:
    """How far a run is; the only mutable facts besides the tensors."""

    step: int = 0
    seconds: float = 0.0

    def fraction(self, config: RunConfig) -> float:
        """Used part of the budget, in [0, 1]."""
        return min(1.0, max(self.step / config.steps, self.seconds / config.seconds))


def learning_rate(config: RunConfig, progress: Progress) -> float:
    """Linear warm-up, then ``lr (1 + cos(pi fraction)) / 2``."""
    warmup = min(1.0, (progress.step + 1) / max(1, config.warmup_steps))
    return config.learning_rate * warmup * (1 + math.cos(math.pi * progress.fraction(config))) / 2


class Trainer:
    """Runs a method to the end of its budget and writes its averaged weights to ``config.output``."""

    def __init__(
        self, method: Method, config: RunConfig, on_log: Callable[[dict[str, float]], None] | None = None
    ) -> None:
        self.method, self.config, self.on_log = method, config, on_log
        # Teacher, student and critic share the code of their blocks, which is compiled for each of their modes.
        torch._dynamo.config.recompile_limit = 64
        self.accelerator = Accelerator(mixed_precision=config.precision, cpu=not torch.cuda.is_available())
        self.ema = ExponentialMovingAverage(method.module.to(self.accelerator.device), config.ema_decay)
        self.player = Optimised(method.module, config, self.accelerator)
        self.critic = None
        if isinstance(method, Criticised):
            self.critic = Optimised(method.critic, config, self.accelerator, method.critic_rate)
            method.critic = self.critic.local  # the same parameters, compiled if the run is
        self.progress = Progress()
        self.output = Path(config.output)

    def run(self, resume: bool = False) -> Path:
        """Train; with ``resume`` continue from the state in the output folder if there is one."""
        self.output.mkdir(parents=True, exist_ok=True)
        if resume and (self.output / "state.json").is_file():
            self._restore()
        self.method.prepare(self.accelerator.device)
        for _ in self._loop():
            pass
        self._save()
        if self.accelerator.is_main_process:
            self.method.write(self.ema.module, self.output)
            plot_log(self.output / "log.jsonl")
        self.accelerator.wait_for_everyone()
        return self.output

    def _loop(self) -> Iterator[None]:
        config, started, before = self.config, time.perf_counter(), self.progress.seconds
        logged, saved = self.progress.step, time.perf_counter()
        sampled = saved
        per_process = max(1, config.batch_size // self.accelerator.num_processes)
        while self.progress.fraction(config) < 1.0:
            metrics = self._step(per_process)
            self.progress.step += 1
            # Clocks differ between processes and GPUs run behind their clocks: agree on the time, but only now and then.
            if self.progress.step % config.log_every == 0 or self.progress.step >= config.steps:
                values = {name: float(value) for name, value in metrics.items()}
                self.progress.seconds = self._agree(before + time.perf_counter() - started)
                self._log(values, self.progress.step - logged)
                logged = self.progress.step
                if self._agree(time.perf_counter() - saved) > config.save_every_seconds:
                    self._save()
                    saved = time.perf_counter()
                if self._agree(time.perf_counter() - sampled) > config.sample_every_seconds:
                    self._sample()
                    sampled = time.perf_counter()
            yield

    def _step(self, per_process: int) -> dict[str, Tensor]:
        generator = torch.Generator(self.accelerator.device)
        generator.manual_seed(
            hash((self.config.seed, self.progress.step, self.accelerator.process_index)) & 0x7FFFFFFFFFFFFFFF
        )
        rate = learning_rate(self.config, self.progress)
        if isinstance(self.method, Scheduled):
            self.method.updates = self.progress.step
        criticism = self._criticise(per_process, generator, rate)
        loss, metrics = self.method.loss(self.player.module, per_process, generator)
        norm = self.player.update(loss, rate)
        self.ema.update(self.player.raw, self.progress.step)
        return {"loss": loss.detach(), "gradient_norm": norm, **criticism, **metrics}

    def _criticise(self, per_process: int, generator: torch.Generator, rate: float) -> dict[str, Tensor]:
        """The critic's updates that come before one of the module, if there is a critic."""
        if self.critic is None or not isinstance(self.method, Criticised):
            return {}
        metrics: dict[str, Tensor] = {}
        self.critic.raw.requires_grad_(True)
        for _ in range(self.method.critic_updates):
            loss, metrics = self.method.critic_loss(
                self.critic.module, self.player.module, per_process, generator
            )
            metrics = {"critic_loss": loss.detach(), "critic_norm": self.critic.update(loss, rate), **metrics}
        # The module's loss passes through the critic and must not move it.
        self.critic.raw.requires_grad_(False)
        return metrics

    def _agree(self, seconds: float) -> float:
        """The main process's reading of a clock, on every process."""
        value = torch.tensor([seconds], dtype=torch.float64, device=self.accelerator.device)
        return float(broadcast(value)) if self.accelerator.num_processes > 1 else seconds

    def _log(self, values: dict[str, float], steps: int) -> None:
        if not self.accelerator.is_main_process:
            return
        _refuse_divergence(values, self.progress.step)
        record = {"step": self.progress.step, "seconds": round(self.progress.seconds, 2), **values}
        record["learning_rate"] = learning_rate(self.config, self.progress)
        with (self.output / "log.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
        if self.on_log:
            self.on_log(record)

    def _sample(self) -> None:
        """A sheet of pictures by the averaged weights, named after the step."""
        if self.accelerator.is_main_process and isinstance(self.method, Sampled):
            self.method.sample(self.ema.module, self.output / f"samples-{self.progress.step:07}.png")
        self.accelerator.wait_for_everyone()

    def _save(self) -> None:
        """The whole state, in safetensors and JSON; the JSON is written last and names a complete state."""
        if self.accelerator.is_main_process:
            tensors = self.player.pack()
            tensors |= {f"ema.{name}": p.cpu() for name, p in self.ema.module.named_parameters()}
            if self.critic is not None:
                tensors |= {f"critic.{name}": value for name, value in self.critic.pack().items()}
            save_file(tensors, self.output / "state.tmp")
            (self.output / "state.tmp").replace(self.output / "state.safetensors")
            facts = {"step": self.progress.step, "seconds": self.progress.seconds}
            (self.output / "state.json").write_text(json.dumps(facts) + "\n", encoding="utf-8")
        self.accelerator.wait_for_everyone()

    def _restore(self) -> None:
        facts = json.loads((self.output / "state.json").read_text(encoding="utf-8"))
        self.progress = Progress(facts["step"], facts["seconds"])
        state = load_file(self.output / "state.safetensors")
        self.player.unpack(state, self.progress.step)
        with torch.no_grad():
            for name, p in self.ema.module.named_parameters():
                p.copy_(state[f"ema.{name}"])
        if self.critic is not None and isinstance(self.method, Criticised):
            critic = {
                name.removeprefix("critic."): v for name, v in state.items() if name.startswith("critic.")
            }
            self.critic.unpack(critic, self.progress.step * self.method.critic_updates)


def _refuse_divergence(values: dict[str, float], step: int) -> None:
    """A run whose gradients explode learns nothing more, whatever clipping makes of them: stop it while there is budget left."""
    for name, limit in (("loss", 1e3), ("gradient_norm", 1e4)):
        if not abs(values[name]) < limit:
            raise FewstepError(
                f"expected a {name} below {limit:g}, found {values[name]:g} at step {step}; lower run.learning_rate or set run.compile = false"
            )
