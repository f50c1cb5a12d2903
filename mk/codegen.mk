# Generated files are committed; these targets make them and prove them fresh. Needs python3 and clang-format-14.
GENERATORS := proto/generate.py contracts/generate.py ops/generate_settings.py

.PHONY: codegen
codegen: ## make every generated file from its source
	@for generator in $(GENERATORS); do echo "$$generator"; $(PYTHON) $$generator || exit 1; done

.PHONY: check-generated
check-generated: ## fail when a generated file is not what its generator makes
	$(PYTHON) tests/checks/check_generated.py
