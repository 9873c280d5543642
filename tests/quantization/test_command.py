import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import jsonschema
import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import fewstep
from fewstep import archive
from fewstep.bundle import Bundle
from fewstep.errors import FewstepError
from fewstep.gate import Judgement
from fewstep.pipeline import Pipeline
from fewstep_quantization.build import build
from fewstep_quantization.building import Inputs
from fewstep_quantization.command import quantize
from fewstep_quantization.config import Limits, QuantizeConfig
from fewstep_quantization.gate import GateError
from fewstep_quantization.graph import load
from fewstep_quantization.linears import find_linears
from fewstep_quantization.prepare import prepare
from fewstep_quantization.search import Budget
from fewstep_quantization.static_graph import StaticGraph

ANY = Limits(speedup=1e-6)


def test_int8_goes_into_the_bundle_with_what_it_is_worth(own_bundle: Path) -> None:
    config = QuantizeConfig(own_bundle, "int8", pictures=2, rounds=2, limits=ANY)
    gate, _, _ = quantize(config)
    bundle = Bundle.open(own_bundle)
    bundle.verify()
    variant = bundle.manifest.variant("int8")
    assert variant.gates == {"fp32": gate}
    assert gate.passed and gate.psnr > 15 and gate.size < 0.8
    assert Pipeline(bundle, "int8").generate("a red heart").size == (32, 32)
    _, _, searched = quantize(
        replace(config, budget=Budget(error=0.05))
    )  # which mixture is best depends on the machine
    assert searched.points and searched.chosen is not None and searched.chosen.error <= 0.05
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


def test_as_many_layers_get_two_planes_as_the_psnr_takes(own_bundle: Path) -> None:
    """The decoder stays float here: its error is most of this tiny network's, and the denoiser alone is searched."""
    decoder = StaticGraph.of(load(Bundle.open(own_bundle).file("ort/fp32/decoder.onnx")))
    limits, exclude = Limits(1e-6, psnr=1.0), tuple(decoder.layers)
    config = QuantizeConfig(own_bundle, "int8", pictures=4, rounds=1, noise=1.0, exclude=exclude, limits=limits)  # fmt: skip
    usual, _, built = quantize(config)
    assert not built.wide and usual.psnr_interval is not None
    better = Limits(1e-6, psnr=usual.psnr_interval[0] + 3)
    gate, _, built = quantize(replace(config, limits=better))
    assert built.wide and gate.passed and gate.psnr_interval is not None
    assert gate.psnr_interval[0] >= usual.psnr_interval[0] + 3
    with pytest.raises(GateError, match=r"mean PSNR .* dB, at least .* dB \(limit >= 1000 dB\)"):
        quantize(replace(config, limits=Limits(1e-6, psnr=1000.0)))


def test_bad_input_is_named(own_bundle: Path, tmp_path: Path) -> None:
    empty = tmp_path / "prompts.txt"
    empty.write_text("")
    with pytest.raises(FewstepError, match="at least 1 prompt for calibration, found none"):
        quantize(QuantizeConfig(own_bundle, "int8", prompts=empty))
    with pytest.raises(FewstepError, match=r"expected the scheme .*, found 'int3'"):
        QuantizeConfig(own_bundle, "int3")  # type: ignore[arg-type]
    with pytest.raises(FewstepError, match=r"weight noise of 0 to 0\.3 .*, found 0\.02 with w4"):
        QuantizeConfig(own_bundle, "w4", weight_noise=0.02)
    archive.pack(own_bundle, tmp_path / "own.zip")
    with pytest.raises(
        FewstepError, match=r"folder of a bundle, found a file, at .*own\.zip; .*`fewstep unpack`"
    ):
        quantize(QuantizeConfig(tmp_path / "own.zip", "int8"))
    with pytest.raises(FewstepError, match="FP32 ONNX graphs"):
        quantize(QuantizeConfig(own_bundle, "int8", variant="fp16"))


def test_whole_sets_of_pictures_are_judged(own_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The judge's networks are fetched from a registry, so a smaller one stands in: brightness."""
    asked: list[tuple[int, ...]] = []

    def brightness(
        prompts: Sequence[str], reference: np.ndarray, other: np.ndarray, build: np.ndarray
    ) -> Mapping[str, Judgement]:
        asked.append((len(prompts), len(reference), len(other), len(build)))
        assert np.abs(reference - other).mean() > np.abs(reference - build).mean() > 0
        return {"frechet": Judgement(10.0, 11.0, 0.1, (0.05, 0.15))}

    monkeypatch.setattr("fewstep_quantization.command.installed_judge", lambda: brightness)
    limits = Limits(speedup=1e-6, frechet=0.02)
    config = QuantizeConfig(own_bundle, "int8-dynamic", rounds=1, limits=limits, judged=3)
    with pytest.raises(GateError, match=r"frechet 11 after 10: \+10.0% .*limit <= \+2.0%"):
        quantize(config)
    quantize(replace(config, limits=Limits(speedup=1e-6, frechet=0.2)))
    gate = Bundle.open(own_bundle).manifest.variant("int8-dynamic").gates["fp32"]
    assert gate.judged["frechet"].interval == (0.05, 0.15) and gate.judged_pictures == 3
    low, high = gate.psnr_interval or (0, 0)
    assert low <= gate.psnr_mean <= high
    assert asked == [(3, 3, 3, 3)] * 2
    schema = json.loads(
        (Path(fewstep.__file__).parent / "schema" / "manifest.schema.json").read_text(encoding="utf-8")
    )
    record = json.loads((own_bundle / "manifest.json").read_text(encoding="utf-8"))["variants"][-1]
    jsonschema.validate(record["gates"]["fp32"], {"$ref": "#/$defs/gate", "$defs": schema["$defs"]})


def test_a_slow_build_is_refused(own_bundle: Path) -> None:
    """As slow as FP32, for nothing in it is in integers: no gain may be claimed of it."""
    graph = prepare(load(Bundle.open(own_bundle).file("ort/fp32/denoiser.onnx")))
    every = tuple(linear.name for linear in find_linears(graph))
    config = QuantizeConfig(
        own_bundle, "int8-dynamic", rounds=3, exclude=every, limits=Limits(speedup=1.5), threads=1
    )
    with pytest.raises(GateError, match=r"speed-up .* \(limit >= 1.5x\)"):
        quantize(config)
    assert "int8-dynamic" not in [v.name for v in Bundle.open(own_bundle).manifest.variants]


def test_calibration_that_meets_nan_names_the_tensor(own_bundle: Path) -> None:
    """A weight that is NaN makes every activation behind it NaN."""
    bundle = Bundle.open(own_bundle)
    table = bundle.step_table(None, None)
    config = QuantizeConfig(own_bundle, "int8", pictures=1)
    inputs = Inputs.load(config, table)
    broken = onnx.ModelProto()
    broken.CopyFrom(inputs.graphs["denoiser"])
    weight = next(t for t in broken.graph.initializer if "ffn.conv_inverted.weight" in t.name)
    values = numpy_helper.to_array(weight).copy()
    values[0] = np.nan
    weight.CopyFrom(numpy_helper.from_array(values, weight.name))
    with pytest.raises(FewstepError, match="NaN or infinity, in tensor 'denoiser"):
        build(config, replace(inputs, graphs={**inputs.graphs, "denoiser": broken}), lambda *_: None)


def test_fp16_goes_into_the_bundle_and_says_where_it_would_overflow(
    own_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = QuantizeConfig(own_bundle, "fp16", pictures=2, rounds=1, limits=ANY)
    gate, _, built = quantize(config)
    assert gate.psnr > 40 and gate.size < 0.65
    assert not any(built.float_layers.values())
    monkeypatch.setattr("fewstep_quantization.calibration.peak.LARGEST", 1.0)  # as if FP16 ended there
    _, _, narrow = quantize(replace(config, name="narrow"))
    reasons = narrow.float_layers["denoiser"]
    assert reasons and all(why.startswith("reaches ") for why in reasons.values())
    sizes = {v.name: Bundle.open(own_bundle).manifest.bytes_of(v.network) for v in Bundle.open(own_bundle).manifest.variants}  # fmt: skip
    assert sizes["fp16"] < sizes["narrow"] < sizes["fp32"]
