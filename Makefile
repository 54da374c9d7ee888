# Every line is a command that a person could type; variables: PORT, SERVE=0, WORKERS, PYTHON.

PYTHON ?= python3.11
PORT ?= 8501
SERVE ?= 1
WORKERS ?= 2
PY = .venv/bin/python

FAMILIES = $(filter-out __init__,$(basename $(notdir $(wildcard engine/families/*.py))))

.PHONY: demo setup test envs-tested lint format docs families clean $(FAMILIES:%=family-%)

demo: setup ## set up, predict the embedded dataset with CHGNet for real, build the store, serve the app
	$(PY) -m precompute envs chgnet emt
	$(PY) -m precompute fetch --dataset open-defects
	$(PY) -m precompute run --dataset open-defects --model chgnet-0.3.0
	$(PY) -m precompute bench --model chgnet-0.3.0
	$(PY) -m precompute build
ifneq ($(SERVE),0)
	$(PY) -m streamlit run app/server.py --server.port $(PORT)
endif

setup: .venv/.complete app/static/3Dmol.es6-min.js

.venv/.complete: requirements.txt requirements-dev.txt
	test -x $(PY) || $(PYTHON) -m venv .venv || python3 -m venv .venv
	$(PY) -m pip install --quiet --requirement requirements-dev.txt
	touch $@

# Without npm the viewer takes 3Dmol from its public address, and says so.
app/static/3Dmol.es6-min.js: package.json package-lock.json
	if command -v npm >/dev/null; then npm ci --silent --no-fund --no-audit && npm run --silent static && touch $@; \
	else echo "npm is missing: the 3D viewer will load 3Dmol from the internet"; fi

# Families whose packages carry weights, and four of those with small random checkpoints; `make families` has the rest.
TESTED = emt chgnet sevennet nequix mace mattersim orb deepmd

# Environments are mostly downloads and unpacking, so lint runs beside them. Files of tests go to WORKERS processes
# whole, so that what a file's tests share is made once, and in the order of `testpaths`: long ones first. All processes
# must find the same tests in the same order, so sets have one order.
test: setup
	$(MAKE) --jobs=2 lint envs-tested
	PYTHONHASHSEED=0 $(PY) -m pytest --numprocesses=$(WORKERS) --dist=loadfile --no-loadscope-reorder

envs-tested: setup
	$(PY) -m precompute envs $(TESTED)

lint: setup
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

format: setup
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

docs: setup ## write the documentation to site/, and check its links and the citation
	$(PY) -m pip install --quiet --requirement docs/requirements.txt
	$(PY) -m mkdocs build --strict
	.venv/bin/uv tool run --quiet cffconvert==2.0.0 --validate --infile CITATION.cff

families: $(FAMILIES:%=family-%) ## build every family's environment and check it

$(FAMILIES:%=family-%): family-%: setup ## build one family's environment and check it: make family-mace
	$(PY) -m precompute envs $*
	$(PY) -m pytest tests/whole/test_conformance.py -k "[$*] or [$*-"

clean:
	rm -rf .venv node_modules site data/worker_envs data/results*.duckdb
