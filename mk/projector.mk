# The formats of streams on their own, for tests of what clients make of them.
PROJECTOR_OBJECTS = $(call object,tests/harness/projector.c $(wildcard actors/streamer/formats/*.c) actors/streamer/sse.c)

$(OUT)/test/projector: $(PROJECTOR_OBJECTS) $(OUT)/lib/libruntime.a $(OUT)/lib/libproto.a $(OUT)/lib/libbase.a
	@mkdir -p $(@D)
	@echo "  LD  $@"
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LIBS_ACTOR)
