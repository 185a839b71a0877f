# make demo: serve the page.  make test: run the tests, two files at a time.  make lint: style, types.
# make bench: the speed of explanations, of the server's start, of the HTTP API, its memory, of Live, What if and the page
# (these three need Chromium); with DATA=DIR of training, too.
# Each first installs what it needs in .venv, where that is missing or has changed. With LOCKED=1
# these are the exact versions of locks/, which `make lock` writes anew (it needs uv).

PYTHON ?= python3
VENV ?= .venv
WORKERS ?= 2
BIN = $(VENV)/bin
SERVING = $(VENV)/.serving
ALL = $(VENV)/.all
NEEDS = requirements.txt pyproject.toml setup.py

.PHONY: demo test bench lint lock

demo: $(SERVING)
	$(BIN)/python app.py $(ARGS)

# Tiny networks gain nothing from a second thread, and wait for it on a busy machine.
test: $(ALL)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

bench: $(ALL)
	$(BIN)/python -m pip install --quiet -e ".[bench]"
	$(BIN)/python -m benchmarks.explanations $(ARGS)
	$(BIN)/python -m benchmarks.start
	$(BIN)/python -m benchmarks.http
	$(BIN)/python -m benchmarks.hostile
	$(BIN)/python -m benchmarks.memory
	$(BIN)/python -m benchmarks.live
	$(BIN)/python -m benchmarks.what_if
	$(BIN)/python -m benchmarks.page
	$(BIN)/python -m benchmarks.networks
	$(if $(DATA),$(BIN)/python -m benchmarks.training --data $(DATA))

lint: $(ALL)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	find maskexplain -name '*.pyi' -delete  # Gradio writes them, and they go out of date
	$(BIN)/mypy

$(SERVING): $(NEEDS)
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'Python 3.11 or newer is needed: make PYTHON=python3.12 ...')"
	$(PYTHON) -m venv $(VENV)
	@echo "Installing PyTorch and the other packages: this takes some minutes."
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(if $(LOCKED),$(BIN)/python -m pip install --quiet --no-deps --require-hashes -r locks/torch.txt -r locks/serve.txt)
	$(BIN)/python -m pip install --quiet -e .
	touch $@

$(ALL): $(SERVING)
	$(if $(LOCKED),$(BIN)/python -m pip install --quiet --no-deps --require-hashes -r locks/dev.txt)
	$(BIN)/python -m pip install --quiet -e ".[train,export,mcp,tensorboard,dev]"
	touch $@

lock:
	PYTHONPATH=. $(PYTHON) -m tools.lock
