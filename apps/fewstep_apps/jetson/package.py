"""`fewstep package --app jetson`: the bundle, the kit as a wheel, and a script that installs it on the board."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import fewstep
from fewstep.bundle import Bundle
from fewstep.devices.wheel import package_files, wheel
from fewstep.tensorrt.derive import source_variant
from fewstep_apps import licences
from fewstep_apps.bundle_part import write_part
from fewstep_apps.config import PackageConfig
from fewstep_apps.folder import whole

_APPS = Path(__file__).parents[1]
_SCRIPTS = {"fewstep": "fewstep.__main__:main", "fewstep-jetson": "fewstep_apps.jetson.cli:main"}
_NEEDS = ("gradio>=6",)  # the extra [jetson]


@dataclass(frozen=True)
class JetsonPackage:
    """A package that was written: its folder, and the build that the board makes engines of."""

    output: Path
    variant: str


def package_jetson(config: PackageConfig) -> JetsonPackage:
    """Writes the folder, whole or not at all.

    Args:
        config: what is packaged; one build of ONNX graphs, that in FP16 if none is named.

    Raises:
        FewstepError: the bundle has no such build.
        IntegrityError: a file of the bundle is not what its manifest says.
    """
    bundle = Bundle.open(config.bundle)
    variant = source_variant(bundle.manifest, config.variants[0] if config.variants else None)
    title = config.title or bundle.manifest.name
    with whole(config.output) as folder:
        folder.mkdir()
        write_part(bundle, [variant.name], folder / f"{bundle.manifest.name}.fewstep")
        name, content = wheel(_kit(), _SCRIPTS, _NEEDS)
        (folder / name).write_bytes(content)
        shutil.copy(Path(__file__).with_name("install.sh"), folder)
        page = licences.page(title, bundle.manifest.licences, back=False)
        (folder / "licences.html").write_text(page, encoding="utf-8")
    return JetsonPackage(config.output, variant.name)


def _kit() -> dict[str, bytes]:
    """The runtime, and of the apps what runs on the board."""
    kit = {"fewstep_apps/__init__.py": (_APPS / "__init__.py").read_bytes()}
    files = package_files(Path(__file__).parent)
    kit |= {f"fewstep_apps/{name}": data for name, data in files.items() if name != "jetson/package.py"}
    return {**package_files(Path(fewstep.__file__).parent), **kit}
