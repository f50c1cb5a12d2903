# Rules as checks, unit tests, fuzzing, and the targets that put all tests together (tests/run.py runs and counts them).

C_FILES = $(shell git -c safe.directory='*' ls-files --cached --others --exclude-standard '*.c' '*.h')

.PHONY: format
format: ## lay out every C file with the pinned formatter
	$(CLANG_FORMAT) -i $(C_FILES)

.PHONY: check-source
check-source: ## the rules of the house, checked on the sources; compiles nothing
	$(PYTHON) tests/run.py source

# A second compiler sees other things. What clang counts to -Wconversion and gcc does not stays out.
.PHONY: lint
lint: check-source ## check-source, and every C file through clang with warnings as errors
	@$(MAKE) --no-print-directory -s $(EMBEDDED_SQL)
	@for file in $(filter %.c,$(C_FILES)); do \
	  $(CLANG) $(CPPFLAGS) -I$(OUT)/gen -DSB_FAULTS -std=gnu11 $(WARNINGS) -Wno-sign-conversion -Wno-string-conversion -fsyntax-only $$file || exit 1; done

# ---- unit tests: tests/unit/**/NAME_test.c, one program each -------------------------------------------------------
# A test links runtime, proto and base, and besides them the module whose headers it includes: `#include "supervisor/…"`
# or `#include "ops/cli/…"` or `#include "<actor>/…"` makes the objects of that folder available.
UNIT_TESTS := $(patsubst tests/unit/%.c,$(OUT)/tests/%,$(wildcard tests/unit/*_test.c tests/unit/*/*_test.c))
LIBS_TEST := $(shell pkg-config --libs cmocka 2>/dev/null)

$(OUT)/lib/module-supervisor.a: $(call object,$(wildcard supervisor/*.c))
$(OUT)/lib/module-ops-cli.a: $(call object,$(wildcard ops/cli/*.c))
$(foreach actor,$(ACTORS),$(eval $(OUT)/lib/module-$(actor).a: $$(call object,$$(wildcard actors/$(actor)/*.c actors/$(actor)/*/*.c))))

modules_of = $(shell sed -nE 's,^.include "(supervisor|ops/cli|$(subst $() ,|,$(strip $(ACTORS))))/.*,\1,p' $(1) | sort -u | tr / -)
define UNIT_RULE
$(OUT)/tests/$(1): $(OUT)/obj/tests/unit/$(1).o $$(patsubst %,$(OUT)/lib/module-%.a,$$(call modules_of,tests/unit/$(1).c)) \
		$(OUT)/lib/libruntime.a $(OUT)/lib/libproto.a $(OUT)/lib/libbase.a
	@mkdir -p $$(@D)
	@echo "  LD  $$@"
	$(Q)$$(CC) $$(LDFLAGS) -o $$@ $$^ $$(LIBS_TEST) $$(LIBS_ACTOR) $$(LIBS_CLI)
endef
$(foreach test,$(patsubst tests/unit/%.c,%,$(wildcard tests/unit/*_test.c tests/unit/*/*_test.c)),$(eval $(call UNIT_RULE,$(test))))

.PHONY: unit-tests
unit-tests: $(UNIT_TESTS)

.PHONY: check-unit
check-unit: ## build and run the unit tests (VARIANT=asan: under the sanitizers)
	$(PYTHON) tests/run.py --variant $(VARIANT) unit

# ---- fuzzing: tests/fuzz/NAME_fuzz.c with tests/fuzz/corpus/NAME ----------------------------------------------------
FUZZ_RUNS ?= 100000
# At most this long a target; 0: as long as the runs take.
FUZZ_SECONDS ?= 0
FUZZ_OUT := build/fuzz
FUZZ_FLAGS := -std=gnu11 -g -O1 -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
FUZZERS := $(patsubst tests/fuzz/%_fuzz.c,%,$(wildcard tests/fuzz/*_fuzz.c))
fuzz_object = $(patsubst %.c,$(FUZZ_OUT)/obj/%.o,$(1))

$(FUZZ_OUT)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(Q)$(CLANG) $(CPPFLAGS) $(FUZZ_FLAGS) -fsanitize=fuzzer-no-link -MMD -MP -c -o $@ $<

$(FUZZ_OUT)/libcode.a: $(call fuzz_object,$(RUNTIME) $(PROTO) $(BASE))
	@rm -f $@
	ar rcs $@ $^

$(FUZZ_OUT)/bin/%: $(FUZZ_OUT)/obj/tests/fuzz/%_fuzz.o $(FUZZ_OUT)/libcode.a
	@mkdir -p $(@D)
	$(CLANG) $(FUZZ_FLAGS) -fsanitize=fuzzer -o $@ $^ $(LIBS_ACTOR)

.SECONDARY:

.PHONY: fuzzers
fuzzers: $(addprefix $(FUZZ_OUT)/bin/,$(FUZZERS))

# What a run finds stays in build/fuzz/found; the committed corpus is read only.
.PHONY: fuzz $(addprefix fuzz-,$(FUZZERS))
fuzz: $(addprefix fuzz-,$(FUZZERS)) ## search with libFuzzer from the committed corpus, FUZZ_RUNS inputs a target
$(addprefix fuzz-,$(FUZZERS)): fuzz-%: $(FUZZ_OUT)/bin/%
	@mkdir -p $(FUZZ_OUT)/found/$*
	$< -runs=$(FUZZ_RUNS) -max_total_time=$(FUZZ_SECONDS) -max_len=16384 -timeout=10 -rss_limit_mb=1024 -verbosity=0 -print_final_stats=1 \
	  -artifact_prefix=$(FUZZ_OUT)/$*- \
	  $(addprefix -dict=,$(wildcard tests/fuzz/$*.dict)) $(FUZZ_OUT)/found/$* $(wildcard tests/fuzz/corpus/$*)

-include $(shell find $(FUZZ_OUT)/obj -name '*.d' 2>/dev/null)

# ---- everything ------------------------------------------------------------------------------------------------------
.PHONY: deps
deps: ## install the packages that are missing (needs root)
	ops/deps.sh

.PHONY: check
check: ## build, then every test: sources, unit tests, programs, black-box tests
	$(PYTHON) tests/run.py source unit programs system

# EXTRA: further stages behind the usual ones (CI: fuzz chaos asan coverage). LIMIT_S: seconds for all of it.
EXTRA ?=
LIMIT_S ?=
.PHONY: test
test: ## install what is missing, build, run every test; last line 'N passed, N failed[, N skipped]'
	@ops/deps.sh
	@$(PYTHON) tests/run.py $(if $(LIMIT_S),--limit-s $(LIMIT_S)) source unit programs system $(EXTRA)

.PHONY: check-config
check-config: $(OUT)/bin/signalbox ## fail when ops/config/signalbox.conf is not what `make config` writes
	@$< settings --example | diff ops/config/signalbox.conf - || { echo 'run `make config`'; exit 1; }

# Leaks count as errors; a sanitizer's finding ends the process, so that the harness sees a death nobody asked for.
# Contracts that programs of ours are held to, beside whole servers.
ASAN_CONTRACTS := $(addprefix tests/contract/test_,ag_ui.py ai_sdk_format.py transcripts.py websocket_conformance.py)
# The hook runs make and git on the sources, never a program under test: the system stage has seen all of it.
ASAN_WITHOUT := --ignore=tests/e2e/test_hooks.py
.PHONY: asan-system
asan-system:
	@$(MAKE) --no-print-directory VARIANT=asan all
	SIGNALBOX_TEST_BIN=build/asan/bin UBSAN_OPTIONS=print_stacktrace=1 $(PYTEST) -q -n $(WORKERS) --dist loadfile tests/e2e $(ASAN_CONTRACTS) $(ASAN_WITHOUT) $(TESTS)

.PHONY: asan-check
asan-check: ## unit and black-box tests on the build with ASan and UBSan
	$(PYTHON) tests/run.py asan

.PHONY: requirements
requirements: ## which requirement numbers of LIST=FILE have a test, and which have none
	@$(PYTHON) tests/checks/requirements.py $(LIST)
