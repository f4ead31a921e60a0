# All set-up happens here, into .venv. `make demo` and `make test` are all that a newcomer needs.
PYTHON ?= python3
BIN := .venv/bin
EXTRAS := arviz,dev,mlflow,nest,s3
export PREFECT_SERVER_ANALYTICS_ENABLED = false
export DO_NOT_TRACK = 1

.PHONY: install demo server server-stop test check fix lock bench clean

install: .venv/installed

.venv/installed: pyproject.toml requirements.lock
	$(PYTHON) -c 'import sys; sys.exit("connflow needs Python 3.11, 3.12 or 3.13, not " + sys.version.split()[0]) if not (3, 11) <= sys.version_info < (3, 14) else None'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint requirements.lock --editable '.[$(EXTRAS)]'
	@touch $@

demo: install  ## simulate a network, image it, infer its wiring, and report
	$(BIN)/connflow run connectivity --params params.yaml

server: install  ## a Prefect server with deployments and a worker, for who has none
	$(BIN)/connflow server start

server-stop: install
	$(BIN)/connflow server stop

test: check  ## everything CI runs
	$(BIN)/python -m pytest

check: install  ## style, types, floors, spelling
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell

fix: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock:  ## resolve the versions of requirements.lock anew (needs uv)
	uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --upgrade \
		--no-emit-index-url --no-header --no-annotate --quiet --output-file requirements.lock

bench: install  ## the figures of the README, as ratios to named alternatives
	$(BIN)/python -m benchmarks

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
