# Targets of `make help` are the lines with two hashes.
PYTHON ?= python3
SCALE ?=
BIN := .venv/bin
STAMP := .venv/.installed

export MLFLOW_DISABLE_TELEMETRY := true
export MLFLOW_SERVER_ENABLE_JOB_EXECUTION := false
export DVC_NO_ANALYTICS := 1
export DO_NOT_TRACK := true
export MPLBACKEND := Agg
export PATH := $(CURDIR)/$(BIN):$(PATH)

.DEFAULT_GOAL := help
.PHONY: help repro plan paper-check study test ui report docs bench unchanged lint clean install

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-11s %s\n", $$1, $$2}' Makefile

repro: $(STAMP) ## `dvc repro` in workspaces/<scale>, and a summary (SCALE=smoke: minutes, overnight: hours; ARGS=--record)
	@$(BIN)/python -m pipelines.repro $(if $(SCALE),--scale $(SCALE)) $(ARGS)

plan: $(STAMP) ## what a scale trains in what order, seconds done and left (SCALE=overnight; paper: data, memory, GPU hours)
	@$(BIN)/python -m pipelines.train --plan $(if $(SCALE),--scale $(SCALE)) $(ARGS)

paper-check: $(STAMP) ## two steps at full size of every kind of line of scale paper (ARGS=nyuv2-pcgrad)
	@OMP_NUM_THREADS=1 $(BIN)/python -m pipelines.paper_check $(ARGS)

study: $(STAMP) ## equal-budget search on prepared data, then the report (SCALE=smoke; ARGS="census --jobs 1")
	@OMP_NUM_THREADS=1 $(BIN)/python -m pipelines.study $(if $(SCALE),--scale $(SCALE)) $(ARGS)
	@$(if $(SCALE),,$(MAKE) --no-print-directory report)

test: $(STAMP) ## the test-suite (ARGS="-m 'not slow'" for the quick part)
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile $(ARGS)

ui: $(STAMP) ## MLflow on http://127.0.0.1:5000: the recorded runs, by problem and method
	@$(BIN)/python -m pipelines._tracking
	@$(BIN)/mlflow ui --host 127.0.0.1 --port 5000 --workers 1 \
		--backend-store-uri "$$($(BIN)/python -m pipelines._tracking --uri)"

report: $(STAMP) ## tables, figures and the page from the committed histories: no data, no training
	@$(BIN)/python -m pipelines.evaluate
	@$(BIN)/python -m pipelines.report
	@echo "$(CURDIR)/reports/index.html"

docs: $(STAMP) ## the documentation as a site in build/docs: tutorial, how-to, reference, explanation
	@$(BIN)/python -m sphinx --fail-on-warning --quiet docs build/docs
	@echo "$(CURDIR)/build/docs/index.html"

bench: $(STAMP) ## time per step and peak memory against the peers (ARGS=... for `python -m benchmarks`)
	@$(BIN)/python -m benchmarks $(ARGS)

unchanged: $(STAMP) ## does today's code give the numbers of REV's, to the bit? (REV=main ARGS=--record: new fingerprints)
	@$(BIN)/python -m pipelines.unchanged $(or $(REV),HEAD) $(ARGS)

lint: $(STAMP) ## formatter, linter, types, import contracts, method pages
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python docs/generate.py --check

install: $(STAMP) ## .venv with the tested versions; every other target does it when needed

clean: ## removes caches; keeps .venv, data, runs, workspaces and reports
	@rm -rf .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis build dist
	@find src pipelines tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

# uv installs in seconds what takes pip minutes; it knows no folder of wheels unless told, hence UV_FIND_LINKS.
$(STAMP): constraints.txt pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(v < (3, 11) and "Python 3.11 or newer is needed, found %d.%d: make PYTHON=python3.x" % v[:2])'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@if $(BIN)/python -m pip install --quiet uv -c constraints.txt && \
	    UV_COMPILE_BYTECODE=1 UV_FIND_LINKS="$${PIP_FIND_LINKS:-}" $(BIN)/uv pip install --python $(BIN)/python -e '.[dev,repro,peers,rl,ct,docs]' -c constraints.txt; \
	  then :; else echo "uv did not succeed; falling back to pip" >&2; \
	    $(BIN)/python -m pip install -e '.[dev,repro,peers,rl,ct,docs]' -c constraints.txt; fi
	@touch $@
