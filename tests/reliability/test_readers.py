"""The readers of a bundle on inputs that nobody made by hand; benchmarks/reliability/fuzz.py tries a million of them."""

import io
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fewstep.archive import unpack
from fewstep.errors import BundleError, FewstepError
from fewstep.paths import require_distinct_paths, require_safe_path
from fewstep.step_table import StepTable
from fewstep.strict_json import parse_json

ROOT = Path(__file__).parents[2]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


@pytest.mark.skipif(sys.platform != "linux", reason="the harness limits memory as Linux does")
def test_a_few_mutations_of_every_reader_find_nothing() -> None:
    """With the committed corpus first; 7 readers, 150 inputs each."""
    script = ROOT / "benchmarks" / "reliability" / "fuzz.py"
    words = [sys.executable, str(script), "--tries", "150", "--seconds", "60", "--seed", "7", "--no-record"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.findall(r"'inputs': (\d+)", done.stdout) == ["150"] * 7


@given(text=st.text(max_size=40))
def test_a_path_that_is_taken_stays_inside_and_means_one_thing(text: str) -> None:
    try:
        require_safe_path(text)
    except BundleError as error:
        assert str(error).isprintable()
        return
    path = Path("/bundle") / text
    assert (
        path.is_relative_to("/bundle")
        and ".." not in path.parts
        and path.relative_to("/bundle").as_posix() == text
    )
    assert not text.startswith("/") and "\\" not in text and text.isprintable()


@given(paths=st.lists(st.text(alphabet="aA/ä\u0308", min_size=1, max_size=5), max_size=6))
def test_paths_that_are_distinct_are_so_without_case(paths: list[str]) -> None:
    try:
        require_distinct_paths(paths)
    except BundleError:
        return
    assert len({path.lower() for path in paths}) == len(paths)


@given(rows=st.lists(JSON, max_size=3), more=st.dictionaries(st.text(max_size=5), JSON, max_size=2))
def test_any_step_table_is_read_or_refused(rows: list[object], more: dict[str, object]) -> None:
    value = {"sampler": "x", "prediction": "flow", "initial_scale": 1.0, "rows": rows, **more}
    try:
        StepTable.from_dict(value)
    except FewstepError as error:
        assert str(error).isprintable() and len(str(error)) < 3000


@given(data=st.binary(max_size=200) | JSON.map(lambda value: repr(value).encode("utf-8", "replace")))
def test_any_bytes_are_json_or_refused(data: bytes) -> None:
    try:
        parse_json(data, "x")
    except BundleError as error:
        assert str(error).isprintable()


@settings(max_examples=50)
@given(
    names=st.lists(st.text(min_size=1, max_size=12), min_size=1, max_size=4), content=st.binary(max_size=30)
)
def test_no_name_in_a_zip_file_writes_anything(
    tmp_path_factory: pytest.TempPathFactory, names: list[str], content: bytes
) -> None:
    """Without a manifest nothing is ever written, whatever the names are."""
    folder = tmp_path_factory.mktemp("zip")
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name in dict.fromkeys(names):
            try:
                archive.writestr(name, content)
            except ValueError:  # half of a surrogate pair
                return
    (folder / "x.zip").write_bytes(made.getvalue())
    with pytest.raises(BundleError):
        unpack(folder / "x.zip", folder / "out")
    assert [path.name for path in folder.iterdir()] == ["x.zip"]
