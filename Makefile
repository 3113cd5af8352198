# Thin targets: each is the command you would type.

# What building needs, what the demonstration runs, what the tests run, as Debian packages.
BUILD_PACKAGES = gcc libc6-dev
DEMO_PACKAGES  = $(BUILD_PACKAGES) iproute2 procps iputils-ping
TEST_PACKAGES  = $(DEMO_PACKAGES) tcpdump tshark nftables net-tools ucarp keepalived \
                 dbus-daemon systemd libglib2.0-bin mandoc shellcheck

CARGO_DENY = 0.20.2

# Namespaces need root: nothing if we are, else sudo for the programs that cargo runs.
ifneq ($(shell id -u),0)
AS_ROOT = --config 'target."cfg(unix)".runner = ["sudo", "-E"]'
endif

.PHONY: help deps demo-deps build release demo test lint fmt check-fmt clippy stories doc deny man shell clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):[^#]*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

build: ## all programs, for debugging
	cargo build --workspace

release: ## all programs, as they are installed: target/release
	cargo build --workspace --release

demo: demo-deps build ## two hosts, a client, a pulled cable (ARGS=--once: no playing on)
	@cargo run --quiet $(AS_ROOT) --package carp-tests --bin demo -- $(ARGS)

test: deps check-fmt clippy build stories doc deny man shell ## everything below, and all tests

stories: ## all tests of the workspace, those in network namespaces too
	cargo test --workspace $(AS_ROOT)

lint: check-fmt clippy doc deny man shell ## everything but the tests

fmt: ## put the sources into shape
	cargo fmt --all

check-fmt:
	cargo fmt --all --check

clippy:
	cargo clippy --workspace --all-targets -- -D warnings

doc: ## the documentation of the crates, with their private parts
	RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --document-private-items

deny: ## licences, duplicates and sources of the dependencies
	cargo deny --version 2>/dev/null || cargo install --locked cargo-deny --version $(CARGO_DENY)
	cargo deny --offline check bans licenses sources

man: ## lint the manual pages
	mandoc -T lint -W warning man/*

shell: ## lint the shell scripts
	shellcheck .ci/run tests/install-packages tests/data/manual-examples.sh

deps: ## install the Debian packages that building and testing need
	@tests/install-packages $(TEST_PACKAGES)

demo-deps:
	@tests/install-packages $(DEMO_PACKAGES)

clean: ## remove what was built
	cargo clean
