from dataclasses import replace
from pathlib import Path

import pytest

from fewstep.bundle import Bundle
from fewstep.errors import FewstepError
from fewstep.pipeline import Pipeline
from fewstep_quantization.command import quantize
from fewstep_quantization.config import Limits, QuantizeConfig
from fewstep_quantization.gate import GateError
from fewstep_quantization.search import Budget

ANY = Limits(speedup=1e-6)


def test_int8_goes_into_the_bundle_with_what_it_is_worth(own_bundle: Path) -> None:
    config = QuantizeConfig(own_bundle, "int8", pictures=2, rounds=2, limits=ANY, budget=Budget(error=0.05))
    gate, _, _ = quantize(config)
    bundle = Bundle.open(own_bundle)
    bundle.verify()
    variant = bundle.manifest.variant("int8")
    assert variant.gates == {"fp32": gate}
    assert gate.passed and gate.psnr > 15 and gate.size < 0.8
    assert Pipeline(bundle, "int8").generate("a red heart").size == (32, 32)
    quantize(replace(config, scheme="w4", name="int8"))  # in its place
    after = Bundle.open(own_bundle)
    after.verify()
    assert after.manifest.variant("int8").precision == "w4"
    assert [v.name for v in after.manifest.variants] == [v.name for v in bundle.manifest.variants]


def test_the_gate_refuses_and_leaves_the_bundle_as_it_was(own_bundle: Path) -> None:
    config = QuantizeConfig(own_bundle, "int8-dynamic", rounds=2, limits=Limits(speedup=1000.0))
    before = (own_bundle / "manifest.json").read_bytes()
    with pytest.raises(GateError, match=r"speed-up .* \(limit >= 1000x\).*--force"):
        quantize(config)
    assert (own_bundle / "manifest.json").read_bytes() == before
    Bundle.open(own_bundle).verify()
    gate, _, _ = quantize(replace(config, force=True))
    assert not gate.passed
    assert not Bundle.open(own_bundle).manifest.variant("int8-dynamic").gates["fp32"].passed


def test_bad_input_is_named(own_bundle: Path, tmp_path: Path) -> None:
    empty = tmp_path / "prompts.txt"
    empty.write_text("")
    with pytest.raises(FewstepError, match="at least 1 prompt for calibration, found none"):
        quantize(QuantizeConfig(own_bundle, "int8", prompts=empty))
    with pytest.raises(FewstepError, match=r"expected the scheme .*, found 'int3'"):
        QuantizeConfig(own_bundle, "int3")  # type: ignore[arg-type]
    with pytest.raises(FewstepError, match="FP32 ONNX graphs"):
        quantize(QuantizeConfig(own_bundle, "int8", variant="fp16"))
