# Every target does its own set-up, so that a fresh clone needs one command.

.DEFAULT_GOAL := help
.PHONY: help setup build demo test bench lint fmt schema chart

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Install what is missing: Postgres 15 or newer and a C compiler
	@scripts/setup

build: setup ## Build the library and the binary
	cargo build --locked

demo: build ## Run an example flow on a private Postgres and print each update as it streams
	@"$${CARGO_TARGET_DIR:-target}/debug/synapps" demo

test: setup ## Run all tests, on a private Postgres
	cargo test --locked

bench: setup ## Measure a workload on the release build: W=PARK
	@cargo bench --locked --bench $$(echo "$(or $(W),PARK)" | tr A-Z a-z)

lint: setup ## Check format, code, docs, protos, dependencies, schema and chart
	@scripts/lint

fmt: ## Format the code
	cargo fmt

schema: setup ## Write src/store/schema.rs anew from the migrations
	@scripts/check-schema --write

chart: ## Lint, render and validate the helm chart
	@scripts/check-chart
