"""Names and texts as Android wants them."""

import re
from xml.sax.saxutils import escape


def identifier(name: str) -> str:
    """A name as a part of an application's identity: lower-case letters, digits and _, a letter first."""
    word = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    return word if word[:1].isalpha() else f"x{word}"


def strings(title: str) -> str:
    """res/values/strings.xml with the name of the app."""
    text = re.sub(r"([\\'\"@?])", r"\\\1", escape(title))
    return f'<?xml version="1.0" encoding="utf-8"?>\n<resources>\n    <string name="app_name">{text}</string>\n</resources>\n'
