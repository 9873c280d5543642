"""Builds of a bundle with more of the loop inside their graphs, made of the graphs that it has."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import onnx

from fewstep.errors import FewstepError
from fewstep.loop_form import Loop
from fewstep.manifest import Guidance, Manifest, Variant
from fewstep.step_table import StepTable
from fewstep_export.loop_forms.config import LoopForms
from fewstep_export.loop_forms.fused_step import FusedStepConfig, fused_step
from fewstep_export.loop_forms.hoist import hoist
from fewstep_export.loop_forms.unrolled import unrolled
from fewstep_export.onnx_export import to_bytes
from fewstep_export.signature import component_record

LIMIT = 2**31
"""Bytes of a graph in one file, which protobuf allows."""

BUFFERS = 3
"""Arrays that a fused step keeps, and it takes noise: few steps of any sampler fit, and a product with 0 costs nothing here."""

NOT_CONDITIONS = ("latents", "timestep", "guidance")


@dataclass(frozen=True)
class Build:
    """A variant whose loop runs on the host, and what its other forms are built for.

    Attributes:
        base: the variant, of .onnx graphs.
        manifest: of the bundle.
        table: that of an unrolled graph.
        root: folder of the bundle.
    """

    base: Variant
    manifest: Manifest
    table: StepTable
    root: Path

    def hoisted(self) -> Variant:
        """The denoiser in two graphs; see `fewstep_export.loop_forms.hoist`."""
        prompt, step = self._halves()
        return self._variant("hoisted", Loop(), {"prompt": prompt, "denoiser": step})

    def fused(self, hoisted: bool) -> Variant:
        """One row of a step table in a graph, of any of the usual samplers; see `fewstep_export.loop_forms.fused_step`."""
        kept = max(table.buffers for table in self.manifest.step_tables.values())
        config = FusedStepConfig(max(kept, BUFFERS), stochastic=True, guidance=self._guidance)
        if not hoisted:
            return self._variant(
                "fused", Loop("fused"), {"fused_step": fused_step(self._graph("denoiser"), config)}
            )
        prompt, step = self._halves()
        graphs = {"prompt": prompt, "fused_step": fused_step(step, config)}
        return self._variant("hoisted-fused", Loop("fused"), graphs)

    def unrolled(self) -> Variant:
        """The table and the decoder in a graph; see `fewstep_export.loop_forms.unrolled`."""
        graph = unrolled(
            self._graph("denoiser"),
            self._graph("decoder"),
            self.table,
            self.manifest.latent,
            self._guidance,
        )
        return self._variant("unrolled", Loop("unrolled", self.table.name), {"unrolled": graph})

    @property
    def _guidance(self) -> Guidance | None:
        """What stands in the graph: nothing for a denoiser that is told its scale, or one that is used without guidance."""
        guidance = self.manifest.guidance
        told = "guidance" in self.base.components["denoiser"].input_names
        return None if told or guidance.scale == 1.0 else guidance

    def _halves(self) -> tuple[onnx.ModelProto, onnx.ModelProto]:
        inputs = (spec.name for spec in self.base.components["denoiser"].inputs)
        halves = hoist(self._graph("denoiser"), [name for name in inputs if name not in NOT_CONDITIONS])
        return halves.prompt, halves.step

    def _graph(self, name: str) -> onnx.ModelProto:
        return onnx.load(self.root / self.base.components[name].file)

    def _variant(self, form: str, loop: Loop, graphs: Mapping[str, onnx.ModelProto]) -> Variant:
        """Writes the graphs; the files of the other components are those of the base."""
        name = f"{self.base.name}-{form}"
        folder = self.root / "ort" / name
        shutil.rmtree(folder, ignore_errors=True)  # of an earlier build
        folder.mkdir(parents=True)
        replaced = {"denoiser"} | ({"decoder"} if loop.form == "unrolled" else set())
        components = {key: kept for key, kept in self.base.components.items() if key not in replaced}
        for key, graph in graphs.items():
            file = folder / f"{key}.onnx"
            file.write_bytes(to_bytes(graph))
            components[key] = component_record(graph, file.relative_to(self.root).as_posix())
        return replace(self.base, name=name, components=components, verification={}, loop=loop, gates={})


@dataclass(frozen=True)
class Form:
    """A variant and the one with its loop on the host that it was made of."""

    variant: Variant
    base: Variant


def build_variants(
    manifest: Manifest, forms: LoopForms, table: StepTable, root: Path, only: Variant | None = None
) -> list[Form]:
    """Writes the graphs under `root`/ort and returns the variants; their pictures are still to be compared.

    Args:
        manifest: of the bundle as it is.
        forms: what to build, of every variant of .onnx graphs.
        table: what is unrolled.
        root: folder of the bundle.
        only: the one variant to build them of; None for all.

    Raises:
        FewstepError: no variant has such graphs, they are too large, or nothing can be hoisted.
    """
    candidates = manifest.variants if only is None else (only,)
    bases = [
        variant
        for variant in candidates
        if (variant.engine, variant.format, variant.form) == ("onnxruntime", "onnx", "host")
    ]
    if not bases:
        names = ", ".join(variant.name for variant in candidates)
        raise FewstepError(
            f"expected a variant of .onnx graphs whose loop runs on the host for --hoist, --fuse-step or --unroll, found {names}; export with --target ort"
        )
    for base in bases:
        _require_size(manifest, base)
    builds = [Build(base, manifest, table, root) for base in bases]
    return [Form(variant, build.base) for build in builds for variant in _variants(build, forms)]


def _variants(build: Build, forms: LoopForms) -> list[Variant]:
    variants = [build.hoisted()] if forms.hoist else []
    variants += [build.fused(forms.hoist)] if forms.fuse_step else []
    return variants + ([build.unrolled()] if forms.unroll is not None else [])


def _require_size(manifest: Manifest, base: Variant) -> None:
    """Refuses graphs that, with their weights, do not fit one file."""
    stems = [str(Path(base.components[name].file).with_suffix("")) for name in ("denoiser", "decoder")]
    size = sum(record.bytes for file, record in manifest.files.items() if file.startswith(tuple(stems)))
    if size >= LIMIT:
        raise FewstepError(
            f"expected graphs below {LIMIT / 1e9:.1f} GB for --hoist, --fuse-step or --unroll, found {size / 1e9:.1f} GB, "
            f"in variant '{base.name}'; leave these options out"
        )
