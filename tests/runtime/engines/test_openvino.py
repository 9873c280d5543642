"""The OpenVINO engine: the same pictures from the same graphs, and what it must refuse."""

import threading
from pathlib import Path

import numpy as np
import pytest

from fewstep.bundle import Bundle
from fewstep.engines.onnxruntime import OnnxRuntimeEngine
from fewstep.engines.openvino import OpenVinoEngine
from fewstep.errors import BundleError, FewstepError
from fewstep.manifest import Component
from fewstep.pipeline import Pipeline

pytest.importorskip("openvino", reason="the extra [openvino]")


@pytest.fixture
def decoder(tiny_bundle: Path) -> Component:
    return Bundle.open(tiny_bundle).manifest.variant("fp32").components["decoder"]


def latents(batch: int) -> np.ndarray:
    return np.linspace(-2, 2, batch * 4 * 64, dtype=np.float32).reshape(batch, 4, 8, 8)


def test_a_graph_gives_what_onnx_runtime_gives_at_any_batch(tiny_bundle: Path, decoder: Component) -> None:
    path = tiny_bundle / decoder.file
    ours, theirs = OpenVinoEngine(path, decoder, threads=1), OnnxRuntimeEngine(path, decoder, threads=1)
    for batch in (1, 3, 1):
        image = ours.run({"latents": latents(batch)})["image"]
        np.testing.assert_allclose(image, theirs.run({"latents": latents(batch)})["image"], atol=1e-5)
        written = np.empty_like(image)
        ours.write({"latents": latents(batch)}, {"image": written})
        np.testing.assert_array_equal(written, image)
    assert ours.seconds > 0


def test_a_result_outlives_the_next_call(tiny_bundle: Path, decoder: Component) -> None:
    engine = OpenVinoEngine(tiny_bundle / decoder.file, decoder, threads=1)
    first = engine.run({"latents": latents(1)})["image"]
    kept = first.copy()
    engine.run({"latents": -latents(1)})
    np.testing.assert_array_equal(first, kept)


def test_threads_do_not_share_a_request(tiny_bundle: Path, decoder: Component) -> None:
    engine = OpenVinoEngine(tiny_bundle / decoder.file, decoder, threads=1)
    inputs = [latents(1) * scale for scale in (0.1, 0.5, 1.0, 2.0)]
    expected = [engine.run({"latents": value})["image"] for value in inputs]
    found: dict[int, np.ndarray] = {}

    def work(k: int) -> None:
        for _ in range(10):
            found[k] = engine.run({"latents": inputs[k]})["image"]

    workers = [threading.Thread(target=work, args=(k,)) for k in range(len(inputs))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for k, value in found.items():
        np.testing.assert_array_equal(value, expected[k])


def test_a_bundle_draws_the_same_picture(tiny_bundle: Path) -> None:
    pictures = [
        Pipeline(tiny_bundle, "fp32", threads=1, engine=engine).generate_array(["a cat"], [0])
        for engine in (None, "openvino")
    ]
    np.testing.assert_allclose(pictures[1], pictures[0], atol=1e-3)


def test_what_it_cannot_run_is_refused(tiny_bundle: Path, decoder: Component, tmp_path: Path) -> None:
    with pytest.raises(
        FewstepError, match="expected the engine onnxruntime, found 'openvino', for the ort graphs"
    ):
        Pipeline(tiny_bundle, "fp32-ort", engine="openvino")
    with pytest.raises(FewstepError, match="expected the engine onnxruntime or openvino, found 'tensorflow'"):
        Pipeline(tiny_bundle, "fp32", engine="tensorflow")
    broken = tmp_path / "broken.onnx"
    whole = (tiny_bundle / decoder.file).read_bytes()
    for size in (0, len(whole) // 10, len(whole) // 2):  # the end is for the bundle's checksums
        broken.write_bytes(whole[:size])
        with pytest.raises(BundleError, match=r"expected (a graph that OpenVINO can load|the tensors image)"):
            OpenVinoEngine(broken, decoder)
    with pytest.raises(FewstepError, match="at least 1 thread"):
        OpenVinoEngine(tiny_bundle / decoder.file, decoder, threads=0)
    engine = OpenVinoEngine(tiny_bundle / decoder.file, decoder)
    with pytest.raises(FewstepError, match="found float64"):
        engine.run({"latents": latents(1).astype(np.float64)})
