# Short names for what people do here. What depends on what is in dvc.yaml, and only there.
SHELL := bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

export PATH := $(CURDIR)/.venv/bin:$(PATH)
ENVIRONMENT := .venv/.complete

.PHONY: help setup check reproduce test test-fast test-vllm test-megatron format lint use profiles metrics plots readme clean distclean

help: ## List what `make` can do
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-13s %s\n", $$1, $$2}' Makefile

setup: $(ENVIRONMENT) ## Build .venv, if it is not there or not up to date (TORCH_INDEX=, PYTHON=: see scripts/setup.sh)

$(ENVIRONMENT): pyproject.toml scripts/setup.sh configs/constraints.txt configs/requirements-data.txt \
		$(wildcard configs/standins/*/pyproject.toml)
	@scripts/setup.sh
	@touch $@

check: setup ## List everything that would fail on this machine with this params.yaml
	@python -m stages.check

reproduce: setup ## Check this machine, run the pipeline as far as anything changed, and show the table
	@python -m stages.check || { echo "fix this, or run what can run with: dvc repro STAGE" >&2; exit 1; }
	@dvc repro
	@cat metrics/table.md
	@python -m scripts.try_it

test: setup ## Run all tests, on all cores
	@pytest -n auto

test-fast: setup ## Run the quick tests
	@pytest -n auto -m "not slow"

test-vllm: setup ## Run the vLLM engine on the CPU, in an environment of its own (.venv-vllm: 3 GB, minutes)
	@scripts/test_vllm.sh

test-megatron: setup ## Train with Megatron on two CPU processes (MCORE_ADAPTER=: see scripts/test_megatron.sh)
	@MCORE_ADAPTER="$(MCORE_ADAPTER)" scripts/test_megatron.sh

format: setup ## Format the code and apply ruff's safe fixes
	@ruff format .
	@ruff check --fix .

lint: setup ## Check style, formatting, types and who imports whom
	@ruff check .
	@ruff format --check .
	@mypy
	@lint-imports --no-logo --no-cache

use: setup ## Make PROFILE=name the params.yaml (the old one stays as params.yaml.old)
	@python -m scripts.profiles use "$(PROFILE)"

profiles: setup ## Show the profiles side by side
	@python -m scripts.profiles table

metrics: setup ## Show the scores, and how they differ from the last commit
	@dvc metrics show
	@dvc metrics diff

plots: setup ## Draw the plots into dvc_plots/index.html
	@dvc plots show

readme: setup ## Write the tables of README.md and docs/architecture.md
	@python -m scripts.readme_tables --write

clean: ## Remove data/ and models/; .work and DVC's cache stay, so `make reproduce` trains nothing again
	git clean -qfdX data models
	rm -rf dvc_plots

distclean: clean ## Also remove .work, DVC's cache and .venv*: `make reproduce` then starts from nothing
	rm -rf .dvc/cache .dvc/tmp .work .venv .venv-vllm .venv-megatron .mypy_cache .pytest_cache .ruff_cache .hypothesis
