# Black-box tests: whole servers, driven from outside.
# TESTS="-k pattern" narrows them down. CHAOS_SEED repeats a chaos run, CHAOS_SCALE multiplies its counts.
PYTEST := $(PYTHON) -m pytest -p no:cacheprovider
WORKERS ?= 2

.PHONY: fault-build
fault-build:
	@$(MAKE) --no-print-directory VARIANT=fault all

.PHONY: check-system
check-system: all fault-build ## every black-box test against the release build (build/fault where fault points are needed)
	$(PYTEST) -q -n $(WORKERS) --dist loadfile --durations=20 tests/harness tests/contract tests/e2e tests/chaos/test_checker.py tests/chaos/test_job_checker.py $(TESTS)

.PHONY: chaos-quick chaos
chaos-quick: fault-build ## kill, stop and restart everything under load, ten minutes; last line: rounds, acks, violations
	CHAOS_PROFILE=quick $(PYTEST) -q tests/chaos $(TESTS)

chaos: fault-build ## the same with the counts of a night
	CHAOS_PROFILE=nightly $(PYTEST) -q tests/chaos $(TESTS)
