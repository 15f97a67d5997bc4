# `make demo` opens the app, `make test` and `make lint` check it. Each sets up first what is missing (Python 3.11 is
# all that must be there) and starts at once when nothing is.

PYTHON := .venv/bin/python

.PHONY: demo test lint fetch tables strings clean help

demo: fetch  ## open the app in a browser
	$(PYTHON) -m streamlit run app/main.py

fetch:  ## packages and model files, without starting anything
	@.ci/setup app
	$(PYTHON) -m extractors.assets

# Workers of one thread each: threads of several workers on the same cores wait for one another. A worker takes 2 GB.
test:  ## all tests
	@.ci/setup dev
	$(PYTHON) -m extractors.assets
	OMP_NUM_THREADS=1 $(PYTHON) -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile

lint:  ## style, formatting and types
	@.ci/setup dev
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy

tables:  ## tables of the READMEs from the committed result files
	@.ci/setup dev
	$(PYTHON) -m training.reporting.tables

strings:  ## new strings of the screen into app/i18n/locale/, where they wait for a translation
	@.ci/setup app
	@mkdir -p build
	.venv/bin/pybabel -q extract --keywords=N_ --no-location --no-wrap --sort-output -o build/app.pot app
	.venv/bin/pybabel -q update --no-fuzzy-matching --ignore-obsolete --no-wrap --omit-header -i build/app.pot -o app/i18n/locale/zh.po -l zh

clean:  ## remove .venv and caches; model files stay
	rm -rf .venv .pytest_cache .ruff_cache .hypothesis build *.egg-info
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +

help:  ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## */: /'
