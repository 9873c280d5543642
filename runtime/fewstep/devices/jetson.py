"""What a Jetson says of itself: its power mode, whether its clocks are fixed, and what it draws while it works.

The three programs come with JetPack; on other machines there is nothing to tell.
"""

import re
import subprocess
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean
from types import TracebackType
from typing import Self

_RAM = re.compile(r"RAM (\d+)/(\d+)MB")
_GPU = re.compile(r"GR3D_FREQ (\d+)%")
_POWER = re.compile(r"(VDD_IN|VDD_GPU_SOC|VIN_SYS_5V0|POM_5V_IN) (\d+)(?:mW)?/")
_TEMPERATURE = re.compile(r"(?:gpu|GPU|tj)@([\d.]+)C")


@dataclass(frozen=True)
class Sample:
    """A line of tegrastats: memory in MB, load of the GPU in percent, power at the input in mW, temperature in degrees Celsius."""

    memory: int | None
    gpu: int | None
    power: int | None
    temperature: float | None

    @classmethod
    def parse(cls, line: str) -> "Sample":
        """The figures of a line; None for what it does not tell."""
        memory, gpu, power = _RAM.search(line), _GPU.search(line), _POWER.search(line)
        hottest = max(map(float, _TEMPERATURE.findall(line)), default=None)
        return cls(
            int(memory[1]) if memory else None,
            int(gpu[1]) if gpu else None,
            int(power[2]) if power else None,
            hottest,
        )


class Tegrastats:
    """Samples of the board while a block runs; none where there is no tegrastats."""

    def __init__(self, interval: int = 500) -> None:
        self.samples: list[Sample] = []
        self._interval = interval
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None

    def __enter__(self) -> Self:
        command = ["tegrastats", "--interval", str(self._interval)]
        try:
            self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        except OSError:
            return self
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is None or self._reader is None:
            return
        self._process.terminate()
        self._process.wait()
        self._reader.join()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def facts(self) -> Mapping[str, str]:
        """Means and peaks in words."""
        power = [s.power for s in self.samples if s.power is not None]
        memory = [s.memory for s in self.samples if s.memory is not None]
        heat = [s.temperature for s in self.samples if s.temperature is not None]
        facts = {"power": f"{fmean(power) / 1000:.1f} W, at most {max(power) / 1000:.1f} W"} if power else {}
        facts |= {"memory in use": f"at most {max(memory)} MB"} if memory else {}
        return facts | ({"temperature": f"at most {max(heat):.1f} C"} if heat else {})

    def _read(self) -> None:
        assert self._process is not None and self._process.stdout is not None
        for line in self._process.stdout:
            self.samples.append(Sample.parse(line))


def power_settings() -> Mapping[str, str]:
    """Power mode and clocks; nothing on a machine that is no Jetson."""
    facts = {}
    mode = re.search(r"NV Power Mode: (\S+)", _said("nvpmodel", "-q"))
    if mode:
        facts["power mode"] = mode[1]
    gpu = re.search(r"GPU.*?MinFreq=(\d+) MaxFreq=(\d+) CurrentFreq=(\d+)", _said("jetson_clocks", "--show"))
    if gpu:
        low, high, now = (int(value) // 1_000_000 for value in gpu.groups())
        facts["GPU clock"] = f"{now} MHz, {'fixed' if low == high else f'free from {low} to {high} MHz'}"
    return facts


def _said(*command: str) -> str:
    """The output of a program; nothing if it is not there or fails (both may want root)."""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""
