"""MobileNetV2: the published sizes, and stages that exist."""

import pytest
import torch

from fewstep_distillation.mobilenet import CHANNELS, MobileNetV2


def test_stages_have_the_published_sizes() -> None:
    network = MobileNetV2(range(len(CHANNELS))).eval()
    with torch.no_grad():
        found = network(torch.rand(1, 3, 64, 64))
    assert [tuple(f.shape[1:]) for f in found] == [
        (16, 32, 32), (24, 16, 16), (32, 8, 8), (64, 4, 4), (96, 4, 4), (160, 2, 2), (320, 2, 2)
    ]  # fmt: skip
    assert sum(p.numel() for p in network.parameters()) == 1_811_712  # 2.2 M without the last convolution


def test_nothing_is_computed_beyond_the_last_stage() -> None:
    torch.manual_seed(0)
    network = MobileNetV2((1,)).eval()
    assert len(network.features) == 4
    assert len(network(torch.rand(1, 3, 32, 32))) == 1


@pytest.mark.parametrize("stages", [(), (7,), (-1,)])
def test_other_stages_are_refused(stages: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="stages must be some of 0 to 6"):
        MobileNetV2(stages)
