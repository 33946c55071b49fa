# make demo   set everything up and ask the embedded model about a picture
# make test   set everything up and run the tests
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# The tests go in two processes. In one, on a CPU with AMX, the kernel ended it with a SIGSEGV of its own
# (SI_KERNEL, in wait4, as a process pool of tests/recipes closed after the engines' tests).
RUNNING := $(addprefix tests/,cli engines evaluation export generation media model)

CPP := $(wildcard smolvlm/native/csrc/*.h smolvlm/native/csrc/*.cpp)

.PHONY: demo test lint types format clean

$(STAMP): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	# torch first and exactly: another build would bring gigabytes of CUDA libraries.
	$(BIN)/pip install --quiet torch==2.13.0
	$(BIN)/pip install --quiet -e '.[dev]'
	touch $(STAMP)

demo: $(STAMP)
	$(BIN)/smolvlm ask examples/cat.png "What is this?"

test: $(STAMP)
	$(BIN)/smolvlm pull embedded
	$(BIN)/pytest $(RUNNING)
	$(BIN)/pytest tests $(RUNNING:%=--ignore=%)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/clang-format --dry-run --Werror $(CPP)

types: $(STAMP)
	$(BIN)/mypy

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $(CPP)

clean:
	rm -rf $(VENV) build dist *.egg-info
