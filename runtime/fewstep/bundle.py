"""Reading a bundle: the manifest, files that are what it says, step tables."""

import hashlib
import shutil
import tempfile
import weakref
from dataclasses import dataclass, field
from pathlib import Path

from fewstep.archive import unpack
from fewstep.errors import BundleError, FewstepError, IntegrityError
from fewstep.fused import require_fit
from fewstep.limits import MANIFEST_BYTES
from fewstep.loop_form import buffers
from fewstep.manifest import MANIFEST_NAME, SIGNATURE_NAME, Component, Manifest, Variant
from fewstep.onnx_graph import require_safe_graph
from fewstep.signature import require_signed
from fewstep.step_table import StepTable
from fewstep.strict_json import parse_json, read_bytes
from fewstep.trust import Trust


@dataclass(frozen=True)
class Bundle:
    """A folder NAME.fewstep and its manifest, with what its user allows."""

    root: Path
    manifest: Manifest
    trust: Trust = field(default_factory=Trust)

    @classmethod
    def open(cls, path: Path | str, trust: Trust | None = None) -> "Bundle":
        """Reads the manifest; the other files are checked when they are used, or all together by `verify`.

        Args:
            path: the folder, or a zip file of it, which is unpacked to a temporary folder that lives as long as the bundle.
            trust: what is asked of the bundle beyond being whole; nothing if not given.

        Raises:
            BundleError: no bundle is there, its manifest is wrong, or it is not signed as asked.
        """
        root, trust = Path(path), trust or Trust()
        if root.is_file():
            return cls._unpacked(root, trust)
        if not root.is_dir():
            raise BundleError(
                f"expected a bundle folder, found none, at {root}; export one or check the path"
            )
        file = root / MANIFEST_NAME
        if not file.is_file():
            raise BundleError(
                f"expected {MANIFEST_NAME}, found none, in {root}; give the path of a bundle folder"
            )
        data = read_bytes(file, MANIFEST_BYTES)
        if trust.public_key is not None:
            require_signed(data, root, trust.public_key)
        return cls(root, Manifest.from_dict(parse_json(data, str(file)), where=str(file)), trust)

    @classmethod
    def _unpacked(cls, archive: Path, trust: Trust) -> "Bundle":
        temporary = tempfile.mkdtemp(prefix="fewstep-")
        try:
            root = Path(temporary) / archive.name.removesuffix(".zip")
            unpack(archive, root)
            bundle = cls.open(root, trust)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        weakref.finalize(bundle, shutil.rmtree, temporary, ignore_errors=True)
        return bundle

    def file(self, name: str) -> Path:
        """The path of a listed file, after its size and SHA-256 were found right.

        Raises:
            BundleError: the manifest lists no such file.
            IntegrityError: the file is missing, is not a plain file of the folder, or was changed.
        """
        record = self.manifest.files.get(name)
        if record is None:
            raise BundleError(f"expected a file that the manifest lists, found '{name}', in {self.root}")
        path = self.root / name
        if not path.is_file():
            raise IntegrityError(
                f"expected the file {name}, found none, in {self.root}; export or copy the bundle again"
            )
        if not path.resolve().is_relative_to(self.root.resolve()):
            raise IntegrityError(f"expected a file inside the bundle, found a link out of it, at {path}")
        size = path.stat().st_size
        if size != record.bytes:
            raise IntegrityError(
                f"expected {record.bytes} bytes, found {size}, in {path}; export or copy the bundle again"
            )
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        if digest != record.sha256:
            raise IntegrityError(
                f"expected SHA-256 {record.sha256[:12]}..., found {digest[:12]}..., in {path}; "
                "the file was changed, export or copy the bundle again"
            )
        return path

    def graph(self, component: Component) -> Path:
        """The path of a component's graph, a file or a folder, after all of it and the weights beside it were found right.

        Raises:
            BundleError: the manifest lists no such file, or the graph reaches beyond itself (`fewstep.onnx_graph`).
            IntegrityError: a file is missing, is not a plain file of the folder, or was changed.
        """
        names = self.manifest.files_of(component)
        for name in names:
            self.file(name)
        path = self.root / component.file
        if path.suffix == ".onnx":
            beside = {name.rpartition("/")[2] for name in names if name != component.file}
            require_safe_graph(path, beside, self.trust.operators)
        return path

    def verify(self) -> int:
        """Checks every file of the folder against the manifest; returns the number of files.

        Raises:
            IntegrityError: a file is missing, changed, or not listed.
        """
        found = {
            p.relative_to(self.root).as_posix()
            for p in self.root.rglob("*")
            if p.is_symlink() or not p.is_dir()
        }
        if extra := sorted(found - self.manifest.files.keys() - {MANIFEST_NAME, SIGNATURE_NAME}):
            raise IntegrityError(
                f"expected only files that the manifest lists, found {extra[0]}, in {self.root}; remove it"
            )
        for name in self.manifest.files:
            self.file(name)
        return len(self.manifest.files)

    def step_table(self, steps: int | None = None, sampler: str | None = None) -> StepTable:
        """The bundle's table for that sampler and step count, or one compiled from the bundle's sampling facts.

        Without arguments it is the bundle's default table; one argument alone keeps the other default.

        Raises:
            FewstepError: an unknown sampler or steps < 1.
        """
        if steps is None and sampler is None:
            return self.manifest.step_tables[self.manifest.default_step_table]
        # By the name of the compiled table: a sampler of two stages evaluates the network more often than it has steps.
        table = self.manifest.sampling.table(steps, sampler)
        return self.manifest.step_tables.get(table.name, table)

    def fits(self, variant: Variant, table: StepTable) -> bool:
        """Whether the graphs of a variant can run a table."""
        try:
            self.require_fit(variant, table)
        except FewstepError:
            return False
        return True

    def require_fit(self, variant: Variant, table: StepTable) -> None:
        """Refuses a table that the graphs of a variant cannot run.

        Raises:
            FewstepError: the variant holds another table, keeps fewer arrays, or takes no noise.
        """
        own, inputs = variant.loop.step_table, variant.network.input_names
        if own is not None and table != self.manifest.step_tables[own]:
            raise FewstepError(
                f"expected the step table {own}, which variant '{variant.name}' holds, found {table.name}; "
                "choose a variant whose loop runs on the host"
            )
        if variant.loop.form == "fused":
            require_fit(table, buffers(inputs), "noise" in inputs)
