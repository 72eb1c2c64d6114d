# Everything a person types. What happens is in scripts/.
.DEFAULT_GOAL := help
.PHONY: help demo setup test lint app bench bench-instructions figures package trust soak fuzz supply

help: ## this list
	@sed -n 's/^\([a-z-]*\): ## /  make \1\t/p' Makefile

demo: ## one request from end to end, on a real model (ONCE=1: end by itself)
	@scripts/demo.sh

setup: ## install what building and testing need
	@scripts/setup.sh

test: ## everything that must pass: lint, unit, end to end, desktop
	@scripts/test.sh

lint: ## formatting, imports, lints and documentation; installs nothing
	@scripts/lint.sh

app: ## build the tray app and start it
	@scripts/app.sh

bench: ## the relay beside its peers: speed, memory, CPU (KEEP=1: write it down)
	@scripts/bench.sh

bench-instructions: ## instructions per answer in mcpd and the agent (PROFILES=folder: keep the profiles)
	@scripts/bench-instructions.sh

figures: ## memory, idle CPU and times of the tray app (KEEP=1: write them down)
	@scripts/figures.sh $(if $(KEEP),--keep)

trust: ## the fault-injection tests in full, as a table in docs/trust.md (half an hour)
	@scripts/trust.sh

soak: ## a million simulated requests (SEED=n: other ones)
	@scripts/soak.sh

fuzz: ## look for inputs that break a promise (FOR=60: seconds for each target)
	@scripts/fuzz.sh

supply: ## known vulnerabilities, licences and sources of the dependencies
	@scripts/supply.sh

package: ## the tray app as a .deb
	@scripts/package.sh deb
