# Running a server from the tree.
.PHONY: run dev migrate
run: ## install what is missing, build, start in the foreground: make run [DIR=var] [LISTEN=127.0.0.1:8080]
	@ops/deps.sh --run
	@$(MAKE) --no-print-directory all
	@exec $(OUT)/bin/signalbox up --dir '$(DIR)' --listen '$(LISTEN)'

dev: export SIGNALBOX_LOG_FORMAT := text
dev: export SIGNALBOX_LOG_LEVEL := debug
# The variable of OpenTelemetry's own tools; empty: no traces.
OTEL_EXPORTER_OTLP_ENDPOINT ?= http://127.0.0.1:4318
dev: export SIGNALBOX_TRACE_OTLP_URL ?= $(if $(OTEL_EXPORTER_OTLP_ENDPOINT),$(OTEL_EXPORTER_OTLP_ENDPOINT:/=)/v1/traces)
dev: export SIGNALBOX_TRACE_ALL ?= true
dev: run ## like run, with readable logs of everything, and traces to OTEL_EXPORTER_OTLP_ENDPOINT

migrate: $(OUT)/bin/signalbox ## bring the database of the server in DIR (or DATABASE_URL) up to date
	$(OUT)/bin/signalbox migrate up --dir '$(DIR)'
