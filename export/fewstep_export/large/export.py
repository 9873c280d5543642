"""A diffusers folder to a bundle, one component at a time, each step in a process of its own: `fewstep export` of what is large.

1. The model is built on shapes; what it will take is told, and refused if this machine has less.
2. For each component torch is evaluated on fixed inputs, the graph is traced and written, and compared with torch.
3. The bundle is put together of the files of these stages. Finished stages stay until it is there, so that a run that was killed goes on.
"""

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path

import onnx

from fewstep.errors import FewstepError
from fewstep.manifest import Component, Provenance, Variant
from fewstep.records import to_json
from fewstep_export.bundle_manifest import manifest_of, write_texts
from fewstep_export.bundle_writer import require_replaceable, reusable, staged_folder, write_manifest
from fewstep_export.checkpoints.folder import LIBRARIES
from fewstep_export.config import ExportConfig, OnProgress, OnSay
from fewstep_export.large.check import check_graph, load_verification
from fewstep_export.large.child import in_child
from fewstep_export.large.component import Source, evaluate, write_graph
from fewstep_export.large.forecast import forecast
from fewstep_export.large.half import check_half, write_half
from fewstep_export.large.memory import machine_bytes, require_memory
from fewstep_export.large.stages import DONE, Stages, hash_file
from fewstep_export.parity import FP16_TOLERANCE, FP32_TOLERANCE
from fewstep_export.provenance import provenance_of
from fewstep_export.signature import component_record

Work = Callable[..., None]
"""A module-level function whose last argument is the folder that it fills."""


def export_large(config: ExportConfig, on_progress: OnProgress, say: OnSay) -> Path:
    """Writes the bundle of a diffusers folder; see `fewstep_export.exporter.export`.

    Args:
        config: of the export.
        on_progress: told what begins.
        say: told the forecast, and of every stage its time and the most memory it held.

    Raises:
        FewstepError: as there; or the forecast exceeds this machine's memory, or a process was killed.
    """
    _require_plain(config)
    require_replaceable(config.output)
    on_progress("reading the checkpoint", 0, 1)
    lean = Source(config).open()
    forecasts = forecast(lean)
    for name, expected in forecasts.items():
        say(f"{name}: {expected.describe()}")
    require_memory(forecasts, machine_bytes(), config.large.force)
    on_progress("hashing the checkpoint", 0, 1)
    source = Source(config, lean.folder.contents_sha256())
    generator = replace(lean.generator, checkpoint_sha256=source.digest)
    provenance = provenance_of(generator, config)
    if reusable(config.output, provenance):
        return config.output
    names = [component.name for component in generator.components]
    half = "fp16" in config.precisions
    run = _Run(Stages.of(config.output), provenance, on_progress, say, len(names) * (5 if half else 3))
    built = _components(run, source, names, half)
    with staged_folder(config.output) as root:
        variants = [_variant(precision, built, root) for precision in config.precisions]
        write_texts(generator, root)
        table = generator.sampling.table()
        write_manifest(root, manifest_of(generator, table, variants, root, provenance))
    run.stages.clear()
    return config.output


def _require_plain(config: ExportConfig) -> None:
    """Refuses what needs all networks in memory at once."""
    asked = ["--compare"] * config.compare + config.loop.flags()
    if asked:
        raise FewstepError(
            f"expected an export of one component at a time to draw no pictures, found {' '.join(asked)}, for {config.source_name}; "
            "leave that out, or raise --large-from if the whole model fits into memory"
        )


@dataclass(frozen=True)
class _Built:
    """A graph in the folder of its stage, and the folder of its verification."""

    graph: Path
    check: Path


def _components(
    run: "_Run", source: Source, names: Sequence[str], half: bool
) -> Mapping[str, Mapping[str, _Built]]:
    """The builds of every component by precision."""
    built: dict[str, Mapping[str, _Built]] = {}
    encoded: Path | None = None
    for name in names:
        cases = run.stage(f"{name}-torch", evaluate, source, name, encoded)
        if name == "text_encoder":
            encoded = cases
        graph = run.stage(f"{name}-fp32", write_graph, source, name, cases) / f"{name}.onnx"
        checked = run.stage(f"{name}-fp32-check", check_graph, graph, cases, FP32_TOLERANCE)
        built[name] = {"fp32": _Built(graph, checked)}
        if half:
            lowered = run.stage(f"{name}-fp16", write_half, graph, cases) / f"{name}.onnx"
            checked = run.stage(f"{name}-fp16-check", check_half, lowered, cases, FP16_TOLERANCE)
            built[name] = {**built[name], "fp16": _Built(lowered, checked)}
    return built


def _variant(precision: str, built: Mapping[str, Mapping[str, _Built]], root: Path) -> Variant:
    """Puts the graphs of a precision into the bundle."""
    folder = root / "ort" / precision
    folder.mkdir(parents=True)
    components: dict[str, Component] = {}
    for name, builds in built.items():
        for file in sorted(builds[precision].graph.parent.glob(f"{name}.onnx*")):
            _link(file, folder / file.name)
        model = onnx.load(str(folder / f"{name}.onnx"), load_external_data=False)
        components[name] = component_record(model, f"ort/{precision}/{name}.onnx")
    verification = {name: load_verification(builds[precision].check) for name, builds in built.items()}
    return Variant(precision, "onnxruntime", precision, "onnx", components, verification)


def _link(file: Path, place: Path) -> None:
    """A second name for a file, or a copy where the disk has no such thing."""
    try:
        os.link(file, place)
    except OSError:
        shutil.copyfile(file, place)


@dataclass
class _Run:
    """The stages of an export, told as they begin and end."""

    stages: Stages
    provenance: Provenance
    on_progress: OnProgress
    say: OnSay
    total: int
    done: int = 0

    def stage(self, name: str, function: Work, *arguments: object) -> Path:
        """The folder of a stage, filled by the function in a child process if no run before did it.

        It depends on the provenance of the bundle and on the stages whose paths are among the arguments.
        """
        self.on_progress(name, self.done, self.total)
        folder, kept = self.stages.run(
            name, self._facts(name, arguments), partial(self._work, name, function, arguments)
        )
        if kept:
            self.say(f"{name}: kept from a run before")
        self.done += 1
        return folder

    def _work(self, name: str, function: Work, arguments: tuple[object, ...], folder: Path) -> None:
        finished = in_child(name, function, *arguments, folder)
        self.say(f"{name}: {finished.seconds:.1f} s, peak memory {finished.peak_bytes / 1e9:.2f} GB")

    def _facts(self, name: str, arguments: tuple[object, ...]) -> Mapping[str, object]:
        paths = [argument for argument in arguments if isinstance(argument, Path)]
        folders = [path if path.is_dir() else path.parent for path in paths]
        return {
            "stage": name,
            "provenance": to_json(self.provenance),
            "libraries": {library: version(library) for library in LIBRARIES},
            "inputs": [hash_file(folder / DONE) for folder in folders],
        }
