# `make` lists the targets.
PYTHON ?= python3
IMAGE ?=
AUDIO ?=
OUT ?=
REQUESTS ?= 10000
ROUNDS ?= 20
SEED ?=
DIR ?= weights
VARIANT ?= acc
BIN := .venv/bin
# Containers set this, and then each of a service's processes compiles what it imports, at every start.
unexport PYTHONDONTWRITEBYTECODE
PYTEST := $(BIN)/python -m pytest --durations=10
# Two jobs side by side, each with its output in one piece: a service that starts leaves processors idle.
SIDE_BY_SIDE := $(MAKE) --no-print-directory --keep-going --jobs=2 \
                $(if $(filter output-sync,$(.FEATURES)),--output-sync)
MEDIA := tests/models/test_hostile_media.py
# The tests that need no cluster, no browser and no diffusion network; tests/conftest.py marks the others.
QUICK := not service and not cluster and not browser and not diffusion
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.10 --no-header --no-annotate \
           --no-emit-index-url --no-emit-find-links --overrides requirements-overrides.txt

.DEFAULT_GOAL := help
.PHONY: help demo run weights check test test-cluster chaos lint bench fuzz lock clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

demo: preview  ## set everything up, serve, make a video (IMAGE=me.jpg AUDIO=hello.mp3 OUT=me.mp4), keep serving
	@$(BIN)/python -m serve_app.demo $(if $(IMAGE),--image '$(IMAGE)') $(if $(AUDIO),--audio '$(AUDIO)') $(if $(OUT),--out '$(OUT)')

run: preview  ## set everything up and serve on 127.0.0.1:7688
	@$(BIN)/python -m serve_app.launcher

weights: echomimic  ## fetch the published EchoMimic weights (DIR=weights VARIANT=acc), resume, verify
	@$(BIN)/python -m models.echomimic.weights.download '$(DIR)' --variant '$(VARIANT)'

check: dev  ## lint, types and the tests that need no service, no browser and no diffusion network
	@$(SIDE_BY_SIDE) check-media lint check-models check-others

test: dev  ## lint, types and all tests but those of test-cluster
	@$(SIDE_BY_SIDE) test-services test-models check-media lint test-others
	@$(MAKE) --no-print-directory test-alone

test-cluster: dev  ## the tests that need clusters of their own, several nodes or a database that dies
	$(PYTEST) -m cluster

chaos: dev  ## break the running service again and again, look for lost tasks (ROUNDS=20 SEED=7)
	$(BIN)/python -m tests.chaos --rounds $(ROUNDS) $(if $(SEED),--seed $(SEED))

lint: dev  ## style and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: dev  ## measure the preview engine and the API on this machine
	$(BIN)/python -m benchmarks.preview
	$(BIN)/python -m benchmarks.api

fuzz: dev  ## attack a service of its own: made-up requests (REQUESTS=10000 SEED=1), hostile files
	$(BIN)/python -m tests.fuzz $(REQUESTS) $(SEED)

lock: dev  ## pin the newest versions that fit requirements-*.in
	$(COMPILE) --upgrade requirements-preview.in -o requirements-preview.txt
	$(COMPILE) --upgrade -c requirements-preview.txt requirements.in -o requirements.txt
	$(COMPILE) --upgrade -c requirements.txt requirements-dev.in -o requirements-dev.txt
	# Which CUDA packages torch needs depends on its build, and each build pins its own.
	sed -i -E '/^(nvidia|cuda|triton)/d' requirements.txt requirements-dev.txt

clean:  ## remove the virtual environment and everything generated
	rm -rf .venv output .mypy_cache .ruff_cache .pytest_cache

.PHONY: check-media check-models check-others test-models test-others test-services test-alone
# Half of the time that the quick tests of the models take.
check-media:
	$(PYTEST) $(MEDIA)

check-models:
	$(PYTEST) -m '$(QUICK)' tests/models --ignore $(MEDIA)

check-others:
	$(PYTEST) -m '$(QUICK)' --ignore tests/models

test-models:
	$(PYTEST) -m 'not service and not cluster' tests/models --ignore $(MEDIA)

test-others:
	$(PYTEST) -m 'not service and not cluster' --ignore tests/models

test-services:
	$(PYTEST) -m 'service and not alone and not cluster'

test-alone:
	$(PYTEST) -m 'alone and not cluster'

.PHONY: preview echomimic dev
preview:
	@$(PYTHON) scripts/bootstrap.py requirements-preview.txt

echomimic:
	@$(PYTHON) scripts/bootstrap.py requirements.txt

dev:
	@$(PYTHON) scripts/bootstrap.py requirements-dev.txt
