# Measurements: `make bench` starts a fresh installation of its own and prints every figure beside its baseline.
# ONLY="append stream" runs some sections; ROUNDS and SECONDS (per cell) change the length; results in build/bench.
ONLY ?=
ROUNDS ?= 3
SECONDS ?= 5
BENCH_TOOLS := $(addprefix $(OUT)/bench/,load readers hub copy_load command_load job_limit job_load job_workers)
BENCH_SHARED := $(call object,$(addprefix tests/bench/,tool.c histogram.c sse.c notices.c http.c)) $(OUT)/lib/libproto.a $(OUT)/lib/libbase.a

$(OUT)/bench/%: $(OUT)/obj/tests/bench/%.o $(BENCH_SHARED)
	@mkdir -p $(@D)
	@echo "  LD  $@"
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(shell pkg-config --libs libpq libzmq)

.PHONY: bench-tools
bench-tools: $(BENCH_TOOLS)

.PHONY: bench
bench: all bench-tools ## measure against the baselines on the same PostgreSQL (ONLY=append, ROUNDS=3, SECONDS=5)
	$(PYTHON) tests/bench/bench.py --build $(OUT) --rounds $(ROUNDS) --seconds $(SECONDS) $(ONLY)

# Streams beside nchan and Pushpin (ops/deps.sh --bench installs them). A look: SECONDS=1 ROUNDS=1 READERS=100.
READERS ?= 1000
bench-stream: ROUNDS = 5
.PHONY: bench-stream
bench-stream: all bench-tools ## measure streams beside nchan and Pushpin (ONLY="closed idle", ROUNDS=5, SECONDS=5, READERS=1000)
	ops/deps.sh --bench
	$(PYTHON) tests/bench/stream.py --build $(OUT) --rounds $(ROUNDS) --seconds $(SECONDS) --readers $(READERS) $(ONLY)

# Jobs beside other queues, which come from npm (tests/bench/peers). A look: SECONDS=1 ROUNDS=1 JOBS=2000.
JOBS ?= 50000
.PHONY: bench-jobs
bench-jobs: all bench-tools ## measure jobs beside other queues and the limit of PostgreSQL (ONLY="drain fair", ROUNDS=3, SECONDS=5, JOBS=50000)
	$(PYTHON) tests/bench/jobs.py --build $(OUT) --rounds $(ROUNDS) --seconds $(SECONDS) --jobs $(JOBS) $(ONLY)
