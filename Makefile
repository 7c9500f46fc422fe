# Two commands: `make run` and `make test`. Both build the environment first.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
export OMP_NUM_THREADS ?= 1

.PHONY: run test env lint bench clean
.DEFAULT_GOAL := run

# Environment, then every system's headline results and the report about them, on the embedded default.
run: env
	$(BIN)/snakemake
	$(BIN)/snakemake --report results/report/report.html --quiet all
	@echo
	@$(BIN)/python -m vlmscope show results/mmneuron/llava/table2.csv results/mmneuron/llava/effects.csv
	@echo
	@echo "Look here:  $(CURDIR)/results/report/index.html"
	@echo "            what was found, how sure it is and where it comes from; open it in a browser"
	@echo "            results/report/report.html: every headline file as the engine packs them"

# Environment, then the tests, two files at a time. ARGS passes options on: make test ARGS="-k identify"
JOBS ?= 2
test: env
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile $(ARGS)

env: $(VENV)/ready

$(VENV)/ready: requirements.lock requirements-dev.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] < (3, 11) and "vlmscope needs Python 3.11 or newer; set PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock -r requirements-dev.lock
	@touch $@

lint: env
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/snakefmt --check Snakefile rules
	$(BIN)/snakemake --lint

bench: env
	$(BIN)/python tests/bench/capture.py
	$(BIN)/python tests/bench/families.py
	$(BIN)/python tests/bench/captioning.py

clean:
	rm -rf results/*/ logs benchmarks .snakemake
