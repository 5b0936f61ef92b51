# Colloquy. `make` lists what there is. Nothing but Python 3.11 and make is needed; everything else goes into .venv.
#
#   ARGS          passed to run.py or the benchmark:  make run ARGS="--port 5050"
#   PYTEST_ARGS   passed to pytest:                   make test PYTEST_ARGS="tests/streaming -x"
#   WORKERS       test processes at once; 0: all in one:  make test WORKERS=0
#   PYTHON        the Python that makes .venv:        make run PYTHON=python3.12

ARGS ?=
PYTEST_ARGS ?=
WORKERS ?= 2
export PYTHON

# .venv/bin first, for tools and, on a machine without Node.js, for node; the project itself is importable
IN_VENV = PATH="$(CURDIR)/.venv/bin:$$PATH" PYTHONPATH="$(CURDIR)"

.DEFAULT_GOAL := help
.PHONY: help run test test-all test-js test-matrix chaos fuzz check format generate bench clean env env-dev

help:  ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

run: env  ## install what is missing and start the server
	@exec .venv/bin/python run.py $(ARGS)

test: env-dev test-js  ## all tests but the other async modes
	@$(IN_VENV) python -m pytest -n $(WORKERS) --dist loadfile -m "not matrix" $(PYTEST_ARGS)

test-all: test test-matrix  ## all tests

test-matrix: env-dev
	@$(IN_VENV) python -m pytest -n $(WORKERS) --dist loadfile -m matrix $(PYTEST_ARGS)

chaos: env-dev  ## the long chaos suite: 1,000 runs with random faults, 100,000 hostile frames
	@$(IN_VENV) python -m tests.chaos

fuzz: env-dev  ## the long OpenAPI fuzzing: FUZZ_EXAMPLES random requests per operation, and each case of the document
	@$(IN_VENV) FUZZ_EXAMPLES=$${FUZZ_EXAMPLES:-40} python -m pytest -s tests/integration/test_fuzz.py $(PYTEST_ARGS)

# Files by name: what `node --test FOLDER` means differs between Node.js 20 and 22.
test-js: env-dev
	@files=$$(find tests/js -name '*.test.js' -o -name '*.test.mjs'); \
	test -n "$$files" || { echo "no JavaScript tests found: tests/js/*.test.js"; exit 1; }; \
	$(IN_VENV) node --test --test-reporter=spec $$files

check: env-dev  ## ruff, mypy, import directions, generated files, installed packages
	@$(IN_VENV) ruff check .
	@$(IN_VENV) ruff format --check .
	@$(IN_VENV) mypy app run.py
	@$(IN_VENV) lint-imports
	@$(IN_VENV) python tools/protocol_js.py --check
	@$(IN_VENV) python tools/protocol_md.py --check
	@$(IN_VENV) python tools/team_schema.py --check
	@$(IN_VENV) sh tools/pip_check.sh

format: env-dev  ## let ruff put the code in order
	@$(IN_VENV) ruff check --fix-only .
	@$(IN_VENV) ruff format .

generate: env-dev  ## write what is generated from app/protocol: JavaScript constants, tables in docs/
	@$(IN_VENV) python tools/protocol_js.py
	@$(IN_VENV) python tools/protocol_md.py
	@$(IN_VENV) python tools/team_schema.py

bench: env-dev  ## measure, beside a plain Flask-SocketIO app
	@$(IN_VENV) python -m benchmarks $(ARGS)

clean:  ## remove what was installed and made (not instance/, where the server's data lies)
	rm -rf .venv node_modules static/vendor .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	rm -rf .coverage .coverage.* htmlcov *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

env:
	@sh tools/env.sh run

env-dev:
	@sh tools/env.sh dev
