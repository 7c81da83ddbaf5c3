# Two commands set everything up on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo docs test lint types layers unit coverage release-check clean

$(VENV)/.user: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("ballspot needs Python 3.11 or newer; set PYTHON=/path/to/python3.11" if sys.version_info < (3, 11) else 0)'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[demo]'
	touch $@

$(VENV)/.dev: pyproject.toml $(VENV)/.user
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

# Editors and the type checker cannot follow a package whose folder is the repository's root; this link shows it to them.
.typing/ballspot:
	mkdir -p .typing
	ln -s .. $@

demo: $(VENV)/.user  ## extract, train, predict and compare: a head beside its control, a picture, a report
	$(BIN)/ballspot demo

docs:  ## the pages as a site, site/index.html; dead links end it
	test -x .venv-docs/bin/mkdocs || { $(PYTHON) -m venv .venv-docs && .venv-docs/bin/pip install --quiet 'mkdocs-material>=9.6'; }
	NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build --strict --quiet

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev .typing/ballspot
	$(BIN)/basedpyright --level error

layers: $(VENV)/.dev
	$(BIN)/lint-imports --no-cache

unit: $(VENV)/.dev  ## the tests, on two cores
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --max-worker-restart 0

coverage: export BALLSPOT_ROOT = $(CURDIR)
coverage: export COVERAGE_FILE = $(CURDIR)/.coverage
coverage: $(VENV)/.dev  ## which share of each package's lines the tests run, in processes that they start too
	$(BIN)/coverage erase
	-$(BIN)/coverage run -m pytest
	$(BIN)/coverage combine --quiet
	@for package in cache evaluate temporal extract; do \
	  echo "$$package $$($(BIN)/coverage report --include="$$package/*" --format=total) %"; done

release-check: $(VENV)/.dev  ## builds sdist and wheel and tries them in new environments (gigabytes, minutes)
	$(BIN)/python bench/release.py

test: lint types layers unit  ## what .ci/run calls

clean:
	rm -rf $(VENV) .venv-docs site .typing demo-output build dist *.egg-info .coverage*
