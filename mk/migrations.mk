# The migrations are compiled into build/bin/signalbox.
EMBEDDED_SQL := $(OUT)/gen/embedded_sql.inc

$(EMBEDDED_SQL): ops/cli/embed_sql.py $(wildcard migrations/*.sql)
	@mkdir -p $(@D)
	$(PYTHON) ops/cli/embed_sql.py migrations $@

$(call object,ops/cli/embedded_sql.c): $(EMBEDDED_SQL)
$(call object,ops/cli/embedded_sql.c): CPPFLAGS += -I$(OUT)/gen

# The format of api keys is the one thing of the runtime that the command line needs.
$(OUT)/bin/signalbox: $(call object,actors/runtime/api_key.c)
