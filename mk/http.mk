# The HTTP layer on its own, for framing tests and measurements.
HTTP_ECHO_OBJECTS = $(call object,tests/harness/http_echo.c $(filter-out actors/runtime/http_client.c,$(wildcard actors/runtime/http_*.c)))

$(OUT)/test/http_echo: $(HTTP_ECHO_OBJECTS) $(OUT)/lib/libbase.a
	@mkdir -p $(@D)
	@echo "  LD  $@"
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(shell pkg-config --libs libevent_core)
