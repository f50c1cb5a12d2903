# Measurements: `make bench` starts a fresh installation of its own and prints every figure beside its baseline.
# ONLY="append stream" runs some sections; ROUNDS and SECONDS (per cell) change the length; results in build/bench.
ONLY ?=
ROUNDS ?= 3
SECONDS ?= 5
BENCH_TOOLS := $(addprefix $(OUT)/bench/,load readers copy_load command_load)
BENCH_SHARED := $(call object,tests/bench/tool.c tests/bench/histogram.c) $(OUT)/lib/libproto.a $(OUT)/lib/libbase.a

$(OUT)/bench/%: $(OUT)/obj/tests/bench/%.o $(BENCH_SHARED)
	@mkdir -p $(@D)
	@echo "  LD  $@"
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(shell pkg-config --libs libpq libzmq)

.PHONY: bench-tools
bench-tools: $(BENCH_TOOLS)

.PHONY: bench
bench: all bench-tools ## measure against the baselines on the same PostgreSQL (ONLY=append, ROUNDS=3, SECONDS=5)
	$(PYTHON) tests/bench/bench.py --build $(OUT) --rounds $(ROUNDS) --seconds $(SECONDS) $(ONLY)
