"""Targets: what turns a generator into the artefacts of one engine. One target a file, with `build` and `STAGES`."""
