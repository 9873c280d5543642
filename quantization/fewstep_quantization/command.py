"""Quantising a variant of a bundle: build, measure, gate, write; the body of `fewstep quantize`."""

from collections.abc import Sequence
from dataclasses import replace

from fewstep.bundle import Bundle
from fewstep.errors import FewstepError
from fewstep.gate import Gate
from fewstep.variant import Verification
from fewstep_quantization.build import build
from fewstep_quantization.building import Build, Inputs, OnProgress
from fewstep_quantization.config import QuantizeConfig
from fewstep_quantization.gate import Check, GateError, check
from fewstep_quantization.judges import installed_judge
from fewstep_quantization.measure import Comparison, compare
from fewstep_quantization.variant_writer import commit, draft


def quantize(
    config: QuantizeConfig, on_progress: OnProgress = lambda _what, _done, _all: None
) -> tuple[Gate, Sequence[Check], Build]:
    """Adds the new variant to the bundle.

    Raises:
        GateError: it does not reach the limits, and is not forced; the bundle stays as it was.
        FewstepError: the bundle or the calibration set is not what it should be.
        OSError: the bundle cannot be written.
    """
    if config.bundle.is_file():
        raise FewstepError(
            f"expected the folder of a bundle, found a file, at {config.bundle}; write it as a folder with `fewstep unpack`"
        )
    bundle = Bundle.open(config.bundle)
    table = bundle.step_table(config.steps, config.sampler)
    judge = installed_judge() if config.judged else None
    inputs = Inputs.load(config, table)
    built = build(config, inputs, on_progress)
    new = replace(inputs.variant, name=config.output, precision=config.scheme, verification={}, gates={})
    with draft(bundle, new, built.graphs) as drafted:
        on_progress("measuring", 0, 1)
        prompts = inputs.held_out(config.compared)
        comparison = Comparison(
            config.output, config.variant, prompts, table, config.rounds, config.threads, config.judged
        )
        measured = compare(drafted.bundle, comparison, config.scheme, judge).gate
        checks = check(measured, config.limits)
        passed = all(entry.passed for entry in checks)
        if not passed and not config.force:
            raise GateError(checks)
        gate = replace(measured, passed=passed)
        pictures = Verification(10 ** (-gate.psnr / 20), 1.0, 1.0, gate.psnr)
        verified = replace(
            drafted.variant(), gates={config.variant: gate}, verification={"pictures": pictures}
        )
        commit(drafted, verified)
    return gate, checks, built
