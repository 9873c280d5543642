"""Other forms of the loop for a bundle that is there already, of builds that the export did not make; the body of `fewstep loop`.

A quantised denoiser is a graph like any other: its forms are built of it, as those of FP32 are, and nothing is quantised again.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

from fewstep.bench.device import physical_cores, this_device
from fewstep.bundle import Bundle
from fewstep.errors import FewstepError
from fewstep.fixed_feeds import fixed_prompts
from fewstep.gate import Gate
from fewstep.manifest import Manifest, Variant
from fewstep.pipeline import Pipeline
from fewstep.renewal import renewed
from fewstep_export.bundle_writer import write_manifest
from fewstep_export.loop_forms.config import LoopConfig
from fewstep_export.loop_forms.verify import add_loop_forms
from fewstep_export.picture_loop import PictureTask
from fewstep_quantization.config import Limits
from fewstep_quantization.gate import GateError, check
from fewstep_quantization.measure import Comparison, size, speedup

OnProgress = Callable[[str, int, int], None]
"""(what is done, done, of all)"""


def add_to_bundle(
    config: LoopConfig, on_progress: OnProgress = lambda _what, _done, _all: None
) -> list[Variant]:
    """Builds the forms of one variant, compares their pictures with its own, and adds them; an older form of the same name gives way.

    A build that passed the ship gate has its forms measured too: pictures and judgements are its own, speed-up and size theirs.

    Raises:
        GateError: a form is no faster than what the build was measured against, and is not forced.
        FewstepError: the bundle is not what it should be, a form does not apply to it, or gives another picture.
        OSError: the bundle cannot be written. In all cases the bundle stays as it was.
    """
    if config.bundle.is_file():
        raise FewstepError(
            f"expected the folder of a bundle, found a file, at {config.bundle}; write it as a folder with `fewstep unpack`"
        )
    bundle = Bundle.open(config.bundle)
    base = bundle.manifest.variant(config.variant)
    with renewed(bundle) as root:
        on_progress("building and drawing", 0, len(config.forms.names) + 1)
        manifest = add_loop_forms(None, bundle.manifest, config.forms, _task(bundle), root, base)
        new = [manifest.variant(f"{base.name}-{name}") for name in config.forms.names]
        for k, variant in enumerate(new):
            on_progress(f"measuring {variant.name}", k + 1, len(new) + 1)
            gates = _gates(Bundle(root, manifest), variant.name, base.gates, config)
            manifest = _with(manifest, replace(variant, gates=gates))
        write_manifest(root, manifest)
    return [manifest.variant(variant.name) for variant in new]


def _task(bundle: Bundle) -> PictureTask:
    manifest = bundle.manifest
    return PictureTask(fixed_prompts(manifest.prompts), bundle.step_table(), manifest.guidance.scale)


def _gates(bundle: Bundle, name: str, gates: Mapping[str, Gate], config: LoopConfig) -> Mapping[str, Gate]:
    """What the form is worth, by the variants that its base was measured against, as far as they are still there."""
    names = {variant.name for variant in bundle.manifest.variants}
    return {ref: _measured(bundle, name, ref, gate, config) for ref, gate in gates.items() if ref in names}


def _measured(bundle: Bundle, name: str, reference: str, gate: Gate, config: LoopConfig) -> Gate:
    threads = config.threads or physical_cores()
    own = bundle.manifest.variant(name).loop.step_table
    table = bundle.step_table() if own is None else bundle.manifest.step_tables[own]
    prompts = fixed_prompts(bundle.manifest.prompts)
    comparison = Comparison(name, reference, prompts, table, config.rounds, threads)
    before, after = (Pipeline(bundle, which, threads) for which in (reference, name))
    faster, interval = speedup(before, after, comparison)
    found = replace(
        gate,
        speedup=faster,
        speedup_interval=interval,
        size=size(bundle.manifest, comparison),
        threads=threads,
        device=this_device().processor,
    )
    checks = check(found, Limits())
    passed = gate.passed and all(entry.passed for entry in checks)
    if not all(entry.passed for entry in checks) and not config.force:
        raise GateError(checks)
    return replace(found, passed=passed)


def _with(manifest: Manifest, variant: Variant) -> Manifest:
    variants = tuple(variant if v.name == variant.name else v for v in manifest.variants)
    return replace(manifest, variants=variants)
