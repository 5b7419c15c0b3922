# Two commands set up everything: `make run` and `make test`.
#   make run                        train with optimizer=adam reg=dropout
#   make run ARGS="optimizer=sgd"   train with other overrides
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
ARGS ?= optimizer=adam reg=dropout
TESTS ?= # all

.PHONY: run test lint format clean

run: $(VENV)/.installed
	$(VENV)/bin/exprun $(ARGS)
	@echo
	@echo "exprun is $(VENV)/bin/exprun; for the shell to find it:  source $(VENV)/bin/activate"

test: lint
	$(VENV)/bin/pytest -n 2 $(TESTS)

lint: $(VENV)/.installed-dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports --no-cache

format: $(VENV)/.installed-dev
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

clean:
	rm -rf $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt $(wildcard src/exprun/engine/native/kernels/*)
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable .
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@
