# Thin on purpose: every target is one or two commands that also work by hand.
# `make run` and `make test` need Python 3.11 to 3.13 and nothing else; a second call installs nothing.

VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: run test lint engine report serve bench papermill-tests image-check audit clean
.DEFAULT_GOAL := run

run: engine
	$(BIN)/dslkit batch notebooks/requirements.jsonl --out out --mode multi_agent

test: engine
	$(BIN)/python -m pytest -n 2 --dist loadfile

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

engine: $(INSTALLED)
	@$(BIN)/dslkit engine install --quiet || true # it says what is missing; items are then `clean, not run`

report: $(INSTALLED)
	$(BIN)/dslkit report -o reports/cost_report.html

serve: engine
	$(BIN)/dslkit serve --lab

# Short runs. `benchmarks/replies.py` and `benchmarks/throttle.py` need test data and a server that do not ship with dslkit.
bench: engine
	$(BIN)/python -m benchmarks.ledger
	$(BIN)/python -m benchmarks.report
	$(BIN)/python -m benchmarks.notebooks
	$(BIN)/python -m benchmarks.batch
	$(BIN)/python -m benchmarks.monitor

# papermill's own test suite with our engine as the default, and with its own. Fetches its source and what its tests need.
papermill-tests: $(INSTALLED)
	$(BIN)/python -m benchmarks.papermill_suite build/papermill

# As root, with debootstrap: about ten minutes, most of them pip's.
image-check: $(INSTALLED)
	$(BIN)/hadolint deploy/Dockerfile
	$(BIN)/python deploy/image_check.py

# Known vulnerabilities of what constraints.txt pins. A package that could not be looked up is a failure, not a pass.
audit: $(INSTALLED)
	$(BIN)/pip-audit --strict --requirement constraints.txt --no-deps --disable-pip --progress-spinner off

# The newest of Python 3.11 to 3.13 found on PATH or under pyenv; PYTHON= chooses another.
$(INSTALLED): pyproject.toml constraints.txt
	@python="$(PYTHON)"; \
	test -n "$$python" || for candidate in python3.13 "$${PYENV_ROOT:-$$HOME/.pyenv}"/versions/3.13*/bin/python \
	  python3.12 "$${PYENV_ROOT:-$$HOME/.pyenv}"/versions/3.12*/bin/python \
	  python3.11 "$${PYENV_ROOT:-$$HOME/.pyenv}"/versions/3.11*/bin/python python3; do \
	    if "$$candidate" -c 'import sys, venv; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null; \
	    then python="$$candidate"; break; fi; \
	done; \
	test -n "$$python" || { echo "No Python 3.11 to 3.13 found: install one, or name it: make PYTHON=/path/to/python3.12" >&2; exit 1; }; \
	echo "Installing dslkit into $(VENV) with $$python (1.6 GB, a minute or a few)"; \
	if command -v uv >/dev/null 2>&1; then \
	  uv venv --quiet --allow-existing --python "$$python" $(VENV) && \
	  uv pip install --quiet --python $(BIN)/python -c constraints.txt -e ".[dev]"; \
	else \
	  "$$python" -m venv $(VENV) && \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"; \
	fi
	@touch $@

clean:
	rm -rf $(VENV) out build dist
