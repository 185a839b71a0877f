# make demo: serve the page.  make test: run the tests.
# make bench: the speed of explanations, of the HTTP API, of Live and of What if (these two need
# Chromium); with DATA=DIR of training, too.
# Each makes the environment in .venv first, where it is missing or requirements.txt has changed.

PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
READY = $(VENV)/.ready

.PHONY: demo test bench lint

demo: $(READY)
	$(BIN)/python app.py $(ARGS)

test: $(READY)
	$(BIN)/python -m pytest $(ARGS)

bench: $(READY)
	$(BIN)/python -m pip install --quiet -r requirements-bench.txt
	$(BIN)/python -m benchmarks.explanations $(ARGS)
	$(BIN)/python -m benchmarks.http
	$(BIN)/python -m benchmarks.live
	$(BIN)/python -m benchmarks.what_if
	$(if $(DATA),$(BIN)/python -m benchmarks.training --data $(DATA))

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

$(READY): requirements.txt
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'Python 3.11 or newer is needed: make PYTHON=python3.12 ...')"
	$(PYTHON) -m venv $(VENV)
	@echo "Installing PyTorch and the other packages: this takes some minutes."
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -r requirements.txt
	touch $(READY)
