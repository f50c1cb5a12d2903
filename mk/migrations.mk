# The migrations are compiled into build/bin/signalbox.
EMBEDDED_SQL := $(OUT)/gen/embedded_sql.inc

$(EMBEDDED_SQL): ops/cli/embed_sql.py $(wildcard migrations/*.sql)
	@mkdir -p $(@D)
	$(PYTHON) ops/cli/embed_sql.py migrations $@

$(call object,ops/cli/embedded_sql.c): $(EMBEDDED_SQL)
$(call object,ops/cli/embedded_sql.c): CPPFLAGS += -I$(OUT)/gen

# The format of api keys is the one thing of the runtime that the command line needs.
$(OUT)/bin/signalbox: $(call object,actors/runtime/api_key.c actors/runtime/store_invariants.c)

.PHONY: schema check-schema
schema: $(OUT)/bin/signalbox ## draw migrations/schema.sql anew from the migrations
	$(PYTHON) tests/checks/schema_picture.py $(abspath $<)

check-schema: $(OUT)/bin/signalbox ## fail when migrations/schema.sql is not what the migrations make
	$(PYTHON) tests/checks/schema_picture.py $(abspath $<) --check

# The settings file for packages, every setting commented out at its default.
.PHONY: config
config: $(OUT)/bin/signalbox ## write ops/config/signalbox.conf anew from the table of settings
	$< settings --example > ops/config/signalbox.conf
