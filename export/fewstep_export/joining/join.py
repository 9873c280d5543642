"""The Core ML packages of several bundles in one folder: a package a component, a function a bundle, equal weights once."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from fewstep.bundle import Bundle
from fewstep.errors import FewstepError
from fewstep.manifest import Component
from fewstep_export.components import Array
from fewstep_export.coreml.evaluate import Evaluator
from fewstep_export.coreml.multifunction import join
from fewstep_export.coreml.package import TensorType, read_package

_TOKENS = 2  # even the vocabularies of classes have so many


@dataclass(frozen=True)
class Joined:
    """A package that was made.

    Attributes:
        path: its folder.
        functions: by name, the first runs if none is named.
        source_bytes: of the packages that it was made of.
        bytes: of it.
    """

    path: Path
    functions: tuple[str, ...]
    source_bytes: int
    bytes: int


def join_bundles(bundles: Mapping[str, Path], variant: str, output: Path) -> list[Joined]:
    """Writes COMPONENT.mlpackage for each component, after every function was found to compute what its source does.

    Args:
        bundles: folders by the name that their functions are to have, such as "base" and "student", or "512" and "768".
        variant: whose packages are taken; made with --min-target iOS18.
        output: a new folder.

    Raises:
        FewstepError: there are fewer than two bundles, one is damaged or has no such packages, their components differ, the folder
            exists, or a function computes something else. Nothing is written then.
    """
    if len(bundles) < 2:
        raise FewstepError(f"expected two bundles or more, found {len(bundles)}; name each as NAME=BUNDLE")
    if output.exists():
        raise FewstepError(f"expected a new folder, found an old one, at {output}; choose another -o")
    sources = {name: _packages(path, variant) for name, path in bundles.items()}
    components = list(next(iter(sources.values())))
    for name, packages in sources.items():
        if list(packages) != components:
            raise FewstepError(
                f"expected the components {', '.join(components)} in every bundle, found {', '.join(packages)}, in {name}; join "
                "bundles of one kind"
            )
    output.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=output.parent, prefix=f".{output.name}.") as folder:
        staged = Path(folder, output.name)
        staged.mkdir()
        made = [
            _join(
                {name: packages[component] for name, packages in sources.items()},
                staged / f"{component}.mlpackage",
                output,
            )
            for component in components
        ]
        shutil.move(staged, output)
    return made


def _packages(path: Path, variant: str) -> Mapping[str, Path]:
    """The packages of a bundle by component."""
    bundle = Bundle.open(path)
    bundle.verify()
    chosen = bundle.manifest.variant(variant)
    if chosen.engine != "coreml":
        raise FewstepError(
            f"expected a variant of Core ML, found {chosen.engine}, in {variant} of {path}; choose another --variant"
        )
    components: Mapping[str, Component] = chosen.components
    return {name: bundle.graph(component) for name, component in components.items()}


def _join(sources: Mapping[str, Path], path: Path, output: Path) -> Joined:
    join(sources, path)
    for name, source in sources.items():
        feeds = _inputs(read_package(source).inputs)
        right, found = Evaluator(source, "fp16")(feeds), Evaluator(path, "fp16", function=name)(feeds)
        if any(not np.array_equal(found[key], value, equal_nan=True) for key, value in right.items()):
            raise FewstepError(
                f"expected the function {name} to compute what {source} does, found something else, in {path.name}; report this"
            )
    size = sum(_bytes(source) for source in sources.values())
    return Joined(output / path.name, tuple(sources), size, _bytes(path))


def _inputs(types: Mapping[str, TensorType]) -> Mapping[str, Array]:
    """Some inputs of these types."""
    random = np.random.default_rng(0)
    return {
        name: random.integers(0, _TOKENS, kind.shape).astype(np.int32)
        if kind.dtype == "int32"
        else random.standard_normal(kind.shape).astype(np.float32)
        for name, kind in types.items()
    }


def _bytes(path: Path) -> int:
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
