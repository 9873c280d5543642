from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from tests.export.large.conftest import Folder, Written, save_shards

from fewstep.errors import FewstepError
from fewstep_export.large.trace import LargeNetwork, trace
from fewstep_export.large.verify import Feeds, evaluate_onnxruntime, evaluate_torch
from fewstep_export.large.writer import write
from fewstep_models.sana import SanaDenoiser


def test_the_network_has_no_weights_while_it_is_traced(source: Folder) -> None:
    network = source.network()
    traced = trace(network)
    assert all(p.is_meta or p.untyped_storage().nbytes() <= 8 for p in network.module.parameters())
    assert set(traced.weights) == set(network.module.state_dict())
    assert all(
        v.const_value is None for n, v in traced.model.graph.initializers.items() if n in traced.weights
    )


def test_the_graph_computes_what_torch_does(
    source: Folder, module: SanaDenoiser, written: Written, feeds: Feeds
) -> None:
    with torch.inference_mode():
        expected = module(*(torch.from_numpy(np.array(feeds[n])) for n in source.network().inputs)).numpy()
    assert np.array_equal(evaluate_torch(source, feeds), expected)
    found = evaluate_onnxruntime(written.path, feeds)
    assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()


def test_weights_lie_outside_and_in_the_form_in_which_they_are_used(written: Written) -> None:
    model = onnx.load(str(written.path), load_external_data=False)
    outside = [t for t in model.graph.initializer if t.external_data]
    assert sum(int(np.prod(t.dims)) for t in outside) > 0.95 * sum(
        int(np.prod(t.dims)) for t in model.graph.initializer
    )
    weights = {t.name for t in model.graph.initializer}
    assert not [n for n in model.graph.node if n.op_type == "Transpose" and n.input[0] in weights]
    assert not [n for n in model.graph.node if n.op_type in ("Shape", "CastLike")]


def test_the_same_export_gives_the_same_bytes(source: Folder, written: Written, tmp_path: Path) -> None:
    network, path = source.network(), tmp_path / "denoiser.onnx"
    write(network, trace(network), source.weights(), path)
    for suffix in ("", ".data"):
        assert Path(f"{path}{suffix}").read_bytes() == Path(f"{written.path}{suffix}").read_bytes()


def test_progress_counts_to_the_end(written: Written) -> None:
    done = [count for count, _ in written.progress]
    assert done == sorted(done)
    assert done[-1] == pytest.approx(written.progress[-1][1], rel=0.05)


def test_weights_of_another_configuration_are_refused_before_anything_is_written(
    module: SanaDenoiser, source: Folder, tmp_path: Path
) -> None:
    state = {name: value.half() for name, value in module.state_dict().items() if name != "proj_out.bias"}
    save_shards(state, tmp_path)
    network = source.network()
    with pytest.raises(FewstepError, match=r"the weight 'proj_out\.bias' \[4\], found none"):
        write(network, trace(network), Folder(tmp_path).weights(), tmp_path / "x.onnx")
    assert not (tmp_path / "x.onnx").exists()


def test_a_constant_on_the_meta_device_is_named(source: Folder) -> None:
    class WithTable(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table: torch.Tensor
            self.register_buffer("table", torch.zeros(3, device="meta"), persistent=False)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + self.table

    with pytest.raises(FewstepError, match="'table' on the meta device"):
        trace(LargeNetwork("net", WithTable(), {"x": ((2, 3), torch.float32)}, ("y",)))
