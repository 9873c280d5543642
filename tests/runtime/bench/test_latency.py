"""Order statistics against their definition, numpy's, and worked examples."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fewstep.bench.latency import Latency, quantile
from fewstep.errors import FewstepError


def test_median_and_p90_of_known_samples() -> None:
    latency = Latency.of(9.0, [5.0, 1.0, 4.0, 2.0, 3.0])
    assert (latency.first, latency.median) == (9.0, 3.0)
    assert latency.p90 == pytest.approx(4.6)
    assert latency.samples == (5.0, 1.0, 4.0, 2.0, 3.0)  # in the order of time
    assert Latency.of(1.0, [2.0]) == Latency(1.0, 2.0, 2.0, (2.0,))
    assert quantile([1.0, 2.0], 0.5) == 1.5


@given(st.lists(st.floats(0, 1e3), min_size=1, max_size=30), st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0]))
def test_quantiles_are_numpys(samples: list[float], q: float) -> None:
    assert quantile(samples, q) == pytest.approx(float(np.quantile(samples, q)), abs=1e-9)


@pytest.mark.parametrize(("samples", "q"), [([], 0.5), ([1.0], 1.5)])
def test_no_samples_and_no_such_quantile_are_refused(samples: list[float], q: float) -> None:
    with pytest.raises(FewstepError, match="expected samples and 0 <= q <= 1"):
        quantile(samples, q)
