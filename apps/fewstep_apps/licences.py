"""The page of licences and credits that every app shows."""

from collections.abc import Sequence
from html import escape

from fewstep.manifest import Licence

SOFTWARE = (
    Licence("ONNX Runtime", "MIT", "Microsoft Corporation"),
    Licence("fewstep", "Apache-2.0", "the fewstep contributors"),
)

SOFTWARE_OF_IOS = SOFTWARE[1:]  # Core ML is a part of the system
SOFTWARE_OF_ANDROID = (
    *SOFTWARE,
    Licence("Gson", "Apache-2.0", "Google Inc."),
    Licence("Kotlin", "Apache-2.0", "JetBrains s.r.o. and Kotlin Programming Language contributors"),
)

_STYLE = (
    ":root{color-scheme:light dark;font:16px/1.5 system-ui,sans-serif}html{background:Canvas;color:CanvasText}body{max-width:46rem;margin:0 auto;padding:1rem}"
    "table{border-collapse:collapse;width:100%}td,th{text-align:left;vertical-align:top;padding:.35rem .5rem .35rem 0;"
    "border-bottom:1px solid #8885}"
)


def page(
    title: str, model: Sequence[Licence], software: Sequence[Licence] = SOFTWARE, back: bool = True
) -> str:
    """An HTML page with what the model and the software are made of; with `back`, and a link to the app's own page."""
    link = f'<p><a href="./">Back to {escape(title)}</a></p>\n' if back else ""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Licences of {escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n"
        f"{link}<h1>Licences and credits</h1>\n"
        f"<h2>The model</h2>\n{_table(model)}\n<h2>The software</h2>\n{_table(software)}\n</main>\n</body>\n</html>\n"
    )


def _table(licences: Sequence[Licence]) -> str:
    rows = "\n".join(
        f"<tr><td>{escape(l.what)}</td><td>{escape(l.licence)}</td><td>{escape(l.credit)}</td></tr>"
        for l in licences
    )
    return f"<table>\n<tr><th>what</th><th>licence</th><th>credit</th></tr>\n{rows}\n</table>"
