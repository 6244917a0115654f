# Two commands do everything, set-up included: `make sweep` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SPEC ?= tuner/spec/example.toml

.PHONY: sweep test install check lock clean

sweep: install  ## a whole sweep on the embedded data set: search, leaderboard, retrained model, test score, report
	$(BIN)/tuner run $(SPEC)

test: install check  ## every test, without network, GPU or shared data
	$(BIN)/python -m pytest -n 2 --dist loadfile

check: install
	$(BIN)/ruff check .
	$(BIN)/mypy

install: $(VENV)/installed  ## .venv with the versions of requirements.lock

$(VENV)/installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Tuner needs Python >= 3.11; this is " + sys.version.split()[0] + ". Name another one: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	@touch $@

lock:  ## pins anew what pyproject.toml asks for (needs uv)
	uv pip compile --quiet --universal --python-version 3.11 --extra test --extra benchmarks --extra dashboard --extra database --extra mlflow --extra tensorboard --extra wandb \
		--no-emit-index-url --no-emit-find-links --no-annotate --no-header \
		--output-file requirements.lock pyproject.toml

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
