# Which lines the tests reach. `make coverage` builds build/coverage, runs the unit tests and all black-box tests there, prints a
# table and fails below the floor in tests/coverage-floor ("full N" and "quick N", per cent of lines). COVERAGE=quick runs the
# black-box tests listed here only: what CI holds within its time. Processes that are killed lose their counts.
COVERAGE ?= full
COVERAGE_QUICK := $(addprefix tests/e2e/test_,agui.py append.py commands.py events_formats.py job_kinds.py jobs_api.py jobs_lists.py \
  jobs_sequencer.py jobs_workers.py operations.py runs.py schedules.py settings.py streams.py websocket.py)
COVERAGE_TESTS := $(if $(filter quick,$(COVERAGE)),$(COVERAGE_QUICK),tests/e2e)
COVERAGE_OUT := build/coverage

.PHONY: coverage coverage-clear coverage-report
# Counters are written by actors that run as another user: the files are there before and open to all.
coverage-clear:
	@find $(COVERAGE_OUT)/obj -name '*.gcda' -delete
	@find $(COVERAGE_OUT)/obj -name '*.gcno' | sed 's/gcno$$/gcda/' | xargs sh -c 'touch "$$@" && chmod a+rw "$$@"' sh
	@find $(COVERAGE_OUT)/obj -type d -exec chmod a+rwx {} +

coverage: ## line coverage by unit and black-box tests, with a table; fails below tests/coverage-floor (COVERAGE=quick: fewer)
	@$(MAKE) --no-print-directory -s VARIANT=coverage all unit-tests
	@$(MAKE) --no-print-directory -s coverage-clear
	$(PYTHON) tests/run.py --variant coverage unit
	SIGNALBOX_TEST_BIN=$(COVERAGE_OUT)/bin $(PYTEST) -q -n $(WORKERS) --dist loadfile $(COVERAGE_TESTS) $(TESTS)
	@$(MAKE) --no-print-directory -s coverage-report

coverage-report:
	@mkdir -p $(COVERAGE_OUT)/html
	@gcovr --root . --object-directory $(COVERAGE_OUT)/obj --filter actors/ --filter supervisor/ --filter ops/cli/ --filter proto/ \
	  --exclude-unreachable-branches --sort-percentage --html-details $(COVERAGE_OUT)/html/index.html --txt $(COVERAGE_OUT)/report.txt \
	  --fail-under-line "$$(sed -n 's/^$(COVERAGE) //p' tests/coverage-floor)" $(COVERAGE_OUT)/obj; code=$$?; \
	  cat $(COVERAGE_OUT)/report.txt; exit $$code
