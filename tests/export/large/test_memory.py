from fewstep_export.large.memory import BASE, MemoryForecast


def test_the_export_holds_one_weight_and_the_check_all_of_them() -> None:
    shapes = {"a": (1000, 1000), "b": (1000, 1000), "c": (10,)}
    forecast = MemoryForecast.of(shapes, activations=5_000_000)
    assert forecast.weights == 8_000_040
    assert forecast.check == BASE + 8_000_040 + 5_000_000
    assert forecast.export < MemoryForecast.of(shapes | {"d": (2000, 1000)}, 0).export
    assert forecast.export == MemoryForecast.of(shapes | {"d": (1000, 1000)}, 0).export


def test_says_so_in_one_line() -> None:
    line = MemoryForecast.of({f"w{i}": (1000, 1000) for i in range(860)}, 1_000_000_000).describe()
    assert line.startswith("weights 3.44 GB, peak memory about 4.89 GB (export 0.71 GB")
