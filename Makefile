# `make demo` opens the app; `make test` and `make lint` check it. Each target first installs what is missing. Only
# Python (3.11, 3.12 or 3.13) or uv has to be there; when nothing is missing, a target starts at once. Another Python
# beside the first: make test VENV=.venv-3.13 SETUP_PYTHON=python3.13

VENV ?= .venv
PYTHON := $(VENV)/bin/python
export VENV

.PHONY: demo test test-slow test-training test-gpu bench-gpu lint fetch tables strings lock audit sbom licences clean help

demo:  ## open the app in a browser
	@.ci/setup app
	$(PYTHON) -m app.cli demo

fetch:  ## packages and model files, without starting anything
	@.ci/setup app
	$(PYTHON) -m extractors.assets

# One thread per worker: threads of several workers on the same cores wait for one another. A worker takes 2 GB.
PYTEST := OMP_NUM_THREADS=1 $(PYTHON) -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile --durations=40 --durations-min=4

test:  ## all tests but the slow full runs and those that train
	@.ci/setup dev
	$(PYTHON) -m extractors.assets
	$(PYTEST) -m "not slow and not training"

test-slow:  ## the slow full runs: every real clip, kills, more languages and looks of the screen
	@.ci/setup dev
	$(PYTHON) -m extractors.assets
	$(PYTEST) -m slow

test-training:  ## train for minutes, on a set whose answer is known
	@.ci/setup dev
	$(PYTHON) -m extractors.assets
	$(PYTEST) -m training

test-gpu:  ## the tests that need a GPU, and on it those that elsewhere pretend one
	@.ci/setup dev
	$(PYTHON) -m pytest -m "gpu or gpu_or_pretended"

bench-gpu:  ## time and memory of scan, fusion and a clip on the GPU, as JSON
	@.ci/setup dev
	$(PYTHON) -m benchmarks.scan --device cuda
	$(PYTHON) -m benchmarks.fusion --device cuda
	ALIGNMAMBA_DEVICE=cuda $(PYTHON) -m benchmarks.clip

lint:  ## style, formatting and types
	@.ci/setup dev
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy

tables:  ## write the tables of the documents from the committed result files
	@.ci/setup dev
	$(PYTHON) -m training.reporting.tables

strings:  ## add new strings of the screen to app/i18n/locale/, to be translated there
	@.ci/setup app
	@mkdir -p build
	$(VENV)/bin/pybabel -q extract --keywords=N_ --no-location --no-wrap --sort-output -o build/app.pot app extractors/messages.py
	$(VENV)/bin/pybabel -q update --no-fuzzy-matching --ignore-obsolete --no-wrap --omit-header -i build/app.pot -o app/i18n/locale/zh.po -l zh

lock:  ## lock every package that the requirement files bring along, with hashes
	@.ci/setup app
	$(PYTHON) .ci/lock.py

audit:  ## known vulnerabilities of the installed packages, where the package index can be asked
	@.ci/setup dev
	@$(PYTHON) -m deploy.audit

sbom:  ## software bill of materials of the installed packages: build/sbom.cdx.json (CycloneDX)
	@.ci/setup dev
	@mkdir -p build
	$(PYTHON) -m cyclonedx_py environment --pyproject pyproject.toml --output-reproducible -o build/sbom.cdx.json $(VENV)

licences:  ## write docs/licences.md from what is installed
	@.ci/setup app
	$(PYTHON) -m deploy.licences

clean:  ## remove .venv and caches; model files stay
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis build *.egg-info
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## */: /'
