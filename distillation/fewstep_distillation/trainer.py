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
from accelerate.utils import broadcast, compile_regions
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from fewstep.errors import FewstepError
from fewstep_distillation.ema import ExponentialMovingAverage
from fewstep_distillation.methods.protocol import Method
from fewstep_distillation.recipe import RunConfig


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
        self.accelerator = Accelerator(mixed_precision=config.precision, cpu=not torch.cuda.is_available())
        device = self.accelerator.device
        self.raw = method.module.to(device)
        self.ema = ExponentialMovingAverage(self.raw, config.ema_decay)
        # "decay" belongs to matrices and kernels; gains, biases and tables are left alone.
        decayed = [p for p in self.raw.parameters() if p.ndim > 1]
        rest = [p for p in self.raw.parameters() if p.ndim <= 1]
        self.optimizer = torch.optim.AdamW(
            [{"params": decayed, "weight_decay": config.weight_decay}, {"params": rest, "weight_decay": 0.0}],
            lr=config.learning_rate,
            betas=(0.9, config.beta2),
            fused=device.type == "cuda",
        )
        # Compiled inside DDP, not around it: in accelerate's own order Dynamo splits the graph at DDP's buckets, which gave gradient
        # norms of 1e9 for the denoiser (torch 2.11, two H100). Repeated blocks are compiled once.
        module = compile_regions(self.raw, dynamic=False) if config.compile else self.raw
        self.module, self.stepper = self.accelerator.prepare(module, self.optimizer)
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
        self.accelerator.wait_for_everyone()
        return self.output

    def _loop(self) -> Iterator[None]:
        config, started, before = self.config, time.perf_counter(), self.progress.seconds
        logged, saved = self.progress.step, time.perf_counter()
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
            yield

    def _step(self, per_process: int) -> dict[str, Tensor]:
        config = self.config
        generator = torch.Generator(self.accelerator.device)
        generator.manual_seed(
            hash((config.seed, self.progress.step, self.accelerator.process_index)) & 0x7FFFFFFFFFFFFFFF
        )
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(config, self.progress)
        loss, metrics = self.method.loss(self.module, per_process, generator)
        self.accelerator.backward(loss)
        norm = self.accelerator.clip_grad_norm_(self.raw.parameters(), config.gradient_clip)
        self.stepper.step()
        self.stepper.zero_grad(set_to_none=True)
        self.ema.update(self.raw, self.progress.step)
        return {"loss": loss.detach(), "gradient_norm": torch.as_tensor(norm), **metrics}

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

    def _save(self) -> None:
        """The whole state, in safetensors and JSON; the JSON is written last and names a complete state."""
        if self.accelerator.is_main_process:
            save_file(_pack(self.raw, self.ema.module, self.optimizer), self.output / "state.tmp")
            (self.output / "state.tmp").replace(self.output / "state.safetensors")
            facts = {"step": self.progress.step, "seconds": self.progress.seconds}
            (self.output / "state.json").write_text(json.dumps(facts) + "\n", encoding="utf-8")
        self.accelerator.wait_for_everyone()

    def _restore(self) -> None:
        facts = json.loads((self.output / "state.json").read_text(encoding="utf-8"))
        self.progress = Progress(facts["step"], facts["seconds"])
        _unpack(
            load_file(self.output / "state.safetensors"),
            self.raw,
            self.ema.module,
            self.optimizer,
            self.progress.step,
        )


def _refuse_divergence(values: dict[str, float], step: int) -> None:
    """A run whose gradients explode learns nothing more, whatever clipping makes of them: stop it while there is budget left."""
    for name, limit in (("loss", 1e3), ("gradient_norm", 1e4)):
        if not abs(values[name]) < limit:
            raise FewstepError(
                f"expected a {name} below {limit:g}, found {values[name]:g} at step {step}; lower run.learning_rate or set run.compile = false"
            )


def _pack(module: nn.Module, average: nn.Module, optimizer: torch.optim.AdamW) -> dict[str, Tensor]:
    tensors = {f"module.{name}": p.detach() for name, p in module.named_parameters()}
    tensors |= {f"ema.{name}": p.detach() for name, p in average.named_parameters()}
    for name, p in module.named_parameters():
        for moment in ("exp_avg", "exp_avg_sq"):
            if p in optimizer.state:
                tensors[f"{moment}.{name}"] = optimizer.state[p][moment]
    return {name: value.contiguous().cpu().clone() for name, value in tensors.items()}


def _unpack(
    state: dict[str, Tensor], module: nn.Module, average: nn.Module, optimizer: torch.optim.AdamW, step: int
) -> None:
    with torch.no_grad():
        for prefix, target in (("module", module), ("ema", average)):
            for name, p in target.named_parameters():
                p.copy_(state[f"{prefix}.{name}"])
    for name, p in module.named_parameters():
        if f"exp_avg.{name}" in state:
            moments = {
                key: state[f"{key}.{name}"].to(p.device).contiguous() for key in ("exp_avg", "exp_avg_sq")
            }
            count = torch.tensor(float(step), device=p.device if optimizer.defaults["fused"] else "cpu")
            optimizer.state[p] = {"step": count, **moments}
