from pathlib import Path
from typing import Any

import pytest

from fewstep.errors import FewstepError
from fewstep_export.config import ExportConfig
from fewstep_export.package_config import ConvertConfig


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "expected at least 1 step, found 0; choose a larger --steps"),
        (
            {"precisions": ("fp4",)},
            "expected each precision once, out of fp32, fp16, int8, fp8, w8, w4, palette6, palette4, palette-mixed, found fp4",
        ),
        ({"precisions": ()}, "found none"),
        ({"precisions": ("fp16", "fp16")}, "found fp16, fp16"),
        ({"targets": ("tpu",)}, "expected each target once, out of ort, coreml, tensorrt, found tpu"),
        ({"sampler": "magic"}, "expected each sampler once, out of flow-euler, flow-dpm.*, found magic"),
        ({"guidance": float("inf")}, "expected a finite guidance scale, found inf"),
    ],
)
def test_what_no_bundle_can_have_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(FewstepError, match=message):
        ExportConfig("emoji-128", Path("x.fewstep"), **options)


def test_options_and_command_name_no_place_of_this_machine(tmp_path: Path) -> None:
    config = ExportConfig(str(tmp_path / "mine"), tmp_path / "x.fewstep", steps=4, guidance=2.0)
    assert config.options()["source"] == "mine"
    assert config.command() == (
        "fewstep export mine --target ort --precision fp32 --precision fp16 --steps 4 --guidance 2.0 -o x.fewstep"
    )


def test_packages_stand_in_options_and_command_where_they_are_made() -> None:
    packages = ConvertConfig("iOS18", half_io=True, neural_engine=True)
    config = ExportConfig("emoji-128", Path("x.fewstep"), ("coreml",), ("int8",), packages=packages)
    assert config.options().items() >= {"min_target": "iOS18", "half_io": True, "neural_engine": True}.items()
    assert "--precision int8 --min-target iOS18 --half-io --neural-engine" in config.command()
    assert "min_target" not in ExportConfig("emoji-128", Path("x.fewstep")).options()
