# libasyncinotify: build, install, try, test. `make help` lists what there is.

PREFIX     ?= /usr/local
LIBDIR     ?=
INCLUDEDIR ?=
DESTDIR    ?=
CARGO      ?= cargo

TARGET := $(or $(CARGO_TARGET_DIR),target)
LIB    := $(TARGET)/release/libasyncinotify.so
# A private prefix: what examples, tests and benchmarks are built from, so that they see what a user sees.
STAGE  := $(abspath $(TARGET)/stage)
# Seen from a folder of this tree: the name of a make target can't hold the spaces that a full path may have.
from = $(if $(filter /%,$(TARGET)),,$1)$(TARGET)

export PREFIX LIBDIR INCLUDEDIR DESTDIR CARGO REQUIRE_ALL
# The same for scripts, from wherever they work.
export TARGET_DIR := $(abspath $(TARGET))

# `make check` runs check-NAME for each of these, in this order. A new one: a script that is given the prefix of the
# installed tree, prints `SKIP: what (install package)` for a tool that is missing (a failure with REQUIRE_ALL=1) and
# closes with a summary line; a rule for it below; its name here.
CHECKS := lint rust simulation c faults fuzz sanitizers examples install build-systems loops abi cpp go zig

.NOTPARALLEL:
.PHONY: all build install uninstall stage examples run quick check $(CHECKS:%=check-%) header bench soak fuzz miri replay clean help

all build: $(LIB)

# Up to date means no cargo at all: after `make`, root needs no toolchain for `make install`.
$(LIB): Cargo.toml Cargo.lock build.rs $(wildcard cbindgen.toml) $(shell find src -name '*.rs')
	$(CARGO) build --release --locked
	@touch -c $@

install: $(LIB)
	@scripts/install.sh install $(TARGET)/release

uninstall:
	@scripts/install.sh uninstall

stage: $(LIB)
	@PREFIX='$(STAGE)' LIBDIR= INCLUDEDIR= DESTDIR= scripts/install.sh install $(TARGET)/release >/dev/null

# All anew (-B), as make does not know what of the installed tree they were built from.
examples: stage
	@$(MAKE) --no-print-directory -B -C examples-c PREFIX='$(STAGE)' OUT=$(call from,../)/examples

# The library at work on a tree: a demonstration in a fresh folder, or DIR until Ctrl-C.
run: examples
	@examples-c/demo.sh $(TARGET)/examples '$(DIR)'

# What a change of the core breaks most often, in the time that one is willing to wait after each edit: without the one unit
# test that waits for threads to get into each other's way.
quick:
	$(CARGO) test --locked --no-fail-fast --lib --test header --test architecture --test scenarios -- \
		--skip adding_trees_makes_no_consumer_busy

check:
	@scripts/check.sh $(CHECKS)

check-lint:
	@scripts/with.sh cargo-fmt rustfmt $(CARGO) fmt --check
	@scripts/with.sh cargo-clippy rust-clippy $(CARGO) clippy --locked --all-targets -- -D warnings
	@RUSTFLAGS='--cfg simulation' scripts/with.sh cargo-clippy rust-clippy $(CARGO) clippy --locked \
		--target-dir '$(TARGET)/simulation' --test simulation -- -D warnings
	@scripts/with.sh shellcheck shellcheck shellcheck -S warning \
		$$(find . -path ./target -prune -o -type f '(' -name '*.sh' -o -name run ')' -print)
	@echo 'lint: nothing found'

check-rust:
	$(CARGO) test --locked --no-fail-fast

# The core on a kernel inside the test: built apart, as nothing of it is in the library.
SIMULATION = RUSTFLAGS='--cfg simulation' $(CARGO) test --release --locked --target-dir '$(TARGET)/simulation' --test simulation --

check-simulation:
	@$(SIMULATION)

# Once with the assertions of a debug build, Engine::check() after each step among them, and once as it is shipped, under
# valgrind.
check-c: stage
	$(CARGO) build --locked --lib
	@PREFIX='$(STAGE)-debug' LIBDIR= INCLUDEDIR= DESTDIR= scripts/install.sh install $(TARGET)/debug >/dev/null
	@c-tests/run '$(STAGE)-debug'
	@c-tests/run '$(STAGE)' --valgrind

# System calls that fail, one after the other. FAULTS_FULL=1: each, and not a sample.
check-faults: stage
	@fault-tests/run '$(STAGE)'

# Made-up input for a minute each, from what is kept in fuzz/corpus.
check-fuzz:
	@fuzz/run '$(TARGET)' $${FUZZ_SECONDS:-60}

# The C tests with a library that is built for the address and the thread sanitizer.
check-sanitizers: stage
	@c-tests/sanitizers '$(STAGE)' '$(TARGET)'

check-examples: examples
	@examples-c/test.sh $(TARGET)/examples

check-install: stage
	@tests/install/run

check-build-systems: stage
	@tests/build-systems/run

check-loops: stage
	@$(MAKE) --no-print-directory -B -C examples-c/loops PREFIX='$(STAGE)' OUT=$(call from,../../)/examples/loops
	@examples-c/loops/test.sh $(TARGET)/examples/loops

check-cpp: stage
	@cpp-tests/run '$(STAGE)'

check-abi: stage
	@tests/abi/run '$(STAGE)'

check-go: stage
	@bindings/go/run '$(STAGE)'

check-zig: stage
	@bindings/zig/run '$(STAGE)'

# What build.rs makes of the comments and signatures in src/capi; `make check-rust` compares.
header:
	UPDATE_HEADER=1 $(CARGO) test --locked --test header

bench: stage
	@bench/run '$(STAGE)' $(if $(BASE),'$(BASE)')

# Random changes against a replica of the tree, on the real kernel, there with faults that come and go, too, and on the
# simulated one, and as much of the small scope as there is time for. The seed or the case of a failure is printed.
soak: stage
	SOAK_SECONDS=$${SOAK_SECONDS:-3600} $(CARGO) test --release --locked --test replica
	@FAULTS_SECONDS=$${SOAK_SECONDS:-3600} fault-tests/run '$(STAGE)' random_lives
	@$(SIMULATION) random $${SIMULATION_SECONDS:-$${SOAK_SECONDS:-3600}}
	@$(SIMULATION) exhaustive $${SIMULATION_SECONDS:-$${SOAK_SECONDS:-3600}}

# The same fuzzers as in `make check`, for an hour each.
fuzz:
	@fuzz/run '$(TARGET)' $${FUZZ_SECONDS:-3600}

# What has no system call of its own, under Miri: rustup component add miri rust-src --toolchain nightly.
miri:
	MIRIFLAGS='-Zmiri-disable-isolation -Zmiri-ignore-leaks' $(CARGO) +nightly miri test --locked --lib --target-dir '$(TARGET)/miri' -- \
		capi::handle attachments memory::shared capi::dup capi::pointer fixed_text nobody_is_told the_data_is_not the_owner_enters

# One simulated run once more, with all that happens in it: SEED=17 of a random one, CASE='...' of one in the small scope.
replay:
	@$(SIMULATION) $(if $(SEED),replay $(SEED),case '$(CASE)')

clean:
	$(CARGO) clean

help:
	@echo 'make                   build the shared and the static library into $(TARGET)/release'
	@echo 'make run               show events of a demonstration tree; DIR=/some/dir: of that one, until Ctrl-C'
	@echo 'make quick             in about 10 seconds: unit tests, scenarios, the header, the rules of the architecture'
	@echo 'make check             every test there is; make check-NAME for one of: $(CHECKS)'
	@echo '                       REQUIRE_ALL=1: a missing tool is a failure, not a skip'
	@echo 'make install           with PREFIX ($(PREFIX)), LIBDIR (PREFIX/lib), INCLUDEDIR (PREFIX/include), DESTDIR'
	@echo 'make uninstall         with the same variables'
	@echo 'make examples          build examples-c from an installed tree into $(TARGET)/examples'
	@echo 'make bench             time against a bare read(2) loop; BASE=...: and against the build installed there'
	@echo 'make soak              the replica test and the simulation for long: SOAK_SECONDS=3600 SIMULATION_SECONDS=3600'
	@echo 'make fuzz              the fuzzers for long: FUZZ_SECONDS=3600'
	@echo 'make miri              what has no system call of its own, with a nightly compiler that has miri'
	@echo 'make replay            one simulated run with its trace: SEED=... or CASE=..., as a failure prints it'
	@echo 'make header            write include/asyncinotify.h anew from the source'
	@echo 'make clean             remove $(TARGET)'
