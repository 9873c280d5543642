"""Positions against the table that diffusers' DiT and SD3 use."""

import pytest
import torch
from diffusers.models.embeddings import get_2d_sincos_pos_embed

from fewstep_models.positions import sinusoidal_positions


@pytest.mark.parametrize(("extent", "base"), [(None, 6), (3.0, 3)])
def test_parity_with_diffusers(extent: float | None, base: int) -> None:
    theirs = get_2d_sincos_pos_embed(16, 6, base_size=base, output_type="pt")  # (36, 16)
    expected = torch.as_tensor(theirs).T.reshape(1, 16, 6, 6).float()
    torch.testing.assert_close(sinusoidal_positions(16, 6, extent), expected, atol=1e-5, rtol=1e-5)


def test_widths_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match=r"width \(18\) must be a multiple of 4"):
        sinusoidal_positions(18, 4)
