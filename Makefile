PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: install test check demo bench bench-handover soak clean

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

test: install
	$(BIN)/pytest -n 3

check: install
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

demo: install
	$(BIN)/python -m demo $(BIN)/slot-machine

bench: install
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[bench]'
	$(BIN)/python -m bench $(BIN)/slot-machine

bench-handover: install
	$(BIN)/python -m bench.handover $(BIN)/slot-machine

soak: install
	$(BIN)/python -m soak $(BIN)/slot-machine $(or $(MINUTES),5) $(SEED)

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis build dist
