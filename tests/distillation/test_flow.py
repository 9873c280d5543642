"""The four lines of rectified flow agree with each other."""

import torch

from fewstep_distillation.flow import clean, euler, noised


def test_the_true_velocity_leads_from_any_level_to_any_other() -> None:
    generator = torch.Generator().manual_seed(0)
    x0, n = torch.randn(2, 3, 4, 5, 5, generator=generator, dtype=torch.float64)
    here, there = torch.rand(2, 3, generator=generator, dtype=torch.float64)
    x, u = noised(x0, n, here), n - x0
    torch.testing.assert_close(clean(x, u, here), x0, atol=1e-14, rtol=0)
    torch.testing.assert_close(euler(x, u, here, there), noised(x0, n, there), atol=1e-14, rtol=0)


def test_level_one_is_noise_and_level_zero_the_picture() -> None:
    x0, n = torch.randn(2, 2, 1, 2, 2)
    torch.testing.assert_close(noised(x0, n, torch.tensor([1.0, 0.0])), torch.stack([n[0], x0[1]]))
