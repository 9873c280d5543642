"""The builds of all targets, from one export of the components."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from fewstep_export.components import Generator
from fewstep_export.config import ExportConfig
from fewstep_export.fixed_inputs import Cases
from fewstep_export.onnx_export import ExportedComponent, export_component
from fewstep_export.targets import ort
from fewstep_export.targets.ort import Begin, Build


def stages(generator: Generator, config: ExportConfig) -> int:
    """How often `build_all` calls `begin`."""
    of_ort = ort.stages(config.precisions) if "ort" in config.targets else 0
    of_coreml = len(config.precisions) if "coreml" in config.targets else 0
    of_tensorrt = len({"fp16", "int8", "fp8"} & set(config.precisions)) if "tensorrt" in config.targets else 0
    of_sizes = 1 if config.engines.profiles else 0
    return len(generator.components) + of_ort + of_coreml + of_tensorrt + of_sizes


def build_all(
    generator: Generator, config: ExportConfig, cases: Cases, root: Path, begin: Begin
) -> list[Build]:
    """Writes the artefacts of every target under `root`/TARGET and returns the variants, the default one first.

    Raises:
        ParityError: a component differs from torch.
        FewstepError: a component cannot be exported, does not fit its precision, or cannot be converted.
    """
    graphs: list[ExportedComponent] = []
    for component in generator.components:
        begin(f"exporting {component.name}")
        graphs.append(export_component(component, cases[component.name][0].feeds))
    if "tensorrt" in config.targets:
        from fewstep.tensorrt.library import load_library

        load_library()  # an extra: known before long work
    builds: list[Build] = []
    if "coreml" in config.targets:
        from fewstep_export.coreml.preflight import require_all_convertible  # coremltools is an extra

        require_all_convertible({graph.component.name: graph.model for graph in graphs})
    if "ort" in config.targets:
        builds += ort.build(graphs, config.precisions, cases, root, begin)
    if "coreml" in config.targets:
        builds += _coreml(generator, graphs, config, cases, root, begin)
    if "tensorrt" in config.targets:
        from fewstep_export.targets import tensorrt

        builds += tensorrt.build(graphs, config.precisions, config.engines, cases, root, begin)
    return builds


def _coreml(
    generator: Generator,
    graphs: Sequence[ExportedComponent],
    config: ExportConfig,
    cases: Cases,
    root: Path,
    begin: Begin,
) -> list[Build]:
    from fewstep_export.coreml.picture_gradients import picture_errors
    from fewstep_export.coreml.trajectories import trajectory_inputs
    from fewstep_export.targets import coreml  # coremltools is an extra

    inputs, errors = partial(trajectory_inputs, generator), partial(picture_errors, generator)
    return coreml.build(graphs, config.precisions, config.packages, cases, inputs, errors, root, begin)
