# Running a server from the tree.
.PHONY: run dev migrate
run: ## install what is missing, build, start in the foreground: make run [DIR=var] [LISTEN=127.0.0.1:8080]
	@ops/deps.sh --run
	@$(MAKE) --no-print-directory all
	@exec $(OUT)/bin/signalbox up --dir '$(DIR)' --listen '$(LISTEN)'

dev: export SIGNALBOX_LOG_FORMAT := text
dev: export SIGNALBOX_LOG_LEVEL := debug
dev: run ## like run, with readable logs of everything

migrate: $(OUT)/bin/signalbox ## bring the database of the server in DIR (or DATABASE_URL) up to date
	$(OUT)/bin/signalbox migrate up --dir '$(DIR)'
