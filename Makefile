# qualitrace: `make help` lists the targets. Each does all of its own set-up.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Many tests wait for processes, so that three workers keep two cores busy (WORKERS=n for others). A file's tests share
# servers and stay together; the order of files is that of tests/conftest.py.
PYTEST := $(BIN)/pytest -n $(or $(WORKERS),3) --dist loadfile --no-loadscope-reorder
# The tests start hundreds of processes, each of which would compile the project and not keep it.
unexport PYTHONDONTWRITEBYTECODE
.DEFAULT_GOAL := help
.PHONY: help setup services demo check test lint types format fuzz crash outage restarts backups soak bombs
.PHONY: libraries javascript bench overhead docs stack image-check clean failover bench-large

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(STAMP) ## make .venv with the SDK, the server and the development tools

# Python compiles a module when it is first imported; most of them never are.
$(STAMP): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "qualitrace needs Python 3.11 or newer; set PYTHON=")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --no-compile --editable '.[server,dev]'
	touch $@

services: # install Debian's Prometheus, Alertmanager, PostgreSQL and Chromium where they are missing
	tests/install-services

demo: setup ## run the main job by itself: good answers, broken retrieval, alert, recovery (KEEP=1 keeps it running)
	$(BIN)/qualitrace demo $(if $(KEEP),--keep)

stack: setup services ## run deploy/compose.yaml as plain processes until Ctrl-C (STORY=1 drives an incident through it)
	PYTHONPATH=tests $(BIN)/python -m support.stack $(if $(STORY),--story)

image-check: setup ## build both Dockerfiles on a Debian root by buildah, and run the images (as root, on Debian)
	PYTHONPATH=tests $(BIN)/python -m support.image

check: lint types ## style, types and the quick tests: for each change (all of it: make lint types test)
	$(PYTEST) -m "not slow"

test: setup services ## run all tests (installs Debian's Prometheus, Alertmanager, PostgreSQL and Chromium where apt-get can)
	$(PYTEST)

lint: setup ## style by ruff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup ## types by pyright, strict
	$(BIN)/pyright

format: setup ## rewrite the style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

fuzz: setup ## feed a million odd requests to the decoders (RUNS=n for another number)
	$(BIN)/pip install --quiet --editable '.[fuzz]'
	PYTHONPATH=tests $(BIN)/python tests/fuzz/fuzz_decode.py -runs=$(or $(RUNS),1000000) -max_len=1024 \
		-rss_limit_mb=512 -print_final_stats=1

crash: setup ## kill the service 50 times at random moments under load, and count (KILLS=n, SEED=s)
	PYTHONPATH=tests $(BIN)/python -m support.crash $(if $(KILLS),--kills $(KILLS)) $(if $(SEED),--seed $(SEED))

outage: setup ## lock MLflow's database for 60 s under full load, and count (SECONDS=n)
	PYTHONPATH=tests $(BIN)/python -m support.outage $(if $(SECONDS),--seconds $(SECONDS))

restarts: setup ## restart a server under OpenTelemetry exporters 5 times, and count (RESTARTS=n, TIMEOUT=s)
	PYTHONPATH=tests $(BIN)/python -m support.restarts $(if $(RESTARTS),--restarts $(RESTARTS)) $(if $(TIMEOUT),--timeout $(TIMEOUT))

backups: setup ## back up a server under load 20 times with kills in between, restore each, and count (ROUNDS=n, SEED=s)
	PYTHONPATH=tests $(BIN)/python -m support.backups $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(SEED),--seed $(SEED))

failover: setup ## take PostgreSQL away under load in every way that it may go, and count (SECONDS=n, ONLY="a word")
	tests/install-services
	PYTHONPATH=tests $(BIN)/python -m support.failover $(if $(SECONDS),--seconds $(SECONDS)) $(if $(ONLY),--only "$(ONLY)")

soak: setup ## run 20 minutes under load with bombs and kills, and count (MINUTES=n, SEED=s)
	PYTHONPATH=tests $(BIN)/python -m support.soak $(if $(MINUTES),--minutes $(MINUTES)) $(if $(SEED),--seed $(SEED))

bombs: setup ## send requests that are small on the way and huge in memory, and measure (ONLY="a word", DOOR=http)
	PYTHONPATH=tests $(BIN)/python -m support.bombing $(if $(ONLY),--only "$(ONLY)") $(if $(DOOR),--door $(DOOR))

libraries: setup ## run small apps of each library against fake providers and record them (NAMES="cohere groq")
	$(BIN)/pip install --quiet uv
	PYTHONPATH=tests $(BIN)/python -m libraries.run $(NAMES)

javascript: setup ## run small apps of JavaScript libraries against fake providers and record them (NAMES="openai mastra")
	PYTHONPATH=tests $(BIN)/python -m javascript.run $(NAMES)

docs: setup ## build the documentation as a site in build/docs
	$(BIN)/pip install --quiet --editable '.[docs]'
	NO_MKDOCS_2_WARNING=1 PYTHONPATH=docs/site $(BIN)/mkdocs build --strict

bench: setup ## time the main path beside its peers
	$(BIN)/python benchmarks/run.py

bench-large: setup ## measure a PostgreSQL with ten million spans: ingest, searches, retention (SPANS=n, FOLDER=keeps it)
	tests/install-services
	PYTHONPATH=benchmarks:tests $(BIN)/python -m postgres.run $(if $(SPANS),--spans $(SPANS)) $(if $(FOLDER),--folder $(FOLDER))

overhead: setup ## time what the SDK adds to an application, beside other tracers (ONLY=langfuse, QUICK=1, INSTRUCTIONS=1)
	$(BIN)/pip install --quiet uv
	PYTHONPATH=benchmarks $(BIN)/python -m tracer.run $(if $(ONLY),--only $(ONLY)) $(if $(QUICK),--quick) $(if $(INSTRUCTIONS),--instructions --rounds 5)

clean: ## remove what setup and the demo made
	rm -rf $(VENV) $(VENV)-libraries build qualitrace-data qualitrace-demo
