"""What the builder is asked, against a fake that notes calls and builds nothing; real engines are built in tests/export."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fewstep.errors import FewstepError
from fewstep.sizes import SizeProfile
from fewstep.tensorrt.build import Built, build_engine, write_files
from fewstep.tensorrt.config import BuildConfig
from fewstep.tensorrt.library import log_of
from fewstep.tensorrt.refit import source_of
from fewstep.variant import EngineBuild


class Options(SimpleNamespace):
    """Stands for IBuilderConfig."""

    def __init__(self, calls: list[str]) -> None:
        super().__init__(calls=calls, profiles=[])

    def set_flag(self, flag: str) -> None:
        self.calls.append(f"flag {flag}")

    def set_memory_pool_limit(self, pool: str, size: int) -> None:
        self.calls.append(f"{pool} {size}")

    def add_optimization_profile(self, profile: Any) -> int:
        self.profiles.append(profile)
        return len(self.profiles) - 1

    def create_timing_cache(self, content: bytes) -> SimpleNamespace:
        self.calls.append(f"timing cache of {content!r}")
        return SimpleNamespace(serialize=lambda: content + b"+")

    def set_timing_cache(self, cache: Any, ignore_mismatch: bool) -> None:
        assert not ignore_mismatch


def call_order_fake_library(
    name: str, calls: list[str], latents: tuple[int, ...] = (-1, 8, 4, 4), **flags: str
) -> Any:
    """A module that notes what is asked of it."""
    tensors = [SimpleNamespace(name="row", shape=(9,)), SimpleNamespace(name="latents", shape=latents)]
    network = SimpleNamespace(num_layers=0, num_inputs=2, get_input=lambda i: tensors[i])
    profile = SimpleNamespace(
        set_shape=lambda name, *shapes: calls.append(f"{name} {' '.join(map(str, shapes))}")
    )
    builder = SimpleNamespace(
        create_network=lambda flags: network,
        create_builder_config=lambda: Options(calls),
        create_optimization_profile=lambda: profile,
        build_serialized_network=lambda network, options: b"plan",
    )
    severity = SimpleNamespace(INTERNAL_ERROR=0, ERROR=1)
    return SimpleNamespace(
        __name__=name,
        __version__="10.3",
        ILogger=type("ILogger", (), {"Severity": severity, "__init__": lambda self: None}),
        IProgressMonitor=type("IProgressMonitor", (), {"__init__": lambda self: None}),
        Builder=lambda log: builder,
        NetworkDefinitionCreationFlag=SimpleNamespace(STRONGLY_TYPED=1),
        OnnxParser=lambda network, log: SimpleNamespace(parse_from_file=lambda file: True),
        ProfilingVerbosity=SimpleNamespace(DETAILED=2),
        MemoryPoolType=SimpleNamespace(WORKSPACE="workspace"),
        BuilderFlag=SimpleNamespace(
            **{"VERSION_COMPATIBLE": "version", "STRIP_PLAN": "strip", "REFIT": "refit"} | flags
        ),
    )


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    """A file; the fake does not read it."""
    (tmp_path / "denoiser.onnx").write_bytes(b"graph")
    return tmp_path / "denoiser.onnx"


def test_every_batch_from_one_on_and_shapes_without_a_batch_are_asked_for(graph: Path) -> None:
    calls: list[str] = []
    config = BuildConfig(4, version_compatible=True, strip_weights=True, workspace=1 << 20)
    built = build_engine(call_order_fake_library("tensorrt", calls), graph, config)
    assert calls == [
        "workspace 1048576",
        "flag version",
        "flag strip",
        "row (9,) (9,) (9,)",
        "latents (1, 8, 4, 4) (2, 8, 4, 4) (4, 8, 4, 4)",
    ]
    assert built.record.flags == ("version-compatible", "weights-stripped")


def test_every_range_of_sizes_has_a_profile_and_graphs_of_one_size_have_one(graph: Path) -> None:
    config = BuildConfig(profiles=(SizeProfile.parse("32x64:64:96x64"), SizeProfile.parse("128")))
    calls: list[str] = []
    build_engine(call_order_fake_library("tensorrt", calls, (-1, 8, -1, -1)), graph, config, pixels=16)
    assert calls == [
        "row (9,) (9,) (9,)",
        "latents (1, 8, 4, 2) (2, 8, 4, 4) (2, 8, 4, 6)",  # height before width
        "row (9,) (9,) (9,)",
        "latents (1, 8, 8, 8) (2, 8, 8, 8) (2, 8, 8, 8)",
    ]
    calls.clear()
    build_engine(call_order_fake_library("tensorrt", calls), graph, config, pixels=16)
    assert len(calls) == 2


@pytest.mark.parametrize(
    ("latents", "profiles", "part"),
    [
        ((-1, 8, -1, -1), (), "but the batch, found dimension 2 of the input 'latents'.* by --profile"),
        ((-1, -1, 4, 4), ("64",), "and the sides of the latents, found dimension 1 of the input 'latents'"),
        ((-1, -1, 4), (), "found dimension 1 of the input 'latents'"),
    ],
)
def test_other_free_dimensions_are_refused(
    graph: Path, latents: tuple[int, ...], profiles: tuple[str, ...], part: str
) -> None:
    config = BuildConfig(profiles=tuple(map(SizeProfile.parse, profiles)))
    with pytest.raises(FewstepError, match=part):
        build_engine(call_order_fake_library("tensorrt", [], latents), graph, config)


def test_what_was_measured_is_kept_and_read_by_the_next_build(graph: Path, tmp_path: Path) -> None:
    calls: list[str] = []
    library = call_order_fake_library("tensorrt", calls)
    config = BuildConfig(timing_cache=tmp_path / "timing.cache")
    assert config.options() == BuildConfig().options()
    for kept in (b"", b"+", b"++"):
        calls.clear()
        build_engine(library, graph, config)
        assert calls[-1] == f"timing cache of {kept!r}"
        assert (tmp_path / "timing.cache").read_bytes() == kept + b"+"
    calls.clear()
    library = call_order_fake_library("tensorrt_rtx", calls, REQUIRE_USER_ALLOCATION="own memory")
    build_engine(library, graph, BuildConfig(timing_cache=tmp_path / "other.cache"))
    assert "flag own memory" in calls and not any("timing" in call for call in calls)
    assert not (tmp_path / "other.cache").exists()


def test_an_engine_without_weights_has_its_graph_beside_it(graph: Path, tmp_path: Path) -> None:
    def built(*flags: str) -> Built:
        return Built(b"plan", EngineBuild("tensorrt", "10.3", (), 2, flags, "", 1.0), ())

    engine = tmp_path / "made" / "denoiser.engine"
    assert write_files(built(), graph, engine) == [engine]
    assert write_files(built("weights-stripped"), graph, engine) == [engine, source_of(engine)]
    assert source_of(engine).read_bytes() == b"graph"
    graph.with_name("denoiser.onnx.data").write_bytes(b"weights")
    with pytest.raises(FewstepError, match=r"expected a graph in one file for --strip-weights"):
        write_files(built("weights-stripped"), graph, engine)


def test_the_log_keeps_errors_and_what_becomes_attention() -> None:
    log = log_of(call_order_fake_library("tensorrt", []))
    log.log(1, "broken")
    log.log(4, "something else")
    log.log(4, "Found blocks.0/softmax to be part of self-attention pattern.")
    assert (log.messages, log.attention) == (["broken"], ["blocks.0/softmax"])
