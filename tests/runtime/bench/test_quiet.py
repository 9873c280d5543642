"""A noisy, hot or slow machine leaves marks, by files like those of /proc and /sys; and the real one, made busy."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fewstep.bench.command import run
from fewstep.bench.config import BenchConfig
from fewstep.bench.latency import Latency
from fewstep.bench.quiet import Load, marks, spread_marks
from fewstep.bench.runner import Benchmark
from fewstep.errors import FewstepError


def write(root: Path, files: dict[str, str]) -> None:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)


def stat(busy: int, idle: int) -> str:
    return f"cpu  {busy} 0 0 {idle} 0 0 0 0 0 0\ncpu0 1 1 1 1\n"


def test_a_quiet_machine_has_no_marks(tmp_path: Path) -> None:
    write(tmp_path, {"proc/stat": stat(0, 0), "sys/class/power_supply/BAT0/status": "Full\n"})
    before = Load.now(tmp_path)
    write(tmp_path, {"proc/stat": stat(2, 100)})
    assert marks(before, Load.now(tmp_path), 1, tmp_path) == ()


def test_every_trouble_leaves_its_mark(tmp_path: Path) -> None:
    cpu = "sys/devices/system/cpu/cpu0"
    throttle = f"{cpu}/thermal_throttle/core_throttle_count"
    write(tmp_path, {"proc/stat": stat(0, 0), throttle: "3\n"})
    before = Load.now(tmp_path)
    write(tmp_path, {
        "proc/stat": stat(500, 500), throttle: "5\n", f"{cpu}/cpufreq/scaling_cur_freq": "1200000\n",
        f"{cpu}/cpufreq/cpuinfo_max_freq": "2400000\n", "sys/class/power_supply/BAT0/status": "Discharging\n",
    })  # fmt: skip
    found = " | ".join(marks(before, Load.now(tmp_path), 1000, tmp_path))
    for part in (
        "of the machine (quiet: at most 5%)", "1000 threads were asked for on", "throttled for heat 2 times",
        "at 50% of their largest clock", "on its battery",
    ):  # fmt: skip
        assert part in found


def test_a_system_that_tells_nothing_leaves_no_marks(tmp_path: Path) -> None:
    assert Load.now(tmp_path).whole == 0.0
    assert marks(Load.now(tmp_path), Load.now(tmp_path), 1, tmp_path) == ()


@pytest.mark.parametrize(
    ("samples", "parts"),
    [
        ([1.0, 1.01, 1.0, 1.02, 1.0, 1.01], []),
        ([1.0, 1.5] * 4, ["the middle half of the runs spans 40%"]),
        ([1.0, 1.0, 1.0, 1.2, 1.2, 1.2], ["spans 18%", "1.20 times as long as the first"]),
        ([1.0, 9.0], []),
    ],
)
def test_samples_that_spread_or_drift_are_marked(samples: list[float], parts: list[str]) -> None:
    found = list(spread_marks("x", Latency.of(1.0, samples)))
    assert len(found) == len(parts)
    for mark, part in zip(found, parts, strict=True):
        assert part in mark


@pytest.mark.skipif(not Path("/proc/stat").exists(), reason="only Linux counts so")
def test_another_process_is_noticed_on_the_real_machine() -> None:
    """As many busy processes as there are cores: others then have at least half of the machine, however busy it was."""
    program = "import time\nend = time.monotonic() + 30\nwhile time.monotonic() < end: pass"
    others = [subprocess.Popen([sys.executable, "-c", program]) for _ in range(os.cpu_count() or 1)]
    try:
        before = Load.now()
        time.sleep(1.0)
        found = marks(before, Load.now(), 1)
    finally:
        for other in others:
            other.kill()
            other.wait()
    assert any("other processes took" in mark for mark in found)


def test_the_report_has_its_marks(benchmark_of_tiny: Benchmark) -> None:
    value = benchmark_of_tiny.report.to_dict()
    assert value["marks"] == list(benchmark_of_tiny.report.marks)


def test_a_noisy_machine_is_refused_where_a_quiet_one_is_required(tiny_bundle: Path, tmp_path: Path) -> None:
    """A hundred threads on this machine are a mark in themselves."""
    config = BenchConfig(tiny_bundle, ("fp32",), threads=100, runs=1, warmup=0, require_quiet=True)
    with pytest.raises(FewstepError, match="expected a quiet machine, found that "):
        run(config, str(tmp_path / "x.json"), None)
    assert not (tmp_path / "x.json").exists()
