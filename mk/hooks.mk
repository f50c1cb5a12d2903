# The repository's hooks, installed where git looks for them in this clone (also in a worktree).
.PHONY: hooks
hooks: ## install ops/hooks: before a commit, layout and the rules of the house are checked
	@install -D -m 755 ops/hooks/pre-commit "$$(git rev-parse --git-path hooks)/pre-commit"
	@echo "installed $$(git rev-parse --git-path hooks)/pre-commit"
