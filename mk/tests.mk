# Black-box tests: whole servers, driven from outside. TESTS="-k pattern" narrows them down, SEED repeats a chaos run.
PYTEST := $(PYTHON) -m pytest -p no:cacheprovider
WORKERS ?= 2
SEED ?=

.PHONY: check-system
check-system: all ## every black-box test against the release build (build/fault for fault points)
	@$(MAKE) --no-print-directory VARIANT=fault all
	$(PYTEST) -q -n $(WORKERS) tests/e2e $(TESTS)
