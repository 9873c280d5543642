"""Manifests of older schema versions, rewritten as the present one; docs/bundle.md says what changed when."""

from collections.abc import Callable, Mapping
from typing import Any

from fewstep.errors import BundleError
from fewstep.samplers import SAMPLERS, compile_table

SCHEMA_VERSION = 1
_ROWS, _TABLES = 1000, 16
"""Of the draft's step tables, which are compiled anew."""

_UPGRADES: Mapping[int, Callable[[Mapping[str, Any], str], Mapping[str, Any]]] = {}
"""By version, the function that rewrites a manifest of it as one of the next."""


def upgrade(value: object, where: str) -> object:
    """The JSON value of a manifest in the present version; values that are no manifest come back as they are.

    Raises:
        BundleError: the version is a later one, or a step table cannot be made again.
    """
    version = value.get("schema_version") if isinstance(value, Mapping) else None
    if not isinstance(value, Mapping) or not isinstance(version, int) or version < 1:
        return value
    if version > SCHEMA_VERSION:
        raise BundleError(
            f"expected a bundle of schema version {SCHEMA_VERSION}, found version {version}, in {where}; update fewstep"
        )
    for step in range(version, SCHEMA_VERSION):
        value = _UPGRADES[step](value, where)
    return _from_draft(value, where)


def _from_draft(value: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    """Version 1 had a draft, which no release wrote: one `tokenizer`, and step tables whose rows had 'convert' and 'latent'."""
    if "tokenizer" in value and "tokenizers" not in value:
        value = {**{k: v for k, v in value.items() if k != "tokenizer"}, "tokenizers": [value["tokenizer"]]}
    tables = value.get("step_tables")
    if isinstance(tables, Mapping) and any(map(_is_draft_table, tables.values())):
        if len(tables) > _TABLES:
            raise BundleError(
                f"expected at most {_TABLES} step tables of the first format, found {len(tables)}, in {where}"
            )
        made = {
            name: _compiled(table, value, f"{where}.step_tables.{name}") if _is_draft_table(table) else table
            for name, table in tables.items()
        }
        value = {**value, "step_tables": made}
    return value


def _is_draft_table(table: object) -> bool:
    rows = table.get("rows") if isinstance(table, Mapping) else None
    return isinstance(rows, list) and bool(rows) and isinstance(rows[0], Mapping) and "convert" in rows[0]


def _compiled(table: Mapping[str, Any], manifest: Mapping[str, Any], where: str) -> Mapping[str, object]:
    """The table of the same sampler and step count, from the facts that the draft kept beside it."""
    sampling, sampler = manifest.get("sampling"), table.get("sampler")
    shift = sampling.get("shift") if isinstance(sampling, Mapping) else None
    known = isinstance(sampler, str) and sampler in SAMPLERS and len(table["rows"]) <= _ROWS
    if not known or not isinstance(shift, int | float) or not 0 < shift < 1e6:
        raise BundleError(
            f"expected rows with 'state' and 'output', found rows of the first format that no sampler is known for, in {where}; "
            "export the bundle again"
        )
    try:
        return compile_table(str(sampler), len(table["rows"]), float(shift)).to_dict()
    except (ArithmeticError, ValueError) as error:
        raise BundleError(
            f"expected a shift that levels follow from, found {shift} ({error}), in {where}"
        ) from None
