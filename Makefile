# Needs Python >= 3.11 with venv and pip, and make. `make demo` and `make test` are all that a newcomer has to know.
#
#   make demo        run the main demonstration            make lint        ruff, mypy, import-linter
#   make test        run every test                        make wheel-test  the built wheel, without any extra
#   make quick       run the tests that take no time       make docs        the documentation as a site, in site/
#   make demo-test   run the tests of the demonstrations   make clean       remove what these commands made
#   make bench       measure memento beside its peers (25 minutes; ARGS=--quick for a short form)
#   make bench-companions   the same for what stands beside a matrix; writes benchmarks/COMPANIONS.md (2 minutes)
#   make slurm       test against a real Slurm, started on this machine (Debian 12, as root; 7 minutes)
#   make slurm-docker   the same against a Slurm in containers, where Docker is
#   make faults      try to break every promise, long form; writes tests/faults/RESULTS.md
#
# PYTHON=...  which interpreter to make the environment from    VENV=...  where (default .venv)
# ARGS=...    more arguments for pytest, as in make test ARGS="-k store -x"

VENV ?= .venv
CANDIDATES := python3 python3.11 python3.12 python3.13 python3.14 python
PYTHON ?= $(shell for each in $(CANDIDATES); do \
	$$each -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && { echo $$each; break; }; done)
RUN := $(VENV)/bin/python
PIP := $(RUN) -m pip --disable-pip-version-check --quiet
# Two at a time, because many tests wait for a process or a timeout; idle workers take tests from busy ones.
PYTEST := $(RUN) -m pytest -n 2 --dist worksteal
POETRY := build/poetry/bin/poetry
COMPOSE := docker compose -f slurm-docker-cluster/compose.yaml

# Where it is set, each of the thousand processes that tests start would compile the library again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test quick demo-test slurm slurm-docker faults lint format wheel-test bench bench-companions docs lock clean

help:
	@sed -n '/^#/!q; s/^# \{0,1\}//p' Makefile

demo: $(VENV)/.has-demo
	$(RUN) demo/classifiers.py

test: $(VENV)/.has-test
	$(PYTEST) $(ARGS)

quick: $(VENV)/.has-test
	$(PYTEST) -m "not slow" $(ARGS)

demo-test: $(VENV)/.has-test
	$(PYTEST) demo/tests $(ARGS)

# A trial may take minutes. With ARGS, as in make faults ARGS="-k interrupt", only those run and no table is written.
faults: $(VENV)/.has-test
	MEMENTO_FAULTS=long $(if $(ARGS),,MEMENTO_FAULTS_TABLE=tests/faults/RESULTS.md) \
		$(PYTEST) -o faulthandler_timeout=0 tests/faults $(ARGS)

slurm: $(VENV)/.has-test
	slurm-docker-cluster/native/test $(RUN) $(ARGS)

slurm-docker:
	$(COMPOSE) build
	$(COMPOSE) up --detach --wait
	$(COMPOSE) exec -T slurmctld sh -c 'cd "$$MEMENTO_SOURCE" && \
		python -m pytest -m slurm -p no:xdist -p no:cacheprovider --basetemp=/data/tests tests/slurm $(ARGS)'; \
	status=$$?; $(COMPOSE) down --volumes; exit $$status

lint: $(VENV)/.has-test $(VENV)/.has-lint
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy
	$(VENV)/bin/lint-imports --no-cache
	cd slurm-docker-cluster && $(CURDIR)/$(VENV)/bin/shellcheck -x -P SCRIPTDIR role register_cluster.sh native/*
	$(VENV)/bin/hadolint slurm-docker-cluster/Dockerfile
	$(VENV)/bin/check-jsonschema --builtin-schema vendor.compose-spec slurm-docker-cluster/compose.yaml

format: $(VENV)/.has-lint
	$(RUN) -m ruff check --fix .
	$(RUN) -m ruff format .

# In an environment that has the wheel and what the wheel asks for, and away from the source tree.
wheel-test: $(VENV)/.has-test
	rm -rf build/wheel
	$(PIP) wheel --no-deps --wheel-dir build/wheel .
	$(RUN) -m venv build/wheel/environment
	build/wheel/environment/bin/python -m pip --disable-pip-version-check --quiet install build/wheel/*.whl
	cd build/wheel && environment/bin/python -I ../../.ci/smoke.py

# In environments of their own, in build/bench; writes benchmarks/RESULTS.md. The demo's group has matplotlib, for the plot.
bench: $(VENV)/.has-demo
	$(RUN) -m benchmarks $(ARGS)

bench-companions: $(VENV)/.has-test
	$(RUN) -m benchmarks.companions $(ARGS)

docs: $(VENV)/.has-docs
	$(RUN) -m mkdocs build --strict

# For maintainers. Where the package index has only the simple pages and no JSON, POETRY_PYPI_MIRROR_URL names it.
lock: $(POETRY)
	$(POETRY) lock
	$(POETRY) check --strict

$(POETRY):
	$(PYTHON) -m venv build/poetry
	build/poetry/bin/python -m pip --disable-pip-version-check --quiet install 'poetry>=2.2,<3' poetry-plugin-pypi-mirror

# One stamp per dependency group, so that the demo need not wait for what only the tests need.
$(VENV)/.has-%: pyproject.toml
	@test -n "$(PYTHON)" || { echo "memento needs Python 3.11 or newer; say where: make PYTHON=/path/to/python" >&2; exit 1; }
	@test -x $(RUN) || { echo "making an environment in $(VENV) from $(PYTHON)"; $(PYTHON) -m venv $(VENV); }
	@echo "installing what is needed for: $*"
	@$(PIP) install --upgrade 'pip>=25.1'
	@$(PIP) install --editable . --group $*
	@touch $@

clean:
	rm -rf $(VENV) .venvs build dist site demo/output .coverage htmlcov .memento
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
