"""JSON that two readers could take for two things is refused, and so is what costs too much."""

from pathlib import Path

import pytest

from fewstep.errors import BundleError, FewstepError
from fewstep.strict_json import load_json, parse_json


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b'{"a": 1, "a": 2}', "the key 'a' is there twice"),
        (b"[NaN]", "NaN is no number of JSON"),
        (b"[-Infinity]", "-Infinity is no number"),
        (b"[1e999]", "expected finite numbers"),
        (b'["\\ud800"]', r"found the character U\+D800"),
        (b'{"\\u001b[2J": 1}', r"found the character U\+001B"),
        (b'["\\u009b"]', r"found the character U\+009B"),
        (b"\xff", "expected JSON, found something else"),
        (b"", "expected JSON, found something else"),
        (b"[" * 40 + b"]" * 40, "expected at most 32 levels"),
        (b"[" * 200_000, "expected JSON, found something else"),
        (b"[" + b"9" * 5000 + b"]", "expected JSON, found something else"),
    ],
)
def test_what_is_not_plain_json_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(BundleError, match=message):
        parse_json(data, "x")


def test_plain_json_is_read() -> None:
    assert parse_json('{"a": [1, 2.5, "ä\\n", null, true, "👨‍👩‍👧"]}'.encode(), "x") == {
        "a": [1, 2.5, "ä\n", None, True, "👨‍👩‍👧"]
    }


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("[1, 2]")
    assert load_json(tmp_path / "x.json", limit=6) == [1, 2]
    with pytest.raises(BundleError, match="expected at most 5 bytes, found more"):
        load_json(tmp_path / "x.json", limit=5)


def test_an_error_is_one_line_of_bounded_length_whatever_it_quotes() -> None:
    message = str(FewstepError("found '\x1b[31m\n\u202e" + "x" * 10_000 + "', in y"))
    assert message.isprintable() and len(message) < 2100
    assert message.startswith("found '?[31m ?xxx") and message.endswith("xx', in y")
