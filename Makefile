# Everything a developer runs, and nothing else that CI runs. A fresh clone needs python3 (3.11 or newer) and make.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
OLDEST := .contract/oldest
LMMS := .lmms
NEWEST := .contract/newest
DOCS := .docs
PYTEST_ARGS ?=
# Tests run in so many processes.
JOBS ?= 2

.DEFAULT_GOAL := help
.PHONY: help setup demo test check contract lmms soak pocket docs clean

help:  ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

setup: $(STAMP)  ## install into .venv, with everything for development

demo: $(STAMP)  ## watch, forget and answer: the embedded model, no download
	$(BIN)/infinipot-v demo

test: $(STAMP)  ## run the tests
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal $(PYTEST_ARGS)

check: $(STAMP)  ## lint, formatting and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

contract: $(OLDEST)/.installed $(NEWEST)/.installed  ## the tests of what we lean on, on the oldest and newest transformers
	$(OLDEST)/bin/python -m pytest -m contract $(PYTEST_ARGS)
	$(NEWEST)/bin/python -m pytest -m contract $(PYTEST_ARGS)

lmms: $(LMMS)/.installed  ## the tests against the real lmms-eval
	$(LMMS)/bin/python -m pytest tests/lmms $(PYTEST_ARGS)

soak: $(STAMP)  ## the long proofs
	$(BIN)/python -m pytest -m soak $(PYTEST_ARGS)

pocket: $(STAMP)  ## train the embedded model again
	$(BIN)/python -m training.run

docs: $(DOCS)/.installed  ## build the documentation into site/
	NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/mkdocs build --strict --quiet

clean:  ## remove environments, caches and builds
	rm -rf .venv .contract .lmms .docs dist build site .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find src tests training -name __pycache__ -type d -prune -exec rm -rf {} +

# venv FOLDER
define venv
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version.split()[0] + "; try make PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(1)
endef

# install FOLDER, then what to install in it beside the package
define install
	$(call venv,$(1))
	$(1)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]' $(2)
	@touch $(1)/.installed
endef

# Not in constraints.txt: `make contract` takes others. One release, so that a newer one is met there first.
$(STAMP): pyproject.toml constraints.txt Makefile
	$(call install,.venv,'transformers==5.24.0')

$(OLDEST)/.installed: pyproject.toml constraints.txt
	$(call install,$(OLDEST),'transformers==5.17.0' 'huggingface-hub<2')

$(NEWEST)/.installed: pyproject.toml constraints.txt
	$(call install,$(NEWEST),--upgrade 'transformers')

# lmms-eval wants PyAV below 16 and much that our tests never touch: it is installed alone, with what they do touch.
$(LMMS)/.installed: pyproject.toml constraints.txt tests/lmms/requirements.txt
	$(call venv,$(LMMS))
	$(LMMS)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e . -r tests/lmms/requirements.txt
	$(LMMS)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps 'lmms-eval==0.7.3'
	@touch $@

# The pages are read from the sources: neither the package nor PyTorch is installed here.
$(DOCS)/.installed: pyproject.toml
	$(call venv,$(DOCS))
	$(DOCS)/bin/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["docs"], sep="\n")' > $(DOCS)/needs.txt
	$(DOCS)/bin/python -m pip install --quiet --disable-pip-version-check -r $(DOCS)/needs.txt
	@touch $@
