# Every target does its own set-up, so that a fresh clone needs one command.

.DEFAULT_GOAL := help
TARGET := $(or $(CARGO_TARGET_DIR),target)
.PHONY: help setup build demo test crash-matrix soak bench bench-guard bench-micro lint fmt schema chart

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Install what is missing: Postgres 15 or newer and a C compiler
	@scripts/setup

build: setup ## Build the library and the binary
	cargo build --locked

demo: build ## Run an example flow on a private Postgres and print each update as it streams
	@"$${CARGO_TARGET_DIR:-target}/debug/synapps" demo

test: setup ## Run all tests, on a private Postgres
	cargo test --locked

crash-matrix: setup ## Strike processes at every boundary and write docs/CRASH-MATRIX.md
	SYNAPPS_WRITE_CRASH_MATRIX=1 cargo test --locked --test trials -- --exact \
		matrix::what_was_acknowledged_outlasts_every_fault_at_every_boundary --nocapture

soak: setup ## Strike replicas at random for a while, then look at everything: TIME=5m REPLICAS=3 SEED=1
	@SYNAPPS_SOAK_TIME=$(TIME) SYNAPPS_SOAK_REPLICAS=$(REPLICAS) SYNAPPS_SOAK_SEED=$(SEED) \
		cargo test --locked --test trials -- --ignored --exact \
		soak::nothing_is_lost_doubled_or_stuck_after_a_while_of_faults --nocapture

bench: setup ## Measure the release build beside hand-written SQL: all workloads, or W="W5 FAN50"; FULL=1 for longer; BEFORE=binary to compare with
	@cargo build --locked --release --bin synapps
	@# A copy: the harness is built with what tests need, and the program anew with it.
	@mkdir -p $(TARGET)/bench && cp $(TARGET)/release/synapps $(TARGET)/bench/synapps
	@SYNAPPS_BENCH_PROGRAM=$(abspath $(TARGET)/bench/synapps) cargo bench --locked --profile release --bench workloads -- \
		$(W) $(if $(FULL),--full) $(if $(BEFORE),--before=$(BEFORE))

bench-guard: setup ## Fail if W5 has become much slower against hand-written SQL than recorded
	@cargo bench --locked --bench workloads -- --guard --window=5s

bench-micro: setup ## Measure the parts without database and network: W=batches for one family
	@cargo bench --locked --bench micro -- $(W)

lint: setup ## Check format, code, docs, protos, dependencies, schema and chart
	@scripts/lint

fmt: ## Format the code
	cargo fmt

schema: setup ## Write src/store/schema.rs anew from the migrations
	@scripts/check-schema --write

chart: ## Lint, render and validate the helm chart
	@scripts/check-chart
