# Everything works on a fresh machine: the first target makes the virtual environment, each installs what it needs.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
# What is compiled is what is imported: compiling all of it would take longer than fetching it.
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile

.PHONY: demo test lint bench clean

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "dp2 needs Python 3.11 or newer: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.light: pyproject.toml | $(BIN)/python
	$(PIP) --editable .
	touch $@

# PyTorch and all other extras; about 6 GB where pip takes wheels that carry CUDA.
$(VENV)/.developer: pyproject.toml | $(BIN)/python
	$(PIP) --editable '.[torch,train,web,metrics,test,lint]'
	touch $@ $(VENV)/.light

$(VENV)/.bench: $(VENV)/.developer
	$(PIP) --editable '.[bench]'
	touch $@

demo: $(VENV)/.light
	$(BIN)/python anonymize.py media/astronaut.jpg media/grace_hopper.jpg media/group.jpg media/pan.mp4 -o outputs/demo --overwrite
	@echo
	@echo "Look at the pictures and the clip in outputs/demo/ ; the originals are in media/."

test: $(VENV)/.developer
	$(BIN)/python -m pytest -n auto --dist loadfile

lint: $(VENV)/.developer
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.bench
	$(BIN)/python benchmarks/video.py
	$(BIN)/python benchmarks/leak.py

clean:
	rm -rf $(VENV) outputs build dist .pytest_cache .mypy_cache .ruff_cache
