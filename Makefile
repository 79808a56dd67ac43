# Everything runs in .venv, which is created on first use and updated when requirements.txt changes.
PYTHON ?= python3
VENV := .venv
INSTALLED := $(VENV)/.installed

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

test: $(INSTALLED) ## run every test
	$(VENV)/bin/python -m pytest

lint: $(INSTALLED) ## check style (ruff) and types (mypy --strict, on three platforms)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	for platform in win32 darwin; do $(VENV)/bin/mypy --platform $$platform --cache-dir .mypy_cache/$$platform || exit 1; done

bench: $(INSTALLED) ## measure kvline beside Redis and fakeredis (needs Debian's redis-tools, wrk and webdis)
	$(VENV)/bin/python -m benchmarks

$(INSTALLED): requirements.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

.PHONY: help test lint bench
