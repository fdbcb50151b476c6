# make book   builds the book          make test     runs its tests          make pdf      prints the built book
# make browser reads the built book in Chromium; make slow runs the chapters as Colab would, those that changed
# make nightly as slow, every chapter, and holds each to its time; make clean forgets what has passed
# make seeds   the margins of every check under 40 seeds, and whether its replicates are independent; goes on where it
#              was stopped, and runs again only what changed
# make gpu     on a machine with CUDA and PyTorch: tests, chapters, rows against the limits of the card
# make bench   times the helpers beside other libraries; ROWS="line knn" takes the rows whose keys begin so

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
BENCH := .venv-bench
COLAB := .venv-colab
SEEDS ?= $(shell seq 0 39)

# Chapters and tests run side by side: one thread each is faster than all threads in each.
export OMP_NUM_THREADS ?= 1
PYTEST := $(BIN)/python -m pytest

.PHONY: gpu book pdf test browser slow nightly seeds bench lint clean

book: $(VENV)/installed
	$(BIN)/python -m press book

pdf: book
	$(BIN)/python -m press pdf

test: $(VENV)/installed
	$(PYTEST) -n auto --dist worksteal -m "not slow and not browser" --nbmake chapters tests

browser: $(VENV)/installed node_modules/axe-core/axe.min.js
	$(PYTEST) -n auto -m browser tests

slow: $(VENV)/installed $(COLAB)/installed
	$(PYTEST) -n auto --dist worksteal -m slow tests

nightly: $(VENV)/installed
	rm -rf _build/colab
	$(MAKE) slow
	$(BIN)/python -m press times

seeds: $(VENV)/installed
	$(BIN)/python -m press seeds --seeds $(SEEDS) $(if $(CHAPTERS),--chapters $(CHAPTERS))

bench: $(BENCH)/installed
	env -u OMP_NUM_THREADS TQDM_DISABLE=1 $(BENCH)/bin/python -m benchmarks $(ROWS)

gpu:
	TQDM_DISABLE=1 $(PYTHON) -m benchmarks.gpu

lint: $(VENV)/installed
	$(BIN)/ruff check . && $(BIN)/ruff format --check .

$(VENV)/installed: requirements.txt pyproject.toml
$(BENCH)/installed: benchmarks/requirements.txt pyproject.toml
$(COLAB)/installed: tests/colab.txt
$(VENV)/installed $(BENCH)/installed $(COLAB)/installed:
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --upgrade pip
	$(@D)/bin/python -m pip install --quiet -r $<
	touch $@

node_modules/axe-core/axe.min.js: package.json
	npm install --silent --no-audit --no-fund --no-package-lock
	touch $@

clean:
	rm -rf _build
