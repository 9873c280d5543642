"""The golden token numbers of other languages: what the `tokenizers` package makes of the same texts today."""

import json
import runpy
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_file_is_what_its_command_writes() -> None:
    made = runpy.run_path(str(ROOT / "tools" / "golden_tokens.py"))["golden"]()
    assert json.loads((ROOT / "tests" / "data" / "tokens.json").read_text(encoding="utf-8")) == made
