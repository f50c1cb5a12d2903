# Planted bugs, one at a time: each must make a test fail. ONLY="name ..." chooses some (tests/mutants/*.toml).
.PHONY: mutants check-mutants
mutants: fault-build ## plant known bugs one by one; the suite must catch each; last line: caught, survived
	$(PYTHON) tests/mutants/run.py $(ONLY)

check-mutants: ## look whether every planted bug still fits the sources
	$(PYTHON) tests/mutants/run.py --check $(ONLY)
