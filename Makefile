# fewstep: `make demo` shows it, `make test` checks it. Everything is installed into .venv by the first target that needs it.

PYTHON := $(or $(shell command -v python3.11),$(shell command -v python3))
BIN := .venv/bin
INSTALLED := .venv/.installed
EXTRAS := export,coreml,openvino,tensorrt,diffusers,train,evaluate,apps,signing,sbom,dev
BUNDLE := out/emoji-128-4step.fewstep
SITE := apps/fewstep_apps/web/site
KOTLIN := tests/apps/android/node_modules/.package-lock.json
# OpenMP threads that spin while they wait slow torch down tenfold on a shared machine.
export OMP_WAIT_POLICY ?= PASSIVE
# Of `make test`, each with files of tests of its own; most tests use one core.
WORKERS ?= 2
THINGS := "red heart" pizza rocket "cat face" automobile "tropical fish" mushroom guitar \
	snowman "wrapped gift" crown "hot beverage" dragon strawberry robot sunflower
STYLES := 3d flat

.PHONY: help apps demo test test-slow test-mac test-gpu check format hashes audit clean

help:
	@sed -n 's/^## //p' Makefile

## make demo        export the 4-step zoo model, draw a contact sheet, measure: out/emoji-128-4step.fewstep, out/sheet.png, out/bench.html
demo: $(INSTALLED)
	$(BIN)/fewstep export emoji-128-4step --target ort -o $(BUNDLE)
	set --; \
	for thing in $(THINGS); do for style in $(STYLES); do set -- "$$@" "$$thing, $$style style"; done; done; \
	$(BIN)/fewstep generate $(BUNDLE) "$$@" --sheet --columns 8 --output out/sheet.png
	$(BIN)/fewstep bench $(BUNDLE) --json out/bench.json --html out/bench.html

## make apps        build the web app with npm, so that `fewstep package` has it (a wheel has it already)
apps: $(SITE)/index.html

$(SITE)/index.html: $(shell find apps/web/src apps/web/public -type f) $(wildcard apps/web/*.json apps/web/*.ts apps/web/*.html)
	npm --prefix apps/web ci --no-audit --no-fund
	npm --prefix apps/web run build

$(KOTLIN): tests/apps/android/package-lock.json
	npm --prefix tests/apps/android ci --no-audit --no-fund

## make test        lint, types, import contracts, then the fast tests (those of the data need Node's npm, see tools/install.sh)
test: check
	tools/install.sh
	$(MAKE) apps
	npm --prefix apps/web test
	$(MAKE) $(KOTLIN)
	$(BIN)/python -m pytest -m "not slow" -n $(WORKERS) --dist loadfile

## make test-slow   the tests that take long or need the network (real data)
test-slow: $(INSTALLED)
	tools/install.sh
	$(BIN)/python -m pip install --quiet --no-deps -r tests/references.txt --require-hashes -c hashes.txt
	$(BIN)/fewstep data build emoji
	$(BIN)/python -m pytest -m slow

## make test-mac    Core ML packages on Core ML itself; for macOS, and not yet run on one
test-mac: $(INSTALLED)
	$(BIN)/python -m pytest tests/mac tests/runtime/engines/test_coreml.py

## make test-gpu    TensorRT engines on an NVIDIA GPU; skips with the reason where there is none that it supports
test-gpu: $(INSTALLED)
	$(BIN)/python -m pytest tests/gpu -rs

## make check       ruff, mypy --strict and import-linter alone
check: $(INSTALLED)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

## make format      let ruff put the code in order
format: $(INSTALLED)
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

## make hashes      hashes.txt anew, after a change of constraints.txt or tests/references.txt
hashes: $(INSTALLED)
	$(BIN)/python -m pip install --quiet uv --require-hashes -c hashes.txt
	$(BIN)/python tools/hashes.py

## make audit       ask the databases of known vulnerabilities about every pinned version; fails where one cannot be reached
audit: $(INSTALLED)
	test -x .venv-audit/bin/pip-audit || { $(PYTHON) -m venv .venv-audit && .venv-audit/bin/python -m pip install --quiet pip-audit; }
	.venv-audit/bin/pip-audit --strict --disable-pip -r hashes.txt
	npm --prefix apps/web audit --package-lock-only
	npm --prefix tests/apps/android audit --package-lock-only

## make clean       remove caches and build output; .venv, data/ and out/ stay
clean:
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -path ./.venv -prune -o -name __pycache__ -type d -print0 | xargs -0 rm -rf

# Every file that is installed has a SHA-256 of hashes.txt, pip's own among them.
$(INSTALLED): pyproject.toml constraints.txt hashes.txt tools/environment.py
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python tools/environment.py $(EXTRAS)
	touch $@
