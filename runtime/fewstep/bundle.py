"""Reading a bundle: the manifest, files that are what it says, step tables."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from fewstep.errors import BundleError, FewstepError, IntegrityError
from fewstep.fused import require_fit
from fewstep.loop_form import buffers
from fewstep.manifest import MANIFEST_NAME, Component, Manifest, Variant
from fewstep.records import load_json
from fewstep.step_table import StepTable


@dataclass(frozen=True)
class Bundle:
    """A folder NAME.fewstep and its manifest."""

    root: Path
    manifest: Manifest

    @classmethod
    def open(cls, path: Path | str) -> "Bundle":
        """Reads the manifest; the other files are checked when they are used, or all together by `verify`.

        Raises:
            BundleError: no bundle is there, or its manifest is wrong.
        """
        root = Path(path)
        if not root.is_dir():
            raise BundleError(
                f"expected a bundle folder, found none, at {root}; export one or check the path"
            )
        file = root / MANIFEST_NAME
        if not file.is_file():
            raise BundleError(
                f"expected {MANIFEST_NAME}, found none, in {root}; give the path of a bundle folder"
            )
        return cls(root, Manifest.from_dict(load_json(file), where=str(file)))

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
            BundleError: the manifest lists no such file.
            IntegrityError: a file is missing, is not a plain file of the folder, or was changed.
        """
        for name in self.manifest.files_of(component):
            self.file(name)
        return self.root / component.file

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
        if extra := sorted(found - self.manifest.files.keys() - {MANIFEST_NAME}):
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
