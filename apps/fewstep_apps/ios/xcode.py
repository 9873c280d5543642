"""project.pbxproj: the app, its files, and the local Swift package, as Xcode 15 and newer read it.

The format has no specification of its maker; the keys are those of projects that Xcode wrote. Xcode has not opened what this writes.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

Value = str | Sequence["Value"] | Mapping[str, "Value"]

_TYPES = {
    ".swift": "sourcecode.swift",
    ".xcassets": "folder.assetcatalog",
    ".mlpackage": "folder.mlpackage",
    ".json": "text.json",
    "": "folder",  # as it is, with what lies in it
}
_COMPILED = (".swift", ".mlpackage")  # the others are copied into the app


@dataclass(frozen=True)
class Project:
    """What is in a project.

    Args:
        name: of the project and its one target.
        title: what the app is called.
        identity: its bundle identifier.
        files: paths beside the project: .swift and .mlpackage are compiled, the others copied.
        package: the folder of the local Swift package, which has one library of the same name.
    """

    name: str
    title: str
    identity: str
    files: tuple[str, ...]
    package: str


def pbxproj(project: Project) -> str:
    """The text of NAME.xcodeproj/project.pbxproj; the same for the same project."""
    objects = _Objects()
    references = [objects.add("PBXFileReference", path, **_reference(path)) for path in project.files]
    builds = [
        objects.add("PBXBuildFile", path, fileRef=reference)
        for path, reference in zip(project.files, references, strict=True)
    ]
    product = objects.add(
        "PBXFileReference",
        "product",
        explicitFileType="wrapper.application",
        includeInIndex="0",
        path=f"{project.name}.app",
        sourceTree="BUILT_PRODUCTS_DIR",
    )
    package = objects.add("XCLocalSwiftPackageReference", "package", relativePath=project.package)
    library = objects.add(
        "XCSwiftPackageProductDependency", "library", package=package, productName=project.package
    )
    linked = objects.add("PBXBuildFile", "linked", productRef=library)
    compiled = [
        build
        for path, build in zip(project.files, builds, strict=True)
        if PurePosixPath(path).suffix in _COMPILED
    ]
    phases = [
        _phase(objects, "PBXSourcesBuildPhase", compiled),
        _phase(objects, "PBXFrameworksBuildPhase", [linked]),
        _phase(objects, "PBXResourcesBuildPhase", [build for build in builds if build not in compiled]),
    ]
    target = objects.add(
        "PBXNativeTarget",
        "target",
        buildConfigurationList=_configurations(objects, "target", _target_settings(project)),
        buildPhases=phases,
        buildRules=[],
        dependencies=[],
        name=project.name,
        packageProductDependencies=[library],
        productName=project.name,
        productReference=product,
        productType="com.apple.product-type.application",
    )
    products = objects.add("PBXGroup", "products", children=[product], name="Products", sourceTree="<group>")
    group = objects.add("PBXGroup", "main", children=[*references, products], sourceTree="<group>")
    root = objects.add(
        "PBXProject",
        "project",
        attributes={"BuildIndependentTargetsInParallel": "1", "LastUpgradeCheck": "1500"},
        buildConfigurationList=_configurations(objects, "project", _PROJECT_SETTINGS),
        compatibilityVersion="Xcode 15.0",
        developmentRegion="en",
        hasScannedForEncodings="0",
        knownRegions=["en", "Base"],
        mainGroup=group,
        packageReferences=[package],
        productRefGroup=products,
        projectDirPath="",
        projectRoot="",
        targets=[target],
    )
    content: Value = {
        "archiveVersion": "1",
        "classes": {},
        "objectVersion": "60",
        "objects": objects.all,
        "rootObject": root,
    }
    return f"// !$*UTF8*$!\n{_written(content)}\n"


class _Objects:
    """Objects by their identity, which is made of their kind and a label."""

    def __init__(self) -> None:
        self.all: dict[str, Value] = {}

    def add(self, isa: str, label: str, /, **fields: Value) -> str:
        identity = hashlib.sha256(f"{isa} {label}".encode()).hexdigest()[:24].upper()
        assert identity not in self.all, f"two objects {isa} {label}"
        self.all[identity] = {"isa": isa, **fields}
        return identity


_PROJECT_SETTINGS: Mapping[str, Value] = {
    "CLANG_ENABLE_MODULES": "YES",
    "IPHONEOS_DEPLOYMENT_TARGET": "17.0",
    "SDKROOT": "iphoneos",
    "SWIFT_VERSION": "5.0",
}


def _target_settings(project: Project) -> Mapping[str, Value]:
    return {
        "ASSETCATALOG_COMPILER_APPICON_NAME": "AppIcon",
        "CODE_SIGN_STYLE": "Automatic",
        "COREML_CODEGEN_LANGUAGE": "None",  # the app reads names and shapes out of the bundle's manifest
        "CURRENT_PROJECT_VERSION": "1",
        "GENERATE_INFOPLIST_FILE": "YES",
        "INFOPLIST_KEY_CFBundleDisplayName": project.title,
        "INFOPLIST_KEY_UIApplicationSceneManifest_Generation": "YES",
        "INFOPLIST_KEY_UILaunchScreen_Generation": "YES",
        "LD_RUNPATH_SEARCH_PATHS": ["$(inherited)", "@executable_path/Frameworks"],
        "MARKETING_VERSION": "0.1.0",
        "PRODUCT_BUNDLE_IDENTIFIER": project.identity,
        "PRODUCT_NAME": "$(TARGET_NAME)",
        "TARGETED_DEVICE_FAMILY": "1,2",
    }


def _configurations(objects: _Objects, name: str, settings: Mapping[str, Value]) -> str:
    extra: Mapping[str, Mapping[str, Value]] = {
        "Debug": {"ONLY_ACTIVE_ARCH": "YES", "SWIFT_OPTIMIZATION_LEVEL": "-Onone"},
        "Release": {"SWIFT_COMPILATION_MODE": "wholemodule", "SWIFT_OPTIMIZATION_LEVEL": "-O"},
    }
    made = [
        objects.add("XCBuildConfiguration", f"{name} {kind}", buildSettings={**settings, **more}, name=kind)
        for kind, more in extra.items()
    ]
    return objects.add(
        "XCConfigurationList",
        name,
        buildConfigurations=made,
        defaultConfigurationIsVisible="0",
        defaultConfigurationName="Release",
    )


def _phase(objects: _Objects, isa: str, files: Sequence[str]) -> str:
    return objects.add(
        isa, "phase", buildActionMask="2147483647", files=files, runOnlyForDeploymentPostprocessing="0"
    )


def _reference(path: str) -> dict[str, Value]:
    posix = PurePosixPath(path)
    return {
        "lastKnownFileType": _TYPES[posix.suffix],
        "name": posix.name,
        "path": path,
        "sourceTree": "<group>",
    }


def _written(value: Value, depth: int = 0) -> str:
    """A value in the text format of OpenStep's property lists."""
    tab, end = "\t" * (depth + 1), "\t" * depth
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
    if isinstance(value, Mapping):
        lines = [f"{tab}{_written(key)} = {_written(entry, depth + 1)};\n" for key, entry in value.items()]
        return "{\n" + "".join(lines) + end + "}"
    return "(\n" + "".join(f"{tab}{_written(entry, depth + 1)},\n" for entry in value) + end + ")"
