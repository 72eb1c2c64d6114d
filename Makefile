# Everything a person types. What happens is in scripts/.
.DEFAULT_GOAL := help
.PHONY: help demo test lint app

help: ## this list
	@sed -n 's/^\([a-z]*\): ## /  make \1\t/p' Makefile

demo: ## the whole road once, on a real model (ONCE=1: end by itself)
	@scripts/demo.sh

test: ## everything that must pass: lint, unit, end to end, desktop
	@scripts/test.sh

lint: ## formatting and lints only
	@scripts/lint.sh

app: ## build the tray app
	@scripts/app.sh
