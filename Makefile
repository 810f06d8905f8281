# make test       unit and parity tests on CPU; sets .venv up first (again whenever the lists of packages change)
# make test-all   the slow ones too
# make lint       ruff and mypy
# make docs       writes docs/config.md and docs/schema/ anew from the dataclasses

PYTHON ?= python3
VENV ?= .venv
export OMP_NUM_THREADS ?= 1
export HF_HUB_OFFLINE = 1

READY = $(VENV)/.ready

.PHONY: setup test test-all lint docs

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	touch $@

test: setup
	$(VENV)/bin/python -m pytest

test-all: setup
	$(VENV)/bin/python -m pytest -m "slow or not slow"

lint: setup
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy minigpt4

docs: setup
	$(VENV)/bin/minigpt4 configs docs
