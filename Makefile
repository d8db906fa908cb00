PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: install test test-slow test-root test-systemd test-edge test-swarm test-kubernetes check lock check-lock audit check-lowest check-tool demo demo-swarm bench bench-handover bench-deploys soak soak-trust clean

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml requirements.lock
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --no-deps --requirement requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

# Wait for the clock, for tasks of real tools, or in each step for another process.
SLOW = $(shell cat tests/slow)

test: install
	$(BIN)/pytest -n 3 --dist worksteal --ignore tests/root --ignore tests/systemd --ignore tests/https --ignore tests/kubernetes --ignore tests/swarm $(addprefix --ignore ,$(SLOW))

test-slow: install
	$(BIN)/pytest -n 4 --dist worksteal $(SLOW)

# What only root can try: small file systems, and apps of other users.
test-root: install
	$(BIN)/pytest -n 3 tests/root

# Boots a systemd in namespaces of its own. Skipped, with the reason, where that is not possible.
test-systemd: install
	$(BIN)/pytest tests/systemd

# As root: the edge with Traefik and a certificate authority, in a network and a file system of its own. Skipped, with the
# reason, where that is not possible.
test-edge: install
	.ci/tools
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[edge,bench]'
	if unshare --mount --net true; then unshare --mount --net $(BIN)/pytest tests/https; else $(BIN)/pytest tests/https; fi

# As root: a swarm of two Docker engines, in networks of their own. Skipped, with the reason, where that is not possible.
test-swarm: install
	.ci/tools
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[edge,bench]'
	$(BIN)/python -m tests.swarm.all

# Against the cluster that KUBECONFIG names. Skipped, with the reason, where there is none.
test-kubernetes: install
	$(BIN)/pytest tests/kubernetes

check: install
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

# All versions and hashes that `pip install --require-hashes -r requirements.lock` takes, for every Python and machine.
lock:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check 'uv>=0.5'
	$(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")' \
		| $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --upgrade \
		--custom-compile-command 'make lock' --output-file requirements.lock pyproject.toml -

check-lock:
	rm -rf $(VENV)-lock
	$(PYTHON) -m venv $(VENV)-lock
	$(VENV)-lock/bin/pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements.lock
	$(VENV)-lock/bin/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation .
	$(VENV)-lock/bin/pip check --disable-pip-version-check
	$(VENV)-lock/bin/slot-machine version

audit: check-lock
	$(VENV)-lock/bin/pip install --quiet --disable-pip-version-check pip-audit
	$(VENV)-lock/bin/python .ci/audit.py

# The lowest versions that pyproject.toml allows, of those that have wheels for this Python.
check-lowest:
	rm -rf $(VENV)-lowest
	$(PYTHON) -m venv $(VENV)-lowest
	$(VENV)-lowest/bin/pip install --quiet --disable-pip-version-check 'uv>=0.5' pytest pytest-xdist
	$(VENV)-lowest/bin/uv pip install --quiet --python $(VENV)-lowest --resolution lowest-direct --only-binary :all: \
		--no-binary slot-machine .
	$(VENV)-lowest/bin/pytest -n 3 spec

# A wheel is all that `pipx install` and `uv tool install` need.
check-tool:
	rm -rf $(VENV)-tool
	$(PYTHON) -m venv $(VENV)-tool
	$(VENV)-tool/bin/pip install --quiet --disable-pip-version-check 'uv>=0.5'
	$(VENV)-tool/bin/uv build --quiet --wheel --out-dir $(VENV)-tool/dist
	UV_TOOL_DIR=$(VENV)-tool/tools UV_TOOL_BIN_DIR=$(VENV)-tool/links $(VENV)-tool/bin/uv tool install --quiet $(VENV)-tool/dist/*.whl
	cd / && "$(CURDIR)/$(VENV)-tool/links/slot-machine" version

demo-swarm: install
	.ci/tools
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[edge]'
	$(BIN)/python -m demo.swarm

demo: install
	$(BIN)/python -m demo $(BIN)/slot-machine

bench: install
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[bench]'
	$(BIN)/python -m bench $(BIN)/slot-machine
	$(BIN)/python -m bench.deploys $(BIN)/slot-machine

bench-handover: install
	$(BIN)/python -m bench.handover $(BIN)/slot-machine

bench-deploys: install
	$(BIN)/python -m bench.deploys $(BIN)/slot-machine

soak: install
	$(BIN)/python -m soak $(BIN)/slot-machine $(or $(MINUTES),5) $(SEED)

soak-trust: install
	$(BIN)/python -m soak.trust $(BIN)/slot-machine $(or $(ROUNDS),50)

clean:
	rm -rf $(VENV) $(VENV)-lock $(VENV)-lowest $(VENV)-tool .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis build dist
