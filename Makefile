# Thin targets: each is the command you would type.

# What building needs, what the demonstration runs, what the tests run, as Debian packages.
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

# The lock file of cargo-generate-rpm has a version of spin that was withdrawn: without it, cargo
# takes what fits this compiler.
UNLOCKED = CARGO_RESOLVER_INCOMPATIBLE_RUST_VERSIONS=fallback

# Where things go. Packages set DESTDIR. D-Bus and systemd look below /usr; for another PREFIX they
# have to be told.
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

# Each file that is copied as it is, and where to.
COPIES = $(foreach page,$(wildcard man/*),$(page):$(SHARE)/man/man$(subst .,,$(suffix $(page)))) \
         $(patsubst %,%:$(SHARE)/dbus-1/interfaces,$(wildcard dbus/*.xml)) \
         carpd/carp-master@.target:$(UNITS) \
         dbus/org.carpd1.conf:$(SHARE)/dbus-1/system.d \
         dbus/org.carpd1.service:$(SHARE)/dbus-1/system-services \
         dbus/org.carpd1.policy:$(SHARE)/polkit-1/actions \
         $(patsubst %,%:$(SHARE)/bash-completion/completions,$(wildcard completions/*.bash)) \
         $(patsubst %,%:$(SHARE)/zsh/vendor-completions,$(wildcard completions/_*)) \
         $(patsubst %,%:$(SHARE)/fish/vendor_completions.d,$(wildcard completions/*.fish))

# How long to soak or to make worlds, and from which seed (none: a new one); how long to fuzz each
# target.
MINUTES = 30
SEED    =
SECONDS = 300
FUZZED  = engine wire rc_conf sysctl_conf grammar settings state

# The same sources make the same package: its files are as old as the last commit, or the archive.
DATED = SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct 2>/dev/null || stat -c %Y Cargo.lock)

# Namespaces need root: nothing if we are, else sudo for the programs that cargo runs.
ifneq ($(shell id -u),0)
AS_ROOT = --config 'target."cfg(unix)".runner = ["sudo", "-E"]'
SUDO    = sudo -E
endif

.PHONY: help deps demo-deps need-root build release deb rpm install links uninstall demo screenshots test lint fmt check-fmt clippy stories doc deny man prose shell clean bench bench-deps soak explore world fuzz fuzz-min miri need-rust fresh

help: ## this list
	@sed -n 's/^\([a-z-]*\):[^#]*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

build: need-rust ## all programs, for debugging
	cargo build --workspace

release: need-rust ## all programs, as they are installed: target/release
	cargo build --workspace --release

deb: release ## a package for Debian: target/debian
	@tests/install-packages $(DEB_PACKAGES)
	cargo deb --version 2>/dev/null || cargo install --locked cargo-deb --version $(CARGO_DEB)
	$(DATED) cargo deb --quiet --package carpd --no-build

rpm: release ## a package for Fedora: target/generate-rpm
	cargo generate-rpm --version 2>/dev/null || $(UNLOCKED) \
	    cargo install cargo-generate-rpm --version $(CARGO_GENERATE_RPM)
	$(DATED) cargo generate-rpm --package carpd --target-dir $(TARGET) --auto-req builtin

install: ## what `make release` has built, with manual and unit (DESTDIR, PREFIX)
	install -d $(SBIN) $(UNITS) $(CONFIG)
	install -m 755 $(PROGRAMS:%=$(BUILD)/%) $(SBIN)
	sed 's|/usr/sbin|$(PREFIX)/sbin|' carpd/carpd.service >$(UNITS)/carpd.service
	chmod 644 $(UNITS)/carpd.service
	set -e; for copy in $(COPIES); do install -D -m 644 -t "$${copy#*:}" "$${copy%%:*}"; done
	test -e $(CONFIG)/rc.conf || install -m 600 carpd/rc.conf $(CONFIG)
	test -e $(CONFIG)/sysctl.conf || install -m 644 carpd/sysctl.conf $(CONFIG)
	test -n "$(DESTDIR)" || test ! -d /run/systemd/system || systemctl daemon-reload

links: ## carpctl as ifconfig and sysctl too, before the system's own (LINKS=/usr/local/sbin)
	install -d $(DESTDIR)$(LINKS)
	set -e; for name in $(NAMES); do \
		link=$(DESTDIR)$(LINKS)/$$name; \
		test "$$(readlink $$link)" = $(PREFIX)/sbin/carpctl || ln -s $(PREFIX)/sbin/carpctl $$link; done

uninstall: ## what `make install` has put there, but for a configuration that was changed
	rm -f $(PROGRAMS:%=$(SBIN)/%) $(UNITS)/carpd.service
	set -e; for link in $(NAMES:%=$(DESTDIR)$(LINKS)/%); do \
		test "$$(readlink $$link)" != $(PREFIX)/sbin/carpctl || rm $$link; done
	set -e; for copy in $(COPIES); do rm -f "$${copy#*:}/$$(basename "$${copy%%:*}")"; done
	set -e; for file in rc.conf sysctl.conf; do \
		! cmp -s carpd/$$file $(CONFIG)/$$file || rm $(CONFIG)/$$file; done
	rmdir $(CONFIG) 2>/dev/null || true
	test -n "$(DESTDIR)" || test ! -d /run/systemd/system || systemctl daemon-reload

screenshots: need-root build ## pictures of carptop as it runs, for the README
	@cargo run --quiet $(AS_ROOT) --package carp-tests --bin screenshots

# Run as built: cargo run would build the dependencies again, for this package alone.
demo: need-rust need-root demo-deps build ## two hosts, a client, a pulled cable (ARGS=--once: no playing on)
	@$(SUDO) $(TARGET)/debug/demo $(ARGS)

bench: need-rust need-root bench-deps release ## BENCHMARKS.md: carpd beside ucarp and keepalived (ONLY=storm REPEAT=3; SMOKE=1)
	@cargo run --quiet --release $(AS_ROOT) --package carp-tests --bin bench -- \
	    $(ONLY:%=--only %) $(REPEAT:%=--repeat %) $(if $(SMOKE),--smoke)

test: need-rust need-root deps check-fmt clippy build deb rpm stories doc deny man prose shell ## everything below, and all tests

# Tests in namespaces mostly wait for the protocol's timers: more of them fit on a processor.
stories: export RUST_TEST_THREADS ?= 4
stories: need-root ## all tests of the workspace, those in network namespaces too
	cargo test --workspace --no-fail-fast $(AS_ROOT)

soak: need-rust need-root deps build ## faults at random over three hosts (MINUTES=30, SEED= to repeat a run)
	@cargo run --quiet $(AS_ROOT) --package carp-tests --bin soak -- --minutes $(MINUTES) $(SEED:%=--seed %)

world: need-rust need-root deps build ## hosts at random, as people have them (MINUTES=30, SEED= to repeat a run)
	@cargo run --quiet $(AS_ROOT) --package carp-tests --bin world -- --minutes $(MINUTES) --all \
	    --seed $(or $(SEED),$(shell date +%s))

explore: ## every thing that can happen to engines, on simulated wires (MINUTES=30, SEED=1)
	CARP_EXPLORE_SECONDS=$$(($(MINUTES) * 60)) CARP_EXPLORE_SEED=$(SEED) \
	    cargo test --quiet --package carp-proto --test explored no_history -- --nocapture

fresh: ## README's two commands in a fresh Debian (ARGS=--short: the demonstration and `make deny` alone)
	@tests/fresh $(ARGS)

fuzz: ## every fuzz target for SECONDS=300 (nightly, cargo-fuzz)
	set -e; cd carpd/proto/fuzz; for target in $(FUZZED); do \
		cargo +nightly fuzz run $$target -- -max_total_time=$(SECONDS) -max_len=1024 -timeout=30; done

fuzz-min: ## what was found, without what finds nothing more: before it is committed
	set -e; cd carpd/proto/fuzz; for target in $(FUZZED); do \
		cargo +nightly fuzz cmin $$target -- -set_cover_merge=1 -use_counters=0; done

miri: ## the protocol's tests under miri (nightly, with miri and rust-src)
	PROPTEST_CASES=2 MIRIFLAGS=-Zmiri-disable-isolation \
		cargo +nightly miri test --package carp-proto --lib --test wire --test vectors --test fuzzed

lint: check-fmt clippy doc deny man prose shell ## everything but the tests

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
	cargo fetch --locked
	cargo deny --offline check bans licenses sources

man: ## lint the manual pages
	mandoc -T lint -W warning man/*

prose: ## lint the English of comments, messages and manual pages
	tests/lint-prose

shell: ## lint the shell scripts
	shellcheck .ci/run tests/install-packages tests/fresh tests/data/manual-examples.sh carpd/packaging/deb/*
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

clean: ## remove what was built
	cargo clean
