"""A whole benchmark: its settings, its progress, its pictures."""

from pathlib import Path

import pytest

from fewstep.bench.config import BenchConfig
from fewstep.bench.device import physical_cores
from fewstep.bench.runner import Benchmark, bench, spread
from fewstep.errors import BundleError
from fewstep.manifest import Prompts
from fewstep.pipeline import Pipeline


def test_all_variants_draw_the_same_prompts_and_seeds(
    benchmark_of_tiny: Benchmark, tiny_bundle: Path
) -> None:
    drawn = benchmark_of_tiny.drawn
    asked = [[(d.prompt, d.seed) for d in pictures] for pictures in drawn.values()]
    assert asked[0] == asked[1]
    assert [seed for _, seed in asked[0]] == [0, 1, 2]
    last = drawn["fp32-ort"][2]
    again = Pipeline(tiny_bundle, "fp32-ort", threads=1).generate(last.prompt, last.seed)
    assert last.picture.tobytes() == again.tobytes()


def test_options_choose_variant_table_guidance_and_threads(tiny_bundle: Path) -> None:
    calls: list[tuple[str, int]] = []
    config = BenchConfig(
        tiny_bundle, ("fp32-ort",), runs=1, warmup=0, steps=2, sampler="flow-euler", guidance=1.0, seed=9
    )
    result = bench(config, lambda what, total: calls.append((what, total)))
    settings = result.report.settings
    assert [v.name for v in result.report.variants] == list(result.drawn) == ["fp32-ort"]
    assert (settings.step_table, settings.guidance, settings.threads) == (
        "flow-euler-2",
        1.0,
        physical_cores(),
    )
    assert result.drawn["fp32-ort"][0].seed == 9
    assert {total for _, total in calls} == {len(calls)}  # the progress bar ends full


def test_an_unknown_variant_is_refused(tiny_bundle: Path) -> None:
    with pytest.raises(BundleError, match="expected one of the variants fp32, fp32-ort, found 'int4'"):
        bench(BenchConfig(tiny_bundle, ("int4",)))


def test_examples_and_styles_are_spread() -> None:
    prompts = Prompts(("flat", "3d"), ("cat", "dog", "sun", "car"))
    assert spread(prompts, 2) == ("cat, flat style", "sun, 3d style")
    assert spread(prompts, 9) == ("cat, flat style", "dog, 3d style", "sun, flat style", "car, 3d style")
    assert spread(Prompts((), ("cat", "dog")), 3) == ("cat", "dog")
    assert spread(Prompts(), 3) == ()
