# `make demo` and `make test` work on a fresh machine: the first one to run makes the virtual environment.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.PHONY: demo test lint bench clean

$(STAMP): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "dp2 needs Python 3.11 or newer: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test,lint]'
	touch $@

demo: $(STAMP)
	$(BIN)/python anonymize.py media/astronaut.jpg media/grace_hopper.jpg media/group.jpg media/pan.mp4 -o outputs/demo --overwrite
	@echo
	@echo "Look at the pictures and the clip in outputs/demo/ ; the originals are in media/."

test: $(STAMP)
	$(BIN)/python -m pytest -n auto --dist loadfile

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(STAMP)
	$(BIN)/python benchmarks/video.py
	$(BIN)/python benchmarks/leak.py

clean:
	rm -rf $(VENV) outputs build dist .pytest_cache .mypy_cache .ruff_cache
