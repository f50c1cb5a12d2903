# The WebSocket codec on its own, for conformance tests and foreign clients.
$(OUT)/test/ws_echo: $(call object,tests/harness/ws_echo.c) $(OUT)/lib/libruntime.a $(OUT)/lib/libproto.a $(OUT)/lib/libbase.a
	@mkdir -p $(@D)
	@echo "  LD  $@"
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LIBS_ACTOR)
