"""A module in training with its optimiser and its compiled and distributed form: what the trainer moves, one for each player."""

import torch
from accelerate import Accelerator
from accelerate.utils import compile_regions
from torch import Tensor, nn

from fewstep_distillation.run_config import RunConfig


class Optimised:
    """``raw`` holds the parameters, ``module`` is what a loss calls (``local`` where no gradient is asked); AdamW moves them.

    Args:
        raw: the network, already with its initial weights.
        config: rates, decay, clipping and compilation.
        accelerator: decides device, precision and the other processes.
        rate: factor on the learning rate of the run.
    """

    def __init__(
        self, raw: nn.Module, config: RunConfig, accelerator: Accelerator, rate: float = 1.0
    ) -> None:
        self.accelerator, self.clip, self.rate = accelerator, config.gradient_clip, rate
        self.raw = raw.to(accelerator.device)
        trained = [p for p in self.raw.parameters() if p.requires_grad]
        # "decay" belongs to matrices and kernels; gains, biases and tables are left alone.
        decayed, rest = [p for p in trained if p.ndim > 1], [p for p in trained if p.ndim <= 1]
        self.optimizer = torch.optim.AdamW(
            [{"params": decayed, "weight_decay": config.weight_decay}, {"params": rest, "weight_decay": 0.0}],
            lr=config.learning_rate,
            betas=(config.beta1, config.beta2),
            fused=accelerator.device.type == "cuda",
        )
        # Compiled inside DDP, not around it: in accelerate's own order Dynamo splits the graph at DDP's buckets, which gave gradient
        # norms of 1e9 for the denoiser (torch 2.11, two H100). Repeated blocks are compiled once.
        self.local: nn.Module = compile_regions(self.raw, dynamic=False) if config.compile else self.raw
        self.module, self.stepper = accelerator.prepare(self.local, self.optimizer)

    def update(self, loss: Tensor, learning_rate: float) -> Tensor:
        """One step down the loss; returns the norm of the gradient before clipping."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate * learning_rate
        self.accelerator.backward(loss)
        norm = self.accelerator.clip_grad_norm_(self.raw.parameters(), self.clip)
        self.stepper.step()
        self.stepper.zero_grad(set_to_none=True)
        return torch.as_tensor(norm)

    def pack(self) -> dict[str, Tensor]:
        """Parameters and moments by name, on the CPU."""
        tensors = {f"module.{name}": p.detach() for name, p in self.raw.named_parameters()}
        for name, p in self.raw.named_parameters():
            for moment in _MOMENTS:
                if p in self.optimizer.state:
                    tensors[f"{moment}.{name}"] = self.optimizer.state[p][moment]
        return {name: value.contiguous().cpu().clone() for name, value in tensors.items()}

    def unpack(self, state: dict[str, Tensor], updates: int) -> None:
        """The inverse of :meth:`pack` after so many updates."""
        with torch.no_grad():
            for name, p in self.raw.named_parameters():
                p.copy_(state[f"module.{name}"])
        for name, p in self.raw.named_parameters():
            if f"exp_avg.{name}" in state:
                moments = {key: state[f"{key}.{name}"].to(p.device).contiguous() for key in _MOMENTS}
                fused = self.optimizer.defaults["fused"]
                count = torch.tensor(float(updates), device=p.device if fused else "cpu")
                self.optimizer.state[p] = {"step": count, **moments}


_MOMENTS = ("exp_avg", "exp_avg_sq")
