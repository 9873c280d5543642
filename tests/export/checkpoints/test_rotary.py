import torch

from fewstep_export.checkpoints.rotary import rotate, table


def test_turning_pairs_is_the_complex_product() -> None:
    torch.manual_seed(0)
    x, angles = torch.randn(2, 5, 3, 8), torch.rand(5, 4) * 6
    factors = torch.polar(torch.ones_like(angles), angles)
    pairs = torch.view_as_complex(x.reshape(2, 5, 3, 4, 2)) * factors[None, :, None]
    cos, sin = table(factors)
    found = rotate(x, (cos[None].expand(2, -1, -1), sin[None].expand(2, -1, -1)))
    torch.testing.assert_close(found, torch.view_as_real(pairs).flatten(3))
