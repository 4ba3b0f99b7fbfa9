# Two commands do everything for a newcomer: `make demo` and `make test`.
PYTHON ?= python3
VENV   := .venv
PY     := $(VENV)/bin/python
TREE   := build/tree# the package as it is installed, in links: what reads no __path__ looks there
STAMP  := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help install demo test test-slow test-all lint format docs bench results clean

help:            ## say what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

install: $(STAMP)  ## make .venv and install everything that the tests need
# setuptools warns of folders that are called as the package is: here that folder is the package
$(STAMP): pyproject.toml setup.py constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install -q --disable-pip-version-check -U pip
	PYTHONWARNINGS='ignore:Editable installation.' \
	  $(VENV)/bin/pip install -q --disable-pip-version-check -c constraints.txt \
	  -e '.[extract,faces,hf,parquet,tensorboard,onnx,ray,remote,annotations,dev]'
	@touch $(STAMP)

demo: $(STAMP)   ## run the main job end to end on a small corpus made on the spot
	$(PY) cli.py demo --out demo

test: $(STAMP)   ## the tests, under 10 minutes on 2 cores
	$(PY) -m pytest -n 2 --dist loadfile $(OPTIONS)

test-slow: $(STAMP) ## the slow tests alone
	$(PY) -m pytest -n 2 --dist worksteal -m slow --timeout=1200 $(OPTIONS)

test-all: $(STAMP) ## the slow tests too: fault injection at scale, every variant
	$(PY) -m pytest -n 2 --dist loadfile -m 'slow or not slow' --timeout=1800 $(OPTIONS)

lint: $(STAMP)   ## ruff, mypy, import-linter
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	mkdir -p $(TREE)/dualstream
	ln -sfn $(addprefix $(CURDIR)/,dualstream/* features heads pipeline) $(TREE)/dualstream/
	cd $(TREE) && $(CURDIR)/$(VENV)/bin/mypy --config-file $(CURDIR)/pyproject.toml
	cd $(TREE) && $(CURDIR)/$(VENV)/bin/lint-imports --config $(CURDIR)/pyproject.toml

format: $(STAMP) ## let ruff mend what it can
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

docs: $(STAMP)   ## docs/reference/ again, from the docstrings, and the site in build/site
	$(PY) docs/make_reference.py
	$(PY) -m mkdocs build --strict -q

bench: $(STAMP)  ## the benchmarks, one after the other
	$(VENV)/bin/pip install -q --disable-pip-version-check -c constraints.txt -e '.[bench]'
	for b in benchmarks/bench_*.py; do $(PY) $$b || exit 1; done

results: $(STAMP) ## docs/results.md from the corpora in DUALSTREAM_DATA; OPTIONS=--quick for a first look
	$(VENV)/bin/pip install -q --disable-pip-version-check -c constraints.txt -e '.[bench]'
	$(PY) benchmarks/results.py $(OPTIONS)

clean:           ## remove what was made here, the virtual environment included
	rm -rf $(VENV) demo runs results build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
