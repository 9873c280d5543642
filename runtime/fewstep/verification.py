"""Every build of a bundle against its FP32 graphs in ONNX Runtime, on fixed inputs; the body of `fewstep verify`.

A build whose engine is not on this machine is evaluated by the room that made it, through the entry-point group `fewstep.evaluators`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path

import numpy as np

from fewstep.bundle import Bundle
from fewstep.errors import FewstepError
from fewstep.fixed_feeds import latent_feeds, step_feeds, text_feeds
from fewstep.loop_form import NETWORKS, TEXT_ENCODER
from fewstep.loop_pictures import HOST_PICTURES, host_of, pictures_apart
from fewstep.manifest import Variant
from fewstep.network import Feeds, Run
from fewstep.pipeline import Pipeline

EVALUATORS = "fewstep.evaluators"
"""Entry points: engine -> a function (path of a graph, precision) -> Run, which raises FewstepError for a broken graph."""
Evaluate = Callable[[Path, str], Run]


@dataclass(frozen=True)
class Finding:
    """What was found of a component of a variant.

    Attributes:
        variant, component: which one.
        error: the largest difference from the reference, relative to its largest output, or for a form of the loop the root mean
            square difference of pictures; None if nothing was computed.
        bound: the largest allowed one; None if the manifest states none.
        note: what was done, or why it was not, or what is wrong.
        ok: whether it is as it should be, as far as it was looked at.
    """

    variant: str
    component: str
    error: float | None
    bound: float | None
    note: str
    ok: bool = True


def verify_bundle(bundle: Bundle) -> Iterator[Finding]:
    """Checks all files, then every component of every variant.

    Raises:
        IntegrityError: a file is missing, changed, or not listed.
        FewstepError: the reference cannot be run.
    """
    bundle.verify()
    feeds: Mapping[str, Sequence[Feeds]] = {}
    expected: Mapping[str, Sequence[Feeds]] = {}
    if (reference := _reference(bundle)) is not None:
        pipeline = Pipeline(bundle, reference.name)
        feeds, networks = fixed_feeds(pipeline), pipeline.model.networks
        expected = {name: [network(feed) for feed in feeds[name]] for name, network in networks.items()}
    for variant in bundle.manifest.variants:
        yield from _of_variant(bundle, variant, feeds, expected)


def fixed_feeds(pipeline: Pipeline) -> dict[str, list[Feeds]]:
    """The inputs by component on which the export measured, so that an error can be held against what the manifest states.

    See `fewstep.fixed_feeds`.
    """
    model, manifest = pipeline.model, pipeline.manifest
    texts = text_feeds(model, manifest.prompts)
    encoder = model.networks.get(TEXT_ENCODER)
    known = [{**text, **(encoder(text) if encoder else {})} for text in texts]
    steps = step_feeds(manifest.latent, manifest.guidance.scale, pipeline.step_table(), known)
    return {"text_encoder": texts, "denoiser": steps, "decoder": latent_feeds(manifest.latent)}


def _reference(bundle: Bundle) -> Variant | None:
    """The variant whose graphs are held to be right: exported in FP32, with the loop on the host."""
    wanted = ("onnxruntime", "fp32", "host")
    return next((v for v in bundle.manifest.variants if (v.engine, v.precision, v.form) == wanted), None)


def _of_variant(
    bundle: Bundle,
    variant: Variant,
    feeds: Mapping[str, Sequence[Feeds]],
    expected: Mapping[str, Sequence[Feeds]],
) -> Iterator[Finding]:
    try:
        runs = _runs(bundle, variant)
    except FewstepError as error:
        yield Finding(variant.name, "all", None, None, str(error), ok=False)
        return
    for name in variant.components:
        if runs is None:
            yield Finding(variant.name, name, None, None, f"files only: nothing here runs {variant.engine}")
        elif not expected:
            yield Finding(variant.name, name, None, None, "loads; no FP32 graphs to compare with")
        elif variant.form != "host":
            yield _drawn(bundle, variant, name)
        else:
            yield _compared(variant, name, runs[name], feeds[name], expected[name])


def _drawn(bundle: Bundle, variant: Variant, name: str) -> Finding:
    """The graph that holds the denoiser by a picture, against the same build with its loop on the host; the others are in it."""
    stated, host = variant.verification.get(HOST_PICTURES), host_of(bundle, variant)
    if name != NETWORKS[variant.loop.form] or host is None:
        return Finding(variant.name, name, None, None, "loads; another form of the loop")
    bound = stated.tolerance if stated else None
    try:
        error = pictures_apart(bundle, variant, host)
    except FewstepError as problem:
        return Finding(variant.name, name, None, bound, str(problem), ok=False)
    ok = np.isfinite(error) and (bound is None or error <= bound)
    note = "drawn again" if ok else "not the same"
    return Finding(variant.name, name, error, bound, f"picture of {host.name}, {note}", bool(ok))


def _compared(
    variant: Variant, name: str, run: Run, feeds: Sequence[Feeds], expected: Sequence[Feeds]
) -> Finding:
    stated, inputs = variant.verification.get(name), variant.components[name].input_names
    bound = stated.tolerance / stated.output_scale if stated else None
    try:
        found = [run({key: feed[key] for key in inputs}) for feed in feeds]
    except FewstepError as problem:
        return Finding(variant.name, name, None, bound, str(problem), ok=False)
    error = max(_error(found, expected, feeds, output) for output in expected[0])
    ok = np.isfinite(error) and (bound is None or error <= bound)
    return Finding(variant.name, name, error, bound, "computed" if ok else "differs from fp32", bool(ok))


def _error(found: Sequence[Feeds], expected: Sequence[Feeds], feeds: Sequence[Feeds], output: str) -> float:
    """The largest difference relative to the largest output; infinity if one is not finite. States of padding do not count."""
    scale = max(float(np.abs(right[output]).max()) for right in expected) or 1.0
    differences = [np.abs(a[output] - b[output]) for a, b in zip(found, expected, strict=True)]
    if not all(np.isfinite(difference).all() for difference in differences):
        return float("inf")
    if output == "text_states" and "text_mask" in feeds[0]:
        differences = [
            difference * (b.get("text_mask", feed["text_mask"])[..., None] > 0)
            for difference, b, feed in zip(differences, expected, feeds, strict=True)
        ]
    return max(float(difference.max()) for difference in differences) / scale


def _runs(bundle: Bundle, variant: Variant) -> Mapping[str, Run] | None:
    """The components as functions; None if nothing on this machine computes them."""
    if variant.engine == "onnxruntime":
        return {name: network for name, network in Pipeline(bundle, variant.name).model.networks.items()}
    evaluate = _evaluator(variant.engine)
    if evaluate is None:
        return None
    return {
        name: evaluate(bundle.graph(component), variant.precision)
        for name, component in variant.components.items()
    }


def _evaluator(engine: str) -> Evaluate | None:
    """The function of another room for an engine, if it is installed with all it needs."""
    for entry in entry_points(group=EVALUATORS, name=engine):
        try:
            evaluate: Evaluate = entry.load()
        except (ImportError, FewstepError):
            continue
        return evaluate
    return None
