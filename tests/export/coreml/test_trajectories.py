"""The inputs that palettes are fitted to."""

import numpy as np

from fewstep_export.components import Generator
from fewstep_export.coreml.trajectories import spread, trajectory_inputs
from fewstep_export.fixed_inputs import Cases


def test_every_network_is_told_what_whole_pictures_need(tiny: Generator, cases: Cases) -> None:
    found = trajectory_inputs(tiny, pictures=2, rows=12, texts=3)
    assert set(found) == {component.name for component in tiny.components}
    for component in tiny.components:
        more = 3 if component.name == "text_encoder" else 0
        assert more < len(found[component.name]) <= 12 + more
        for feeds in found[component.name]:
            assert set(component.inputs) <= set(feeds)
            assert all(len(feeds[name]) == 1 for name in component.inputs)
    told = {float(feeds["timestep"][0]) for feeds in found["denoiser"]}
    assert told == {row.timestep for row in tiny.sampling.table().rows}


def test_the_fixed_inputs_are_not_among_them(tiny: Generator, cases: Cases) -> None:
    found = trajectory_inputs(tiny, pictures=2)["decoder"]
    for case in cases["decoder"]:
        assert not any(np.array_equal(feeds["latents"][0], case.feeds["latents"][0]) for feeds in found)


def test_no_picture_and_no_branch_is_met_alone() -> None:
    batches = [
        {"row": np.array([i])} for i in range(320)
    ]  # 20 steps of 16 rows: 8 pictures, both branches of guidance
    for count in (24, 48):
        rows = [int(case["row"][0]) for case in spread(batches, count)]
        assert rows == sorted(rows) and len(set(rows)) == count
        assert len({row % 8 for row in rows}) == 8 and {row % 16 // 8 for row in rows} == {0, 1}
    assert spread(batches[:3], 5) == batches[:3]
