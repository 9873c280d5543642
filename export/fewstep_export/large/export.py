"""A diffusers folder to a bundle, one component at a time, each step in a process of its own: `fewstep export` of what is large.

1. The model is built on shapes; what it will take is told, and refused if this machine has less.
2. For each component torch is evaluated on fixed inputs, the graph is traced and written, and compared with torch.
3. The bundle is put together of the files of these stages. Finished stages stay until it is there, so that a run that was killed goes on.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path

from fewstep import atomic
from fewstep.errors import FewstepError
from fewstep.manifest import Provenance
from fewstep.records import to_json
from fewstep.staged import require_replaceable, staged_folder
from fewstep_export.bundle_manifest import manifest_of, write_texts
from fewstep_export.bundle_writer import reusable, write_manifest
from fewstep_export.checkpoints.folder import LIBRARIES
from fewstep_export.config import FLOATS, ExportConfig, OnProgress, OnSay
from fewstep_export.large.check import check_graph
from fewstep_export.large.child import in_child
from fewstep_export.large.component import Source, evaluate, write_graph
from fewstep_export.large.forecast import forecast
from fewstep_export.large.half import check_half, write_half
from fewstep_export.large.memory import machine_bytes, require_memory
from fewstep_export.large.stages import DONE, Stages, hash_file
from fewstep_export.large.variants import Builds, Built, coreml_variant, onnxruntime_variant
from fewstep_export.parity import FP16_TOLERANCE, FP32_TOLERANCE
from fewstep_export.provenance import provenance_of
from fewstep_export.source_watch import blaming, watch

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
    with atomic.sole_writer(config.output):
        return _export(config, on_progress, say)


def _export(config: ExportConfig, on_progress: OnProgress, say: OnSay) -> Path:
    require_unchanged = watch(config)
    with blaming(require_unchanged):
        return _watched(config, on_progress, say, require_unchanged)


def _watched(
    config: ExportConfig, on_progress: OnProgress, say: OnSay, require_unchanged: Callable[[], None]
) -> Path:
    on_progress("reading the checkpoint", 0, 1)
    lean = Source(config).open()
    forecasts = forecast(lean, "coreml" in config.targets)
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
    stages = Stages.of(config.output)
    run = _Run(stages, provenance, on_progress, say, len(names) * _stages(config), require_unchanged)
    built = _components(run, source, names)
    with staged_folder(config.output, require_unchanged) as root:
        variants = [
            *(onnxruntime_variant(p, built, root) for p in config.precisions if "ort" in config.targets),
            *(coreml_variant(p, built, root) for p in config.precisions if "coreml" in config.targets),
        ]
        write_texts(generator, root)
        table = generator.sampling.table()
        write_manifest(root, manifest_of(generator, table, variants, root, provenance))
    run.stages.clear()
    return config.output


def _stages(config: ExportConfig) -> int:
    """How many a component goes through."""
    half, packages = "fp16" in config.precisions, "coreml" in config.targets
    return 3 + 2 * half + 2 * packages + 2 * (half and packages)


def _require_plain(config: ExportConfig) -> None:
    """Refuses what needs all networks, or a whole component several times, in memory at once."""
    asked = ["--compare"] * config.compare + config.loop.flags()
    if asked:
        raise FewstepError(
            f"expected an export of one component at a time to draw no pictures, found {' '.join(asked)}, for {config.source_name}; "
            "leave that out, or raise --large-from if the whole model fits into memory"
        )
    if others := [precision for precision in config.precisions if precision not in FLOATS]:
        raise FewstepError(
            f"expected fp32 or fp16 for an export of one component at a time, found {others[0]}, for {config.source_name}; "
            "leave that out, or raise --large-from if the whole model fits into memory"
        )


def _components(run: "_Run", source: Source, names: Sequence[str]) -> Builds:
    """The builds of every component."""
    built: dict[str, Mapping[str, Built]] = {}
    half, packages = "fp16" in source.config.precisions, "coreml" in source.config.targets
    encoded: Path | None = None
    for name in names:
        cases = run.stage(f"{name}-torch", evaluate, source, name, encoded)
        if name == "text_encoder":
            encoded = cases
        graph = run.stage(f"{name}-fp32", write_graph, source, name, cases) / f"{name}.onnx"
        checked = run.stage(f"{name}-fp32-check", check_graph, graph, cases, FP32_TOLERANCE)
        built[name] = {"fp32": Built(graph, checked)}
        if half:
            lowered = run.stage(f"{name}-fp16", write_half, graph, cases) / f"{name}.onnx"
            checked = run.stage(f"{name}-fp16-check", check_half, lowered, cases, FP16_TOLERANCE)
            built[name] = {**built[name], "fp16": Built(lowered, checked)}
        if packages:
            built[name] = _packages(run, source.config, name, cases, built[name])
    return built


def _packages(
    run: "_Run", config: ExportConfig, name: str, cases: Path, built: Mapping[str, Built]
) -> Mapping[str, Built]:
    """The builds of a component with their packages; FP32 shows small mistakes, so it is made whatever is asked for."""
    from fewstep_export.coreml.verify import FP16_TOLERANCE as HALF  # coremltools is an extra
    from fewstep_export.coreml.verify import FP32_TOLERANCE as FULL
    from fewstep_export.large.packages import check_package, write_package

    done = {}
    for precision, one in built.items():
        mode, tolerance = ("exact", FULL) if precision == "fp32" else ("fp16", HALF)
        chosen = replace(config.packages, half_io=config.packages.half_io and precision != "fp32")
        folder = run.stage(f"{name}-coreml-{precision}", write_package, one.graph, chosen)
        check = run.stage(
            f"{name}-coreml-{precision}-check",
            check_package,
            folder,
            built["fp32"].graph,
            cases,
            mode,
            tolerance,
        )
        done[precision] = replace(one, packages=folder, package_check=check)
    return done


@dataclass
class _Run:
    """The stages of an export, told as they begin and end."""

    stages: Stages
    provenance: Provenance
    on_progress: OnProgress
    say: OnSay
    total: int
    require_unchanged: Callable[[], None]
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
        self.require_unchanged()  # what came of a changed file must not be kept under the name of the old one
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
