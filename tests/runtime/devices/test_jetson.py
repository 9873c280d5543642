"""What a Jetson says, in the words that its programs have; the programs here are scripts that print these words."""

import os
from pathlib import Path

import pytest

from fewstep.bench.device import this_device
from fewstep.devices.jetson import Sample, Tegrastats, power_settings

LINE = (
    "11-24-2026 10:00:00 RAM 3321/7620MB (lfb 4x4MB) SWAP 0/3810MB (cached 0MB) CPU [12%@1510,0%@1510,off,off] "
    "EMC_FREQ 3%@2133 GR3D_FREQ 97%@[624] VIC_FREQ 115 APE 174 cpu@49.5C soc2@48.1C tj@51.5C gpu@50.9C "
    "VDD_IN 7321mW/7200mW VDD_CPU_GPU_CV 3100mW/3000mW VDD_SOC 1500mW/1500mW"
)


def script(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)


def test_a_line_of_tegrastats_is_read() -> None:
    assert Sample.parse(LINE) == Sample(3321, 97, 7321, 51.5)
    assert Sample.parse("something else") == Sample(None, None, None, None)


def test_the_programs_are_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script(tmp_path, "nvpmodel", "echo 'NV Power Mode: 15W'; echo 0")
    script(tmp_path, "jetson_clocks", "echo 'GPU MinFreq=624750000 MaxFreq=624750000 CurrentFreq=624750000'")
    script(tmp_path, "tegrastats", f"while true; do echo '{LINE}'; sleep 0.05; done")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert power_settings() == {"power mode": "15W", "GPU clock": "624 MHz, fixed"}
    assert this_device().board["power mode"] == "15W"
    with Tegrastats() as stats:
        while len(stats.samples) < 2:
            pass
    assert stats.facts() == {
        "power": "7.3 W, at most 7.3 W",
        "memory in use": "at most 3321 MB",
        "temperature": "at most 51.5 C",
    }


def test_elsewhere_there_is_nothing_to_tell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert power_settings() == {}
    with Tegrastats() as stats:
        pass
    assert stats.facts() == {}
