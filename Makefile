# One entry for people and CI. `make help` lists every target.
#
# VARIANT=release (build/), fault (build/fault/: fault points, for chaos tests), asan (build/asan/: fault points, ASan, UBSan),
# coverage (build/coverage/: fault points, counts which lines ran).
VARIANT ?= release
DIR ?= var
LISTEN ?= 127.0.0.1:8080
CC := gcc
# V=1 shows every command.
Q := $(if $(V),,@)
CLANG := clang-14
CLANG_FORMAT := clang-format-14
PYTHON := /usr/bin/python3

OUT_release := build
OUT_fault := build/fault
OUT_asan := build/asan
OUT_coverage := build/coverage
OUT := $(OUT_$(VARIANT))
$(if $(OUT),,$(error VARIANT must be release, fault, asan or coverage))

VERSION := 0.1.0

LIBRARIES := libevent_core libzmq libpq hiredis jansson libsodium libcrypto libconfuse libcurl msgpack libseccomp
WARNINGS := -Wall -Wextra -Wformat=2 -Wconversion -Wvla -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Werror
HARDENING := -D_FORTIFY_SOURCE=3 -fstack-protector-strong -fstack-clash-protection -fcf-protection=full \
	-ftrivial-auto-var-init=zero -fno-strict-overflow -fno-delete-null-pointer-checks
CPPFLAGS := -D_GNU_SOURCE -DSB_VERSION='"$(VERSION)"' -I. -Iactors
CFLAGS_release := -O2 $(HARDENING)
CFLAGS_fault := -O2 $(HARDENING) -DSB_FAULTS
CFLAGS_asan := -O1 -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer -DSB_FAULTS
CFLAGS_coverage := -O0 --coverage -DSB_FAULTS -DSB_COVERAGE='"$(abspath $(OUT_coverage))"'
CFLAGS := -std=gnu11 -g -fPIE $(WARNINGS) $(CFLAGS_$(VARIANT))
LDFLAGS_release := -pie -Wl,-z,relro,-z,now,-z,noexecstack,-z,separate-code -Wl,--as-needed
LDFLAGS_fault := $(LDFLAGS_release)
LDFLAGS_asan := -pie -fsanitize=address,undefined
LDFLAGS_coverage := -pie --coverage
LDFLAGS := $(LDFLAGS_$(VARIANT))

# Folders link only downwards: actor -> runtime -> proto, base; supervisor -> base.
BASE := $(wildcard actors/runtime/base/*.c)
PROTO := $(wildcard proto/*.c contracts/generated/*.c)
RUNTIME := $(wildcard actors/runtime/*.c)
ACTORS := api sequencer streamer job-runner exporter
# A child of the actors that ask the outside for something; the only one with libcurl.
PROGRAMS := $(addprefix $(OUT)/bin/,signalbox signalbox-supervisor signalbox-fetcher $(addprefix signalbox-,$(ACTORS)))
object = $(patsubst %.c,$(OUT)/obj/%.o,$(1))

.PHONY: all
all: $(PROGRAMS) ## build every program into build/bin

LIBS_ACTOR := $(shell pkg-config --libs libevent_core libzmq libpq hiredis jansson libsodium libcrypto libseccomp 2>/dev/null) -lwslay
LIBS_FETCHER := $(shell pkg-config --libs libevent_core libcurl msgpack libseccomp 2>/dev/null)
LIBS_CLI := $(shell pkg-config --libs libpq jansson libsodium libconfuse libcurl 2>/dev/null)
CPPFLAGS += $(shell pkg-config --cflags $(LIBRARIES) 2>/dev/null)

$(OUT)/lib/libbase.a: $(call object,$(BASE))
$(OUT)/lib/libproto.a: $(call object,$(PROTO))
$(OUT)/lib/libruntime.a: $(call object,$(RUNTIME))
$(OUT)/lib/%.a:
	@mkdir -p $(@D)
	@rm -f $@
	@echo "  AR  $@"
	$(Q)ar rcs $@ $^

define ACTOR_RULE
$(OUT)/bin/signalbox-$(1): $$(call object,$$(wildcard actors/$(1)/*.c actors/$(1)/*/*.c)) $(OUT)/lib/libruntime.a \
		$(OUT)/lib/libproto.a $(OUT)/lib/libbase.a
	@mkdir -p $$(@D)
	@echo "  LD  $$@"
	$$(Q)$$(CC) $$(LDFLAGS) -o $$@ $$^ $$(LIBS_ACTOR)
endef
$(foreach actor,$(ACTORS),$(eval $(call ACTOR_RULE,$(actor))))

$(OUT)/bin/signalbox-supervisor: $(call object,$(wildcard supervisor/*.c)) $(OUT)/lib/libbase.a
	@mkdir -p $(@D)
	@echo "  LD  $@"
	$(Q)$(CC) $(LDFLAGS) -o $@ $^

$(OUT)/bin/signalbox-fetcher: $(call object,$(wildcard actors/fetcher/*.c)) $(OUT)/lib/libruntime.a $(OUT)/lib/libproto.a \
		$(OUT)/lib/libbase.a
	@mkdir -p $(@D)
	@echo "  LD  $@"
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LIBS_FETCHER)

$(OUT)/bin/signalbox: $(call object,$(wildcard ops/cli/*.c)) $(OUT)/lib/libproto.a $(OUT)/lib/libbase.a
	@mkdir -p $(@D)
	@echo "  LD  $@"
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LIBS_CLI)

$(OUT)/obj/%.o: %.c
	@mkdir -p $(@D)
	@echo "  CC  $<"
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

-include $(shell find $(OUT)/obj -name '*.d' 2>/dev/null)

# Target groups live in mk/, one file a concern, so that they can grow apart.
include $(wildcard mk/*.mk)

.PHONY: help
help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 20

.PHONY: clean
clean: ## remove everything that was built
	rm -rf build
