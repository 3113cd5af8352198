# Thin targets: each runs the command that you would type.

# Debian packages for the build, the packages, the demonstration, the benchmarks and the tests.
BUILD_PACKAGES = gcc libc6-dev
DEMO_PACKAGES  = $(BUILD_PACKAGES) iproute2 procps iputils-ping
DEB_PACKAGES   = $(BUILD_PACKAGES) dpkg-dev
BENCH_PACKAGES = $(DEMO_PACKAGES) ucarp keepalived
TEST_PACKAGES  = $(DEMO_PACKAGES) tcpdump tshark nftables net-tools ucarp keepalived \
                 dbus-daemon polkitd systemd libglib2.0-bin python3-dbus python3-gi \
                 mandoc shellcheck strace tmux bash-completion zsh fish firewalld network-manager \
                 udhcpc dhcpcd-base lldpd avahi-daemon iputils-arping \
                 $(DEB_PACKAGES) lintian debootstrap rpm cpio

CARGO_DENY         = 0.20.2
CARGO_DEB          = 3.8.0
CARGO_GENERATE_RPM = 0.21.1

# The lock file of cargo-generate-rpm has a withdrawn version of spin. Without it, cargo chooses
# versions for this compiler.
UNLOCKED = CARGO_RESOLVER_INCOMPATIBLE_RUST_VERSIONS=fallback

# Directories of installed files. Packages set DESTDIR. D-Bus and systemd search below /usr; another
# PREFIX requires configuration of both.
PREFIX  = /usr
SYSCONF = /etc
TARGET  = $(or $(CARGO_TARGET_DIR),target)
BUILD   = $(TARGET)/release

PROGRAMS = carpd carpctl carptop
NAMES    = ifconfig sysctl
SBIN     = $(DESTDIR)$(PREFIX)/sbin
SHARE    = $(DESTDIR)$(PREFIX)/share
UNITS    = $(DESTDIR)$(PREFIX)/lib/systemd/system
CONFIG   = $(DESTDIR)$(SYSCONF)/carpd
LINKS    = /usr/local/sbin

# Files that are copied unchanged, with their directories.
COPIES = $(foreach page,$(wildcard man/*),$(page):$(SHARE)/man/man$(subst .,,$(suffix $(page)))) \
         $(patsubst %,%:$(SHARE)/dbus-1/interfaces,$(wildcard dbus/*.xml)) \
         carpd/carp-master@.target:$(UNITS) \
         dbus/org.carpd1.conf:$(SHARE)/dbus-1/system.d \
         dbus/org.carpd1.service:$(SHARE)/dbus-1/system-services \
         dbus/org.carpd1.policy:$(SHARE)/polkit-1/actions \
         $(patsubst %,%:$(SHARE)/bash-completion/completions,$(wildcard completions/*.bash)) \
         $(patsubst %,%:$(SHARE)/zsh/vendor-completions,$(wildcard completions/_*)) \
         $(patsubst %,%:$(SHARE)/fish/vendor_completions.d,$(wildcard completions/*.fish))

# Minutes of the soak and world tests and their seed (empty: a new one); seconds for each fuzz target.
MINUTES = 30
SEED    =
SECONDS = 300
FUZZED  = engine wire rc_conf sysctl_conf grammar settings state

# The same sources give the same package: its files have the time of the last commit or the archive.
DATED = SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct 2>/dev/null || stat -c %Y Cargo.lock)

# Namespaces require root: with sudo for programs that cargo runs, unless make runs as root.
ifneq ($(shell id -u),0)
AS_ROOT = --config 'target."cfg(unix)".runner = ["sudo", "-E"]'
SUDO    = sudo -E
endif

.PHONY: help deps demo-deps need-root build release deb rpm install links uninstall demo screenshots test \
	lint fmt check-fmt clippy stories doc deny man prose structure shell clean bench bench-deps soak explore world \
	fuzz fuzz-min miri need-rust fresh additions

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):[^#]*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

build: need-rust ## build all programs with debug information
	cargo build --workspace

release: need-rust ## build all programs for installation: target/release
	cargo build --workspace --release

deb: release ## build a package for Debian: target/debian
	@tests/install-packages $(DEB_PACKAGES)
	cargo deb --version 2>/dev/null || cargo install --locked cargo-deb --version $(CARGO_DEB)
	$(DATED) cargo deb --quiet --package carpd --no-build

rpm: release ## build a package for Fedora: target/generate-rpm
	cargo generate-rpm --version 2>/dev/null || $(UNLOCKED) \
	    cargo install cargo-generate-rpm --version $(CARGO_GENERATE_RPM)
	$(DATED) cargo generate-rpm --package carpd --target-dir $(TARGET) --auto-req builtin

install: ## install what `make release` has built, with manual pages and unit (DESTDIR, PREFIX)
	install -d $(SBIN) $(UNITS) $(CONFIG)
	install -m 755 $(PROGRAMS:%=$(BUILD)/%) $(SBIN)
	sed 's|/usr/sbin|$(PREFIX)/sbin|' carpd/carpd.service >$(UNITS)/carpd.service
	chmod 644 $(UNITS)/carpd.service
	set -e; for copy in $(COPIES); do install -D -m 644 -t "$${copy#*:}" "$${copy%%:*}"; done
	test -e $(CONFIG)/rc.conf || install -m 600 carpd/rc.conf $(CONFIG)
	test -e $(CONFIG)/sysctl.conf || install -m 644 carpd/sysctl.conf $(CONFIG)
	test -n "$(DESTDIR)" || test ! -d /run/systemd/system || systemctl daemon-reload

links: ## link carpctl as ifconfig and sysctl, before the system's own (LINKS=/usr/local/sbin)
	install -d $(DESTDIR)$(LINKS)
	set -e; for name in $(NAMES); do \
		link=$(DESTDIR)$(LINKS)/$$name; \
		test "$$(readlink $$link)" = $(PREFIX)/sbin/carpctl || ln -s $(PREFIX)/sbin/carpctl $$link; done

uninstall: ## remove what `make install` has installed, except a changed configuration
	rm -f $(PROGRAMS:%=$(SBIN)/%) $(UNITS)/carpd.service
	set -e; for link in $(NAMES:%=$(DESTDIR)$(LINKS)/%); do \
		test "$$(readlink $$link)" != $(PREFIX)/sbin/carpctl || rm $$link; done
	set -e; for copy in $(COPIES); do rm -f "$${copy#*:}/$$(basename "$${copy%%:*}")"; done
	set -e; for file in rc.conf sysctl.conf; do \
		! cmp -s carpd/$$file $(CONFIG)/$$file || rm $(CONFIG)/$$file; done
	rmdir $(CONFIG) 2>/dev/null || true
	test -n "$(DESTDIR)" || test ! -d /run/systemd/system || systemctl daemon-reload

screenshots: need-root build ## make screenshots of a running carptop, for the README
	@cargo run --quiet $(AS_ROOT) --package carp-tests --bin screenshots

# cargo run would build the dependencies again for this package alone.
demo: need-rust need-root demo-deps build ## show a failover between two hosts (ARGS=--once: end afterwards)
	@$(SUDO) $(TARGET)/debug/demo $(ARGS)

bench: need-rust need-root bench-deps release ## write BENCHMARKS.md (ONLY=storm REPEAT=3; SMOKE=1)
	@cargo run --quiet --release $(AS_ROOT) --package carp-tests --bin bench -- \
	    $(ONLY:%=--only %) $(REPEAT:%=--repeat %) $(if $(SMOKE),--smoke)

test: need-rust need-root deps check-fmt clippy build deb rpm stories additions lint ## run tests and lints

# Tests in namespaces mostly wait for timers, so that several can share a processor.
stories: export RUST_TEST_THREADS ?= 4
stories: need-root ## run all tests of the workspace, also those in network namespaces
	cargo test --workspace --no-fail-fast $(AS_ROOT)

soak: need-rust need-root deps build ## cause random faults on three hosts (MINUTES=30, SEED= to repeat a run)
	@cargo run --quiet $(AS_ROOT) --package carp-tests --bin soak -- --minutes $(MINUTES) $(SEED:%=--seed %)

world: need-rust need-root deps build ## test hosts at random, as in practice (MINUTES=30, SEED= to repeat a run)
	@cargo run --quiet $(AS_ROOT) --package carp-tests --bin world -- --minutes $(MINUTES) --all \
	    --seed $(or $(SEED),$(shell date +%s))

additions: build ## add a sysctl and a parameter to a copy of the sources, as CONTRIBUTING says
	@tests/additions

explore: ## search random histories of engines on simulated wires (MINUTES=30, SEED=1)
	CARP_EXPLORE_SECONDS=$$(($(MINUTES) * 60)) CARP_EXPLORE_SEED=$(SEED) \
	    cargo test --quiet --package carp-proto --test explored no_history -- --nocapture

fresh: ## run README's two commands in a new Debian (ARGS=--short: only the demonstration and `make deny`)
	@tests/fresh $(ARGS)

fuzz: ## run every fuzz target for SECONDS=300 each (nightly, cargo-fuzz)
	set -e; cd carpd/proto/fuzz; for target in $(FUZZED); do \
		cargo +nightly fuzz run $$target -- -max_total_time=$(SECONDS) -max_len=1024 -timeout=30; done

fuzz-min: ## minimise the corpora, before they are committed
	set -e; cd carpd/proto/fuzz; for target in $(FUZZED); do \
		cargo +nightly fuzz cmin $$target -- -set_cover_merge=1 -use_counters=0; done

miri: ## run the protocol's tests under miri (nightly, with miri and rust-src)
	PROPTEST_CASES=2 MIRIFLAGS=-Zmiri-disable-isolation \
		cargo +nightly miri test --package carp-proto --lib --test wire --test vectors --test fuzzed

lint: check-fmt clippy doc deny man prose structure shell ## run all lints

fmt: ## format the sources
	cargo fmt --all

check-fmt:
	cargo fmt --all --check

clippy:
	cargo clippy --workspace --all-targets -- -D warnings

doc: ## build the documentation of the crates, with private items
	RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --document-private-items

deny: ## check licences, duplicates and sources of the dependencies
	cargo deny --version 2>/dev/null || cargo install --locked cargo-deny --version $(CARGO_DENY)
	cargo fetch --locked
	cargo deny --offline check bans licenses sources

man: ## lint the manual pages
	mandoc -T lint -W warning man/*

prose: ## lint the English of comments, messages and manual pages
	tests/lint-prose

structure: ## lint the imports between source files
	tests/lint-structure

shell: ## lint the shell scripts
	shellcheck .ci/run tests/additions tests/fresh tests/install-packages tests/data/manual-examples.sh \
	    carpd/packaging/deb/*
	shellcheck --shell=sh tests/check-machine carpd/packaging/rpm/*

deps: ## install the Debian packages that building and testing need
	@tests/install-packages $(TEST_PACKAGES)

need-rust:
	@tests/check-machine rust

need-root:
	@tests/check-machine root

demo-deps:
	@tests/install-packages $(DEMO_PACKAGES)

bench-deps:
	@tests/install-packages $(BENCH_PACKAGES)

clean: ## remove everything that was built
	cargo clean
