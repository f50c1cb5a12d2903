# A program that judges JSON by compiled schemas: those of the JSON Schema Test Suite, and our own.
JUDGE_OBJECTS = $(call object,tests/contract/schema_judge.c) $(OUT)/gen/schema_suite.o

$(OUT)/gen/schema_suite.c: tests/contract/suite.py $(wildcard contracts/generator/*.py)
	@mkdir -p $(@D)
	$(Q)$(PYTHON) tests/contract/suite.py $@

$(OUT)/gen/schema_suite.o: $(OUT)/gen/schema_suite.c contracts/schema_table.h tests/contract/schema_judge.h
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<

$(OUT)/test/schema_judge: $(JUDGE_OBJECTS) $(OUT)/lib/libruntime.a $(OUT)/lib/libproto.a $(OUT)/lib/libbase.a
	@mkdir -p $(@D)
	@echo "  LD  $@"
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(shell pkg-config --libs jansson)

# What checking payloads costs, alone: no server.
$(OUT)/bench/schema_cost: $(call object,tests/bench/schema_cost.c) $(OUT)/lib/libruntime.a $(OUT)/lib/libproto.a $(OUT)/lib/libbase.a
	@mkdir -p $(@D)
	@echo "  LD  $@"
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(shell pkg-config --libs jansson)

.PHONY: bench-schema
bench-schema: $(OUT)/bench/schema_cost ## nanoseconds that checking a payload takes
	@$<

# Projections of a run, without a streamer around them.
$(OUT)/test/project: $(call object,tests/contract/project.c) $(OUT)/lib/module-streamer.a $(OUT)/lib/libruntime.a \
		$(OUT)/lib/libproto.a $(OUT)/lib/libbase.a
	@mkdir -p $(@D)
	@echo "  LD  $@"
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LIBS_ACTOR)
