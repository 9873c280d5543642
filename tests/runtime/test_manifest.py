"""The manifest: round trip, its published schema, and errors that name the field."""

import copy
import json
from collections.abc import Callable
from dataclasses import fields
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from referencing import Registry, Resource

from fewstep.errors import BundleError
from fewstep.gate import Gate, Judgement
from fewstep.manifest import (
    Component,
    Guidance,
    Manifest,
    Sampling,
    Template,
    TensorSpec,
    TokenizerFile,
    Variant,
)
from fewstep.paths import require_safe_path
from fewstep.sizes import SizeProfile, Sizes
from fewstep.step_table import StepRow, StepTable

SCHEMAS = {
    name: json.loads((files("fewstep") / "schema" / name).read_text())
    for name in ("manifest.schema.json", "step_table.schema.json")
}


@pytest.fixture
def value(tiny_bundle: Path) -> Any:
    return json.loads((tiny_bundle / "manifest.json").read_text())


def test_json_round_trip_is_the_identity(value: Any) -> None:
    manifest = Manifest.from_dict(value)
    assert Manifest.from_dict(json.loads(json.dumps(manifest.to_dict()))) == manifest


def validator() -> jsonschema.Draft202012Validator:
    resources = [(name, Resource.from_contents(schema)) for name, schema in SCHEMAS.items()]
    return jsonschema.Draft202012Validator(
        SCHEMAS["manifest.schema.json"], registry=Registry().with_resources(resources)
    )


def test_what_the_runtime_writes_obeys_the_published_schema(value: Any) -> None:
    validator().validate(Manifest.from_dict(value).to_dict())


@pytest.mark.parametrize(
    ("record", "schema"),
    [
        (Manifest, SCHEMAS["manifest.schema.json"]),
        (Variant, SCHEMAS["manifest.schema.json"]["$defs"]["variant"]),
        (Component, SCHEMAS["manifest.schema.json"]["$defs"]["component"]),
        (Gate, SCHEMAS["manifest.schema.json"]["$defs"]["gate"]),
        (Judgement, SCHEMAS["manifest.schema.json"]["$defs"]["judgement"]),
        (Sampling, SCHEMAS["manifest.schema.json"]["properties"]["sampling"]),
        (Guidance, SCHEMAS["manifest.schema.json"]["properties"]["guidance"]),
        (TokenizerFile, SCHEMAS["manifest.schema.json"]["properties"]["tokenizers"]["items"]),
        (Template, SCHEMAS["manifest.schema.json"]["$defs"]["template"]),
        (TensorSpec, SCHEMAS["manifest.schema.json"]["$defs"]["tensor"]),
        (Sizes, SCHEMAS["manifest.schema.json"]["$defs"]["sizes"]),
        (SizeProfile, SCHEMAS["manifest.schema.json"]["$defs"]["size_profile"]),
        (StepTable, SCHEMAS["step_table.schema.json"]),
        (StepRow, SCHEMAS["step_table.schema.json"]["properties"]["rows"]["items"]),
    ],
)
def test_the_schema_has_the_fields_of_the_dataclass(record: Any, schema: Any) -> None:
    assert list(schema["properties"]) == [field.name for field in fields(record)]


def assign(*path: str | int, to: object) -> Callable[[Any], None]:
    def change(value: Any) -> None:
        for key in path[:-1]:
            value = value[key]
        value[path[-1]] = to

    return change


WRONG = [
    (
        assign("schema_version", to=2),
        "expected a bundle of schema version 1, found version 2.*update fewstep",
    ),
    (assign("format", to="zip"), "expected 'fewstep-bundle', found 'zip', in manifest.format"),
    (assign("colour", to=1), "found 'colour', in manifest"),
    (
        assign("variants", 0, "components", "decoder", to=None),
        "found None, in manifest.variants.0..components.decoder",
    ),
    (
        lambda v: v["variants"][0]["components"].pop("decoder"),
        "expected the components .* in manifest.variants.0.",
    ),
    (
        assign("variants", 0, "components", "denoiser", "inputs", 0, "name", to="x"),
        "expected the inputs .* 'denoiser'",
    ),
    (
        assign("variants", 0, "components", "decoder", "inputs", 0, "dtype", to="real"),
        "found 'real', in .*dtype",
    ),
    (
        assign("variants", 0, "components", "decoder", "inputs", 0, "shape", 0, to=1.5),
        r"found 1.5, in .*shape\[0\]",
    ),
    (
        assign("variants", 0, "components", "decoder", "file", to="no.onnx"),
        "'no.onnx'.*components.decoder.file",
    ),
    (assign("variants", 1, "name", to="fp32"), "variants of different names, found fp32, fp32"),
    (assign("default_variant", to="int8"), "expected one of fp32, fp32-ort, found 'int8'"),
    (assign("default_step_table", to="euler"), "found 'euler', in field 'default_step_table'"),
    (
        assign("step_tables", "flow-euler-4", "rows", 2, "noise", to="loud"),
        r"step_tables.flow-euler-4.rows\[2\].noise",
    ),
    (assign("files", "tokenizer.json", "sha256", to="abc"), "expected 64 hexadecimal digits, found 'abc'"),
    (assign("files", "tokenizer.json", "bytes", to=True), "expected a whole number, found True, in .*bytes"),
    (
        assign("latent", "scale", to=[1, 2]),
        "expected 4 values, found 2, in field 'scale', in manifest.latent",
    ),
    (assign("latent", "scale", 1, to=0), "expected values other than 0"),
    (
        assign("variants", 0, "components", "text_encoder", "inputs", 0, "name", to="input_ids_2"),
        "found 'input_ids_2', in 'text_encoder'",
    ),
    (
        assign("variants", 0, "components", "denoiser", "outputs", to=[]),
        "expected one output, found none, in 'denoiser'",
    ),
    (assign("tokenizers", to=[]), "expected at least one tokenizer"),
    (assign("tokenizer", to={}), "found 'tokenizer', in manifest"),
    (assign("variants", 0, "components", "decoder", "inputs", 0, "shape", to=[1] * 17), "at most 16 sizes"),
    (assign("variants", 0, "components", "decoder", "inputs", 0, "shape", to=[1 << 20] * 2), "'latents'"),
    (assign("latent", "shape", to=[4, 1 << 20, 1 << 20]), "expected at most .* numbers"),
    (assign("image", "size", to=1 << 20), "expected a size of 1 to 16384"),
    (assign("files", "tokenizer.json", "bytes", to=1 << 40), "expected files of at most"),
    (assign("files", "Tokenizer.JSON", to={"sha256": "0" * 64, "bytes": 0}), "differ in more than case"),
    (
        assign("files", "tokenizer.json/x", to={"sha256": "0" * 64, "bytes": 0}),
        "a file or a folder, found both",
    ),
    (assign("files", "Manifest.json", to={"sha256": "0" * 64, "bytes": 0}), "differ in more than case"),
    (assign("sampling", "steps", to=10**9), "expected a shift above 0 and 1 to 10000 steps"),
    (assign("tokenizers", 0, "prompt", to={"skip": -1}), r"found -1, in field 'skip', in .*\[0\].prompt"),
    (assign("image", "alpha", to="none"), "expected RGBA with premultiplied alpha or RGB with none"),
    (assign("sampling", "shift", to=None), "expected a shift or a scheduler"),
    (
        assign("latent", "shape", to=[4, 8]),
        "expected an array of 3, found 2 values, in manifest.latent.shape",
    ),
    (assign("sampling", "steps", to=0), "1 to 10000 steps, found 3.0 and 0, in manifest.sampling"),
    (assign("sampling", "sampler", to="ddim"), "found 'ddim', in manifest.sampling"),
    (assign("tokenizers", 0, "max_length", to=0), "expected 1 to 65536 tokens, found 0"),
    (assign("guidance", "scale", to="4"), "expected a finite number, found '4', in manifest.guidance.scale"),
    (lambda v: v.pop("latent"), "expected the field 'latent', found no such field, in manifest"),
]


@pytest.mark.parametrize(("change", "message"), WRONG)
def test_a_wrong_manifest_is_refused_with_the_place(
    value: Any, change: Callable[[Any], None], message: str
) -> None:
    change(value)
    with pytest.raises(BundleError, match=message):
        Manifest.from_dict(value)


@given(data=st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_value_anywhere_is_read_or_refused_but_never_crashes(value: Any, data: st.DataObject) -> None:
    value = copy.deepcopy(value)
    holder, key = value, data.draw(st.sampled_from(sorted(value)))
    while data.draw(st.booleans()) and isinstance(holder[key], dict | list) and holder[key]:
        holder = holder[key]
        key = data.draw(st.sampled_from(sorted(holder) if isinstance(holder, dict) else range(len(holder))))
    holder[key] = data.draw(
        st.sampled_from([None, True, -1, 0, 2.5, float("nan"), 10**400, "", "x", [], {}, [[]], {"a": 1}])
    )
    try:
        Manifest.from_dict(value)
    except BundleError as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize(
    "path",
    ["", ".", "/etc/passwd", "../x", "a/../b", "a/..", "a//b", "./a", "a/", "a\\b", "C:x", "a\x00b", "a\nb"],
)
def test_a_path_that_could_leave_the_bundle_is_refused(path: str) -> None:
    with pytest.raises(BundleError, match="expected a plain relative path"):
        require_safe_path(path)


def test_examples_in_styles(value: Any) -> None:
    assert Manifest.from_dict(value).prompts.in_styles()[:3] == (
        "a red heart, noto style",
        "a red heart, flat style",
        "a blue star, noto style",
    )
