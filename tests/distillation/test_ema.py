"""The moving average by its recurrence."""

import torch
from torch import nn

from fewstep_distillation.ema import ExponentialMovingAverage


def test_average_follows_the_recurrence_with_warm_up() -> None:
    module = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(module.weight)
    average, expected = ExponentialMovingAverage(module, decay=0.9), 0.0
    for step in range(200):
        nn.init.constant_(module.weight, float(step))
        average.update(module, step)
        decay = min(0.9, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * step
    weight = average.module.weight
    assert isinstance(weight, torch.Tensor)
    assert abs(weight.item() - expected) < 1e-3
    assert not weight.requires_grad
