# Two commands matter: `make demo` and `make test`. Each works on a fresh machine with Python >= 3.11 and make, and again after that.
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
PIP_INSTALL := $(PY) -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo test check bench docs services clean
.DELETE_ON_ERROR:

demo: $(VENV)/.installed-train
	$(VENV)/bin/stillhouse demo

test: $(VENV)/.installed-dev services
	$(PY) -m pytest

check: $(VENV)/.installed-dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(PY) -m pytest -m "not slow"

bench: $(VENV)/.installed-dev
	$(PY) -m bench

docs: $(VENV)/.installed-dev
	$(PY) -m docs.generate

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Stillhouse needs Python 3.11 or newer; name one with make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed-train: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "installing into $(VENV) (PyTorch is large: a few minutes)"
	$(PIP_INSTALL) -e '.[train]'
	@touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "installing into $(VENV) (PyTorch is large: a few minutes)"
	$(PIP_INSTALL) -e '.[dev]'
	@touch $@ $(VENV)/.installed-train

# What some tests drive from outside Python. Where it cannot be installed, those tests skip with a plain notice.
services:
	@command -v chromium >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
	  echo "installing chromium for the report's tests" && apt-get update -qq && \
	  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null; } || \
	  echo "chromium is not here and cannot be installed: the tests that look at the report in a browser will skip"

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .mypy_cache build dist
