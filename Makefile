# Every command of the project. Each installs what it needs into .venv first; nothing else is touched.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin

SERVE_ARGS ?=
TEST_ARGS ?=
BENCH_ARGS ?=
SOAK_ARGS ?=
SCALE_ARGS ?=
CRASH_ARGS ?=

.PHONY: serve test check format bench bench-client compare examples full-disk requirements clean soak scale fuzz crash simulate

serve: $(VENV)/.server  ## Start the server on an embedded database; prints its URL and, the first time, a root key.
	@$(BIN)/keystead serve $(SERVE_ARGS)

test: $(VENV)/.dev  ## Run every test.
	$(BIN)/python -m pytest $(TEST_ARGS)

check: $(VENV)/.dev  ## Format, lint and types.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy server/src client/src

format: $(VENV)/.dev  ## Rewrite the source in the project's format.
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.bench  ## Measure verification beside nginx (needs the Debian packages nginx-light and wrk).
	$(BIN)/python -m benchmarks $(BENCH_ARGS)

bench-client: $(VENV)/.bench  ## Measure the client beside the published one (if the package index has it) and bare httpx.
	$(BIN)/python -m benchmarks.client $(BENCH_ARGS)

compare: $(VENV)/.dev  ## Run the tests of behaviour against the published client too.
	$(BIN)/python -m pytest client/tests/behaviour $(TEST_ARGS)
	published=$$($(BIN)/python -m benchmarks.client_published) && \
		env -u PYTHONPATH $$published -m pytest -c /dev/null --rootdir client/tests/behaviour \
		--confcutdir client/tests/behaviour -p no:cacheprovider --import-mode=importlib client/tests/behaviour $(TEST_ARGS)

examples: $(VENV)/.dev  ## Run the fourteen examples of the client's documentation against a running server.
	$(BIN)/python -m examples $(EXAMPLES_ARGS)

simulate: $(VENV)/.dev  ## Run the whole server in simulated worlds, seed after seed for SECONDS=60; SEED=n replays one exactly.
	$(BIN)/python -m proof.simulation --seconds $(or $(SECONDS),60) $(if $(SEED),--seed $(SEED)) $(SIMULATE_ARGS)

crash: $(VENV)/.dev  ## Kill a real server under load, RUNS=100 times, and compare what clients were told with what it knows.
	$(BIN)/python -m proof.crash --runs $(or $(RUNS),100) $(CRASH_ARGS)

fuzz: $(VENV)/.dev  ## CASES=100000 cases of hostile input: raw HTTP, cuts, lanes beside the router, every operation.
	$(BIN)/python -m proof.fuzz --cases $(or $(CASES),100000) $(FUZZ_ARGS)

soak: $(VENV)/.dev  ## Mixed traffic for SECONDS=60: throughput, latency and memory over time, every count compared at the end.
	$(BIN)/python -m proof.soak --seconds $(or $(SECONDS),60) $(SOAK_ARGS)

scale: $(VENV)/.dev  ## What ten million keys cost beside ten thousand; makes the databases first (12 GB, about 10 minutes).
	$(BIN)/python -m proof.scale $(SCALE_ARGS)

full-disk: $(VENV)/.dev  ## Run a server on a small disk that fills, empties, and on which it is stopped and killed.
	$(BIN)/python -m proof.full_disk --seconds $(or $(SECONDS),8)

requirements: $(VENV)/.dev  ## Pin the newest allowed versions, with hashes.
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --upgrade \
		server/pyproject.toml requirements/server.in -o requirements/server.txt
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --upgrade \
		-c requirements/server.txt server/pyproject.toml client/pyproject.toml requirements/dev.in -o requirements/dev.txt
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --upgrade \
		-c requirements/dev.txt requirements/bench.in -o requirements/bench.txt

clean:  ## Remove the virtual environment and caches (never a database).
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV)/.venv:
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.server: $(VENV)/.venv requirements/server.txt server/pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/server.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e server
	@touch $@

$(VENV)/.dev: $(VENV)/.server requirements/dev.txt client/pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e client
	@touch $@

$(VENV)/.bench: $(VENV)/.dev requirements/bench.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bench.txt
	@touch $@
