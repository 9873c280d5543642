import pytest

from fewstep.errors import FewstepError
from fewstep_export.large.memory import (
    BASE,
    MARGIN,
    TORCH_COPIES,
    MemoryForecast,
    machine_bytes,
    require_memory,
)


def test_the_export_holds_one_weight_and_the_check_all_of_them() -> None:
    shapes = {"a": (1000, 1000), "b": (1000, 1000), "c": (10,)}
    forecast = MemoryForecast.of(shapes, 2_000_000, 5_000_000)
    assert forecast.weights == 8_000_040
    assert forecast.check == int(MARGIN * (BASE + 8_000_040 + 5_000_000))
    assert forecast.reference == int(MARGIN * (BASE + 8_000_040 + 4_000_000 + TORCH_COPIES * 2_000_000))
    assert forecast.export < MemoryForecast.of(shapes | {"d": (2000, 1000)}, 0, 0).export
    assert forecast.export == MemoryForecast.of(shapes | {"d": (1000, 1000)}, 0, 0).export


def test_says_so_in_one_line() -> None:
    line = MemoryForecast.of(
        {f"w{i}": (1000, 1000) for i in range(860)}, 400_000_000, 1_000_000_000
    ).describe()
    assert line.startswith("weights 3.44 GB, peak memory about 5.29 GB (export 0.91 GB")


def test_a_package_is_told_where_one_is_asked_for() -> None:
    plain, packages = (MemoryForecast.of({"w": (1000, 1000)}, 0, 0, asked) for asked in (False, True))
    assert plain.package == 0 and packages.package > packages.check
    assert packages.peak >= packages.package and "Core ML" in packages.describe()
    assert "Core ML" not in plain.describe()


def test_what_does_not_fit_is_refused_by_name_unless_forced() -> None:
    forecasts = {
        name: MemoryForecast.of({"w": (side, 1000)}, 0, 0) for name, side in (("a", 10), ("b", 10**6))
    }
    message = (
        r"at most 4\.00 GB, this machine's memory, found a forecast of 1\d\.\d\d GB, for b; .*--force-memory"
    )
    with pytest.raises(FewstepError, match=message):
        require_memory(forecasts, 4_000_000_000, force=False)
    require_memory(forecasts, 4_000_000_000, force=True)
    require_memory(forecasts, 14_000_000_000, force=False)


def test_this_machine_has_memory() -> None:
    assert 500_000_000 < machine_bytes() < 10**14
