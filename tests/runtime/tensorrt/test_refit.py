"""Weights for engines without them: which file is taken, and what is said if it is not the right one. The library is a fake that notes calls."""

from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fewstep.errors import BundleError
from fewstep.tensorrt.refit import refit, source_of
from fewstep.variant import EngineBuild

GRAPH = b"graph with weights"
BUILD = EngineBuild("tensorrt", "10.3", (), 2, ("weights-stripped",), sha256(GRAPH).hexdigest(), 1.0)


def call_order_fake_library(calls: list[str], missing: tuple[str, ...] = ()) -> Any:
    """A module that notes what is asked of it."""

    def refit_cuda_engine() -> bool:
        calls.append("refit")
        return not missing

    def from_file(file: str) -> bool:
        calls.append(f"read {Path(file).name}")
        return True

    refitter = SimpleNamespace(refit_cuda_engine=refit_cuda_engine, get_missing_weights=lambda: list(missing))
    return SimpleNamespace(
        Refitter=lambda engine, log: refitter,
        OnnxParserRefitter=lambda refitter, log: SimpleNamespace(refit_from_file=from_file),
    )


def test_the_weights_come_from_the_graph_that_the_engine_was_made_of(tmp_path: Path) -> None:
    calls: list[str] = []
    source = source_of(tmp_path / "decoder.engine")
    log: Any = SimpleNamespace(messages=[])
    for found, content in (("none", None), ("another", b"other")):
        if content is not None:
            source.write_bytes(content)
        with pytest.raises(
            BundleError, match=rf"engine without weights, found {found}, in .*decoder\.engine"
        ):
            refit(call_order_fake_library(calls), None, source, BUILD, log)
    assert not calls
    source.write_bytes(GRAPH)
    refit(call_order_fake_library(calls), None, source, BUILD, log)
    assert calls == ["read decoder.engine.data", "refit"]
    with pytest.raises(BundleError, match=r"expected all weights .*, found 2 missing \(no reason given\)"):
        refit(call_order_fake_library(calls, ("a", "b")), None, source, BUILD, log)
