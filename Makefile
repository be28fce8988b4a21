# make demo   environment, install, and a first run on the screens
# make test   everything that CI runs (make check is the same)
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
SOURCES := pyproject.toml constraints.txt $(shell find engine tui profiles -type f -not -path '*/__pycache__/*')

.PHONY: demo test check lint types layers pytest install develop clean

demo: $(VENV)/installed
	$(BIN)/fttui demo

test check: lint types layers pytest

install: $(VENV)/installed

develop: $(VENV)/developed

lint: $(VENV)/developed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(VENV)/developed
	$(BIN)/mypy

layers: $(VENV)/developed
	$(BIN)/lint-imports

pytest: $(VENV)/developed
	sh tests/system-packages
	# As many at a time as keep two cores busy: screens and supervisors mostly wait. What is measured runs by itself.
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not alone" tests/unit tests/train $(PYTEST_ARGS)
	$(BIN)/python -m pytest -n 3 --dist loadfile -m "not alone" tests/tui tests/e2e $(PYTEST_ARGS)
	$(BIN)/python -m pytest -m alone tests $(PYTEST_ARGS)

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "fttui needs Python 3.11 or newer: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)

# The package itself is installed for real, not as a link to the sources: what is run and tested is what a user gets.
# Without the rm, files that were deleted from the sources would be installed again from setuptools' build folder.
$(VENV)/installed: $(VENV)/bin/python $(SOURCES)
	rm -rf build
	$(PIP) '.[train]'
	touch $@

$(VENV)/developed: $(VENV)/bin/python $(SOURCES)
	rm -rf build
	$(PIP) '.[train,metrics,dev]'
	touch $@ $(VENV)/installed

clean:
	rm -rf $(VENV) build *.egg-info
