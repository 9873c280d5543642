"""The order of calls, and what is measured on a real pipeline."""

from functools import partial
from pathlib import Path

import pytest

from fewstep.bench.meter import component_calls, generation_call, rounds
from fewstep.pipeline import Pipeline


def test_rounds_take_the_variants_in_turn_and_drop_the_warm_up() -> None:
    order: list[str] = []

    def call(name: str, k: int) -> int:
        order.append(f"{name}{k}")
        return len(order)

    calls = {name: partial(call, name) for name in "ab"}
    ticks: list[int] = []
    series = rounds(calls, warmup=1, runs=2, on_call=lambda: ticks.append(1))
    assert order == ["a0", "b0", "a0", "b0", "a0", "b0", "a1", "b1"]
    assert (series["a"].first, series["a"].timed) == (1, (5, 7))
    assert (series["b"].first, series["b"].timed) == (2, (6, 8))
    assert len(ticks) == len(order)


def test_every_component_is_timed_inside_its_graph(tiny_bundle: Path) -> None:
    pipeline = Pipeline(tiny_bundle, threads=1)
    calls = component_calls(pipeline, "a red heart")
    assert list(calls) == [("text_encoder", 1), ("denoiser", 1), ("denoiser", 2), ("decoder", 1)]
    assert not pipeline.timings.calls  # nothing ran before its own first call
    for (component, _), call in calls.items():
        assert call(0) == pipeline.timings.calls[component][-1] > 0


def test_a_generation_says_where_its_time_went(tiny_bundle: Path) -> None:
    pipeline = Pipeline(tiny_bundle, threads=1)
    table = pipeline.bundle.step_table(3, "flow-euler")
    call = generation_call(pipeline, ["a red heart", "a blue star"], seed=5, table=table, guidance=3.0)
    drawn = call(3)
    assert (drawn.prompt, drawn.seed) == ("a blue star", 8)
    assert drawn.picture.tobytes() == pipeline.generate("a blue star", 8, table, 3.0).tobytes()
    shares = drawn.shares()
    assert list(shares) == ["text_encoder", "denoiser", "decoder", "host"]
    assert sum(shares.values()) == pytest.approx(1)
    assert all(0 < share < 1 for share in shares.values())
