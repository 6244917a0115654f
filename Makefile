# Two commands do everything, set-up included: `make sweep` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SPEC ?= tuner/spec/example.toml
# What only tests need: their tools, trackers and databases that are tried out, and the peers of benchmarks.
TEST_EXTRAS := test benchmarks dashboard database mlflow tensorboard wandb
UV := $(shell command -v uv || echo $(VENV)/uv/bin/uv)
COMPILE = $(UV) pip compile --quiet --universal --python-version 3.11 --no-emit-index-url --no-emit-find-links --no-annotate --no-header

.PHONY: sweep test check install install-test keys lock clean

sweep: install  ## a whole sweep on the embedded data set: search, leaderboard, retrained model, test score, report
	$(BIN)/tuner run $(SPEC)

test: check  ## every test, without network, GPU or shared data; what was skipped stands at the end, with why
	$(BIN)/python -m pytest -n 2 --dist loadfile

check: install-test
	$(BIN)/ruff check .
	$(BIN)/mypy

install: $(VENV)/installed  ## .venv with what a user needs, in the versions of requirements.lock

install-test: $(VENV)/installed-test  ## and with what tests need, in the versions of requirements-test.lock

$(VENV)/installed: requirements.lock pyproject.toml
	$(call install_from,requirements.lock)
	@touch $@

$(VENV)/installed-test: requirements-test.lock pyproject.toml
	$(call install_from,requirements-test.lock)
	@touch $@ $(VENV)/installed  # the one lock holds the other

define install_from
	@$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info < (3, 14) else "Tuner needs Python 3.11, 3.12 or 3.13 (TensorFlow has no wheels for others); this is " + sys.version.split()[0] + ". Name another one: make PYTHON=python3.13 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --requirement $(1)
	$(BIN)/python -m pip install --quiet --no-deps --editable .
endef

keys:  ## tuner/spec/KEYS.md anew, from the schema
	$(BIN)/tuner schema --markdown > tuner/spec/KEYS.md

lock: $(UV)  ## pins anew what pyproject.toml asks for; versions that still do are kept (UPGRADE=--upgrade: the newest of everything)
	$(COMPILE) $(UPGRADE) --output-file requirements.lock pyproject.toml
	$(COMPILE) $(UPGRADE) $(TEST_EXTRAS:%=--extra %) --constraints requirements.lock --output-file requirements-test.lock pyproject.toml

$(VENV)/uv/bin/uv:
	$(PYTHON) -m venv $(VENV)/uv
	$(VENV)/uv/bin/python -m pip install --quiet uv

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
