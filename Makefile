# acceptd: build, test, install. `make help` lists the targets.
#
# From outside: CC OBJCOPY CFLAGS CPPFLAGS LDFLAGS DESTDIR PREFIX, V=1 (whole commands),
# SAN=address,undefined (a sanitizer build, in a folder of its own), CI=1 (-Werror).

PREFIX      ?= /usr
BINDIR      ?= $(PREFIX)/bin
SBINDIR     ?= $(PREFIX)/sbin
LIBEXECDIR  ?= $(PREFIX)/libexec
SYSCONFDIR  ?= /etc
LIBDIR      ?= $(PREFIX)/lib
INCLUDEDIR  ?= $(PREFIX)/include
EXAMPLEDIR  ?= $(PREFIX)/share/doc/libacceptd-dev/examples
MANDIR      ?= $(PREFIX)/share/man
CATALOGDIR  ?= $(PREFIX)/lib/systemd/catalog
COMPLETIONDIR ?= $(PREFIX)/share/bash-completion/completions
PKG_CONFIG  ?= pkg-config
INSTALL     ?= install
OBJCOPY     ?= objcopy
CFLAGS      ?= -O2 -g

VERSION := 0.1.0

comma := ,
space := $(subst ,, )
# Objects of a sanitizer build live apart from the others
O := build$(if $(SAN),/$(subst $(comma),-,$(SAN)))

Q   := $(if $(V),,@)
say := $(if $(V),@:,@printf '  %-7s %s\n')

all:

# --- flags ------------------------------------------------------------------

# What asks the compiler or pkg-config waits until a recipe wants it, so that `make deps` can bring
# them first, and then remembers the answer.
once = $(eval $(1) := $(2))$($(1))

is_clang  = $(call once,is_clang,$(findstring clang,$(shell $(CC) --version 2>/dev/null)))
# clang before 16 refuses some flags that gcc has
supported = $(shell $(CC) -Werror $(1) -x c -c -o /dev/null /dev/null 2>/dev/null && echo '$(1)')

WARNINGS = -Wall -Wextra -Wshadow -Wundef -Wvla -Wdate-time -Wpointer-arith -Wwrite-strings \
        -Wcast-qual -Wmissing-prototypes -Wstrict-prototypes -Wold-style-definition \
        -Wredundant-decls -Wnull-dereference -Wformat=2 -Wswitch-enum -Wconversion \
        $(if $(is_clang),-Wimplicit-fallthrough,-Wlogical-op -Wduplicated-cond \
        -Wduplicated-branches -Wformat-signedness -Wimplicit-fallthrough=5) \
        $(if $(CI),-Werror)

ifdef SAN
HARDENING := -fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer
LDSAN     := -fsanitize=$(SAN)
else
HARDENING  = $(call once,HARDENING,-fstack-protector-strong -fstack-clash-protection \
        -fcf-protection $(call supported,-ftrivial-auto-var-init=zero) \
        $(if $(filter -O0,$(CFLAGS)),,-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3))
endif

ALL_CPPFLAGS = -D_GNU_SOURCE -DACCEPTD_VERSION='"$(VERSION)"' \
        -DACCEPTD_LIBEXECDIR='"$(LIBEXECDIR)/acceptd"' -Isrc $(CPPFLAGS)
ALL_CFLAGS = -std=gnu17 $(WARNINGS) -fno-common -fno-strict-aliasing -fvisibility=hidden -fPIE \
        $(HARDENING) $(CFLAGS)
ALL_LDFLAGS = -pie -Wl,-z,relro,-z,now,--as-needed $(LDSAN) $(LDFLAGS)

DAEMON_LIBS = $(call once,DAEMON_LIBS,$(shell $(PKG_CONFIG) --libs libsystemd inih jansson))
CTL_LIBS    = $(call once,CTL_LIBS,$(shell $(PKG_CONFIG) --libs libsystemd jansson))
TEST_LIBS   = $(call once,TEST_LIBS,$(shell $(PKG_CONFIG) --libs cmocka))
UNITDIR     = $(call once,UNITDIR,$(or $(shell $(PKG_CONFIG) \
        --variable=systemdsystemunitdir systemd 2>/dev/null),/usr/lib/systemd/system))

# --- programs ---------------------------------------------------------------

objects = $(patsubst %.c,$(O)/%.o,$(wildcard $(1)))

BASE    := $(call objects,src/base/*.c)
WIRE    := $(call objects,src/wire/*.c)
VARLINK := $(call objects,src/varlink/*.c)
LIB     := $(call objects,src/libacceptd/*.c)
MAIN    := $(O)/src/acceptd/acceptd.o
# all of the dispatcher but its main, so that tests can link it
ROOMS   := acceptd takeover control dispatcher policy os settings varlink wire base
DAEMON  := $(filter-out $(MAIN),$(call objects,$(ROOMS:%=src/%/*.c)))

PROGRAMS := $(O)/acceptd $(O)/acceptctl $(O)/acceptd-confine $(O)/acceptd-echo $(O)/acceptd-inetd \
        $(O)/acceptd-listen $(O)/acceptd-protocol-test

SHARED := $(if $(SAN),,$(O)/libacceptd.so.1)

all: $(PROGRAMS) $(O)/libacceptd.a $(SHARED)

$(O)/acceptd: $(MAIN) $(DAEMON)
$(O)/acceptd: LDLIBS = $(DAEMON_LIBS)
$(O)/acceptctl: $(call objects,src/acceptctl/*.c) $(VARLINK) $(BASE)
$(O)/acceptctl: LDLIBS = $(CTL_LIBS)
$(O)/acceptd-confine: $(O)/src/confine/acceptd-confine.o $(WIRE) $(BASE)
$(O)/acceptd-echo: $(O)/src/workers/acceptd-echo.o $(O)/src/workers/echo.o $(LIB) $(WIRE) $(BASE)
$(O)/acceptd-inetd: $(call objects,src/workers/acceptd-inetd.c src/workers/inetd-*.c) \
        $(O)/src/workers/program.o $(LIB) $(WIRE) $(BASE)
$(O)/acceptd-listen: $(patsubst %,$(O)/src/workers/%.o,acceptd-listen server server-start server-notify \
        notify-socket family program) $(LIB) $(WIRE) $(BASE)

$(O)/acceptd-protocol-test: $(call objects,src/protocol-test/*.c) $(O)/src/os/process.o $(O)/src/os/pidfd-info.o $(WIRE) $(BASE)

# When `deps` stands on the same command line, nothing is compiled before it has run, also with -j.
after_deps := $(filter deps,$(MAKECMDGOALS))

link = $(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $(filter %.o,$^)

$(PROGRAMS):
	$(say) LD $@
	$(Q)$(link) $(LDLIBS)

# The public archive is one object in which every name that a program can clash with begins with
# acceptd_: the others (fd_close, held_add, ...) are hidden, and become local. Objects for a
# sanitizer carry names of its own, and stay as they are.
$(O)/libacceptd.o: $(LIB) $(WIRE) $(BASE)
	$(say) LD $@
	$(Q)$(CC) $(CFLAGS) -r -nostdlib $(if $(is_clang),,-flinker-output=nolto-rel) -o $@ $^
	$(Q)$(OBJCOPY) --localize-hidden $@

$(O)/libacceptd.a: $(if $(SAN),$(LIB) $(WIRE) $(BASE),$(O)/libacceptd.o)
	$(say) AR $@
	$(Q)rm -f $@
	$(Q)$(AR) rcs $@ $^

# The shared library, from objects of its own: the others are for programs
pic_o := $(O)/pic
PIC   := $(patsubst $(O)/%,$(pic_o)/%,$(LIB) $(WIRE) $(BASE))

$(pic_o)/%.o: %.c Makefile | $(after_deps)
	$(say) CC $<
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CPPFLAGS) $(filter-out -fPIE,$(ALL_CFLAGS)) -fPIC -MMD -MP -c -o $@ $<

$(O)/libacceptd.so.1: $(PIC) src/libacceptd/libacceptd.map
	$(say) LD $@
	$(Q)$(CC) $(filter-out -fPIE,$(ALL_CFLAGS)) -fPIC -shared $(filter-out -pie,$(ALL_LDFLAGS)) \
	        -Wl,-z,defs,-soname,libacceptd.so.1,--version-script=src/libacceptd/libacceptd.map \
	        -o $@ $(PIC)

$(O)/%.o: %.c Makefile | $(after_deps)
	$(say) CC $<
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

# --- tests ------------------------------------------------------------------

# One test program for each tests/unit/test-*.c and tests/process/test-*.c. A file that tests link
# but that is no test of its own (a harness) is any other .c file in the same folder, unless its
# name starts with stub-: that is a program that the tests run; stub-worker has more files than one.
UNIT_TESTS    := $(patsubst %.c,$(O)/%,$(wildcard tests/unit/test-*.c))
PROCESS_TESTS := $(patsubst %.c,$(O)/%,$(wildcard tests/process/test-*.c))
STUBS         := $(patsubst %.c,$(O)/%,$(filter-out tests/process/stub-worker-%, \
        $(wildcard tests/process/stub-*.c)))
harness        = $(call objects,$(filter-out $(1)/test-% $(1)/stub-%,$(wildcard $(1)/*.c)))

$(UNIT_TESTS): $(O)/%: $(O)/%.o $(call harness,tests/unit) $(DAEMON) $(LIB)
	$(say) LD $@
	$(Q)$(link) $(DAEMON_LIBS) $(TEST_LIBS)

$(O)/tests/unit/test-inetd-report: $(O)/src/workers/inetd-report.o

# Time passes as the test says
$(O)/tests/unit/test-journal $(O)/tests/unit/test-acceptd-worker-crowd: ALL_LDFLAGS += -Wl,--wrap=clock_gettime

$(PROCESS_TESTS): $(O)/%: $(O)/%.o $(call harness,tests/process) $(VARLINK) $(WIRE) $(BASE)
	$(say) LD $@
	$(Q)$(link) $(DAEMON_LIBS) $(TEST_LIBS)

$(O)/tests/process/stub-worker: $(call objects,tests/process/stub-worker-*.c)
$(STUBS): $(O)/%: $(O)/%.o $(LIB) $(WIRE) $(BASE)
	$(say) LD $@
	$(Q)$(link) $(DAEMON_LIBS)

# The dispatcher with the stop points of src/base/stop-point.h. What has none is as in the program.
STOP_POINTS := $(O)/tests/process/acceptd-stop-points
stop_o      := $(O)/tests/stop-points
WITH_POINTS := $(patsubst %.c,%.o,$(shell grep -ls 'base/stop-point\.h' src/*/*.c))

$(stop_o)/%.o: %.c Makefile | $(after_deps)
	$(say) CC $<
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CPPFLAGS) -DACCEPTD_STOP_POINTS $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

$(STOP_POINTS): $(WITH_POINTS:%=$(stop_o)/%) $(filter-out $(WITH_POINTS:%=$(O)/%),$(MAIN) $(DAEMON))
	$(say) LD $@
	$(Q)mkdir -p $(@D)
	$(Q)$(link) $(DAEMON_LIBS)

# An earlier revision, and one whose ledger has larger parts, for upgrades in place. Without history
# (a shallow clone, an archive) the old one is an empty file, and its tests are skipped.
OLD_REVISION := ee7335acf83ee950443a8f933dcca9946efb4c14
OLD          := build/old/acceptd
GROWN        := $(O)/tests/process/acceptd-grown
grown_o      := $(O)/tests/grown

$(OLD):
	$(say) OLD $@
	$(Q)rm -rf build/old && mkdir -p build/old/tree
	$(Q)if git archive $(OLD_REVISION) src Makefile 2>/dev/null | tar -xf - -C build/old/tree 2>/dev/null; then \
	        env -u MAKEFLAGS -u MAKEOVERRIDES -u MFLAGS -u MAKELEVEL $(MAKE) -s -C build/old/tree \
	                build/acceptd && cp build/old/tree/build/acceptd $@; \
	else \
	        : >$@; \
	fi

$(grown_o)/%.o: %.c Makefile | $(after_deps)
	$(say) CC $<
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CPPFLAGS) -DLEDGER_TEST_GROWN $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

$(GROWN): $(patsubst $(O)/%,$(grown_o)/%,$(MAIN) $(DAEMON))
	$(say) LD $@
	$(Q)mkdir -p $(@D)
	$(Q)$(link) $(DAEMON_LIBS)

# Fuzzers: each tests/fuzz/fuzz-NAME.c with its corpus. `make check-unit` runs the corpus, `make
# fuzz` lets libFuzzer work for FUZZ_SECONDS on each of FUZZERS.
FUZZERS      ?= $(patsubst tests/fuzz/fuzz-%.c,%,$(wildcard tests/fuzz/fuzz-*.c))
FUZZ_SECONDS ?= 60
REPLAYS      := $(patsubst tests/fuzz/%.c,$(O)/tests/fuzz/%,$(wildcard tests/fuzz/fuzz-*.c))
REPLAY_RUNS   = $(foreach r,$(1),'$(r) tests/fuzz/corpus/$(patsubst fuzz-%,%,$(notdir $(r)))')
LIFE         := $(O)/tests/fuzz/life.o $(DAEMON)

$(REPLAYS): $(O)/%: $(O)/%.o $(if $(FUZZING),,$(O)/tests/fuzz/replay.o) $(LIFE)
	$(say) LD $@
	$(Q)$(link) $(if $(FUZZING),-fsanitize=fuzzer) $(DAEMON_LIBS)

# clang with its runtime (package libclang-rt-14-dev, or that of its version) is needed for this only
fuzz:
	$(Q)$(MAKE) --no-print-directory CC=clang FUZZING=1 O=build/fuzz SAN=address,undefined \
	        CPPFLAGS='$(CPPFLAGS) -fsanitize=fuzzer-no-link' $(FUZZERS:%=build/fuzz/tests/fuzz/fuzz-%)
	$(Q)for f in $(FUZZERS); do \
	        mkdir -p build/fuzz/corpus/$$f && \
	        build/fuzz/tests/fuzz/fuzz-$$f -max_total_time=$(FUZZ_SECONDS) -print_final_stats=1 \
	                -verbosity=1 -artifact_prefix=build/fuzz/$$f- build/fuzz/corpus/$$f \
	                tests/fuzz/corpus/$$f || exit; \
	done

# The load generator and other programs of the benchmark
PRELOAD := tests/bench/no-pidfd
BENCH   := $(patsubst %.c,$(O)/%,$(filter-out $(PRELOAD).c tests/bench/load-%,$(wildcard tests/bench/*.c)))
$(O)/tests/bench/load: $(call objects,tests/bench/load-*.c)
$(BENCH): $(O)/%: $(O)/%.o $(O)/src/workers/echo.o $(LIB) $(WIRE) $(BASE)
	$(say) LD $@
	$(Q)$(link)

# What the system tests run in the container
SYSTEM := $(patsubst %.c,$(O)/%,$(wildcard tests/system/*.c))
NOTING := $(O)/tests/system/noting-echo
$(NOTING): $(O)/src/workers/acceptd-echo.o $(O)/src/workers/echo.o
$(NOTING): ALL_LDFLAGS += -Wl,--wrap=acceptd_worker_receive,--wrap=acceptd_worker_finish
$(SYSTEM): $(O)/%: $(O)/%.o $(LIB) $(WIRE) $(BASE)
	$(say) LD $@
	$(Q)$(link)

system-programs: $(SYSTEM) $(STUBS)

tests: all $(UNIT_TESTS) $(PROCESS_TESTS) $(STUBS) $(STOP_POINTS) $(GROWN) $(OLD) $(BENCH) $(SYSTEM) $(REPLAYS)

# the longer ones first
TESTS     := $(PROCESS_TESTS) $(UNIT_TESTS)
SANITIZE  := address,undefined
SAN_TESTS := $(TESTS:$(O)/%=$(O)/$(subst $(comma),-,$(SANITIZE))/%)
# Debian releases that are booted in a container with the package installed
RELEASES  := bookworm trixie
# Most of their time tests wait, so there run more at a time than there are processors. But what goes
# by how much is done in a time, or by how many descriptors all processes of a user have in flight,
# needs the machine for itself.
JOBS      ?= $(call once,JOBS,$(shell echo $$((2 * $$(nproc)))))
CONTAINERS ?= 2
ALONE     := %/process/test-journal %/process/test-full-queue
BESIDE     = $(filter-out $(ALONE),$(1)) $(2) --alone $(filter $(ALONE),$(1))

check-unit: tests
	$(Q)tests/run --jobs=$(JOBS) $(call BESIDE,$(TESTS),$(call REPLAY_RUNS,$(REPLAYS)) 'tests/examples/run $(O)')

$(O)/$(PRELOAD).so: $(PRELOAD).c
	$(say) LD $@
	$(Q)$(CC) $(ALL_CPPFLAGS) $(filter-out -fPIE,$(ALL_CFLAGS)) -fPIC -shared -o $@ $<

bench bench-quick: all $(BENCH) $(O)/$(PRELOAD).so
	$(Q)tests/bench/run $(if $(filter bench-quick,$@),--quick) $(BEFORE:%=--before=%) $(O)

check: tests
	$(Q)tests/system/run $(subst $(space),$(comma),$(RELEASES)) --download >/dev/null 2>&1 & \
	        $(MAKE) --no-print-directory SAN=$(SANITIZE) tests; r=$$?; wait; exit $$r
	$(Q)tests/run --jobs=$$(($(JOBS) + 1)) \
	        --timeout=2700 'tests/system/run $(subst $(space),$(comma),$(RELEASES)) --containers=$(CONTAINERS)' \
	        --timeout=600 'tests/examples/run $(O)' $(call BESIDE,$(TESTS) $(SAN_TESTS),$(call \
	        REPLAY_RUNS,$(REPLAYS) $(REPLAYS:$(O)/%=$(O)/$(subst $(comma),-,$(SANITIZE))/%)))

# Faults under load in the container, at random, or one kind of them: SCENARIO=kill_workers and so
# on, see tests/system/test-chaos.sh
SCENARIO      ?= mixed
CHAOS_SECONDS ?= $(if $(filter mixed,$(SCENARIO)),600,60)

chaos:
	$(Q)mkdir -p $(O)
	$(Q)CHAOS_SECONDS=$(CHAOS_SECONDS) CHAOS_SEED=$(CHAOS_SEED) \
	        tests/system/run $(firstword $(RELEASES)) $(SCENARIO:%=chaos_%) | tee $(O)/chaos.log
	$(Q)grep -q '^ok' $(O)/chaos.log && ! grep -q '^not ok' $(O)/chaos.log

# A worker that tries to take over the dispatcher, through RACE_SECONDS of reloads and crashes here,
# and 1,000 reloads and 100 crashes in each profile and release
RACE_SECONDS ?= 30

race: tests
	$(Q)ACCEPTD_RACE_SECONDS=$(RACE_SECONDS) tests/run --timeout=2700 \
	        $(O)/tests/process/test-race \
	        'tests/system/run $(subst $(space),$(comma),$(RELEASES)) race_long race_long:generic'

# The recipes of acceptd-recipes(7) with the programs they are for, which are downloaded, and kills
# meanwhile: RECIPES="git_daemon ..." for some of them
RECIPES :=

check-recipes:
	$(Q)tests/run --timeout=2700 $(RELEASES:%='tests/recipes/run % $(RECIPES:%=test_%)')

# --- to try it, to install it, to look at it ---------------------------------

run: all
	$(Q)tests/try-echo $(O)/acceptd

# units and settings name the places of the programs as they are in a package
install_text = sed -e 's|/usr/bin/acceptctl|$(BINDIR)/acceptctl|g' -e 's|/usr/sbin/|$(SBINDIR)/|g' \
        -e 's|/usr/libexec/|$(LIBEXECDIR)/|g' $(1) > $(2) && \
        chmod 644 $(2)

# What runs a program that it cannot read cannot be traced: execve(2), and so keeps its memory and
# descriptors from others of the same user from its first instruction on.
UNREADABLE := 711

UNITS := $(patsubst systemd/%,%,$(wildcard systemd/*.service systemd/*.socket systemd/*.target \
        systemd/*.d/*.conf))
# What units run
HELPERS := check-instance close-for-good pace-restarts
PAGES   := $(wildcard man/*.[1-8])

install: all
	$(say) INSTALL $(or $(DESTDIR),/)
	$(Q)$(INSTALL) -d $(DESTDIR)$(BINDIR) $(DESTDIR)$(SBINDIR) $(DESTDIR)$(COMPLETIONDIR) \
	        $(DESTDIR)$(LIBEXECDIR)/acceptd $(DESTDIR)$(CATALOGDIR) $(DESTDIR)$(INCLUDEDIR) \
	        $(DESTDIR)$(LIBDIR)/pkgconfig $(DESTDIR)$(EXAMPLEDIR) \
	        $(addprefix $(DESTDIR)$(UNITDIR)/,$(sort $(dir $(UNITS)))) \
	        $(addprefix $(DESTDIR)$(MANDIR)/man,$(sort $(subst .,,$(suffix $(PAGES))))) \
	        $(DESTDIR)$(SYSCONFDIR)/acceptd
	$(Q)$(INSTALL) -m $(UNREADABLE) $(O)/acceptd $(DESTDIR)$(SBINDIR)
	$(Q)$(INSTALL) $(O)/acceptctl $(O)/acceptd-protocol-test $(DESTDIR)$(BINDIR)
	$(Q)$(INSTALL) -m 644 systemd/acceptctl.bash $(DESTDIR)$(COMPLETIONDIR)/acceptctl
	$(Q)$(INSTALL) -m $(UNREADABLE) $(O)/acceptd-confine $(O)/acceptd-echo $(O)/acceptd-inetd \
	        $(O)/acceptd-listen $(DESTDIR)$(LIBEXECDIR)/acceptd
	$(Q)for u in $(UNITS); do \
	        $(call install_text,systemd/$$u,$(DESTDIR)$(UNITDIR)/$$u) || exit; \
	done
	$(Q)for h in $(HELPERS); do \
	        $(call install_text,systemd/$$h,$(DESTDIR)$(LIBEXECDIR)/acceptd/$$h) && \
	        chmod 755 $(DESTDIR)$(LIBEXECDIR)/acceptd/$$h || exit; \
	done
	$(Q)for p in $(PAGES); do \
	        $(call install_text,$$p,$(DESTDIR)$(MANDIR)/man$${p##*.}/$${p#man/}) || exit; \
	done
	$(Q)$(INSTALL) -m 644 src/libacceptd/acceptd.h $(DESTDIR)$(INCLUDEDIR)
	$(Q)$(INSTALL) -m 644 $(O)/libacceptd.a $(O)/libacceptd.so.1 $(DESTDIR)$(LIBDIR)
	$(Q)ln -sf libacceptd.so.1 $(DESTDIR)$(LIBDIR)/libacceptd.so
	$(Q)sed -e 's|@PREFIX@|$(PREFIX)|; s|@LIBDIR@|$(LIBDIR)|; s|@INCLUDEDIR@|$(INCLUDEDIR)|' \
	        -e 's|@VERSION@|$(VERSION)|' src/libacceptd/libacceptd.pc.in \
	        > $(DESTDIR)$(LIBDIR)/pkgconfig/libacceptd.pc
	$(Q)$(INSTALL) -m 644 tests/examples/*.c tests/examples/*.py $(DESTDIR)$(EXAMPLEDIR)
	$(Q)$(INSTALL) -m 644 systemd/acceptd.catalog $(DESTDIR)$(CATALOGDIR)
	$(Q)test -e $(DESTDIR)$(SYSCONFDIR)/acceptd/echo.conf || \
	        { $(call install_text,systemd/echo.conf,$(DESTDIR)$(SYSCONFDIR)/acceptd/echo.conf); }

# Built in a copy, so that the tree stays as it is
DEB_TREE := build/deb/acceptd-$(VERSION)

deb: | $(after_deps)
	$(Q)rm -rf build/deb
	$(Q)mkdir -p $(DEB_TREE)
	$(Q)tar -cf - --exclude=./build --exclude=./.git . | tar -xf - -C $(DEB_TREE)
	$(Q)cd $(DEB_TREE) && env -u MAKEFLAGS -u MAKELEVEL -u MFLAGS dpkg-buildpackage -b -us -uc
	$(Q)mv build/deb/*.deb build/
	$(Q)ls build/*.deb

# Goes on after a failure, to show all there is to mend
lint: | $(after_deps)
	@failed=0; \
	for cc in gcc clang; do \
	        if command -v $$cc >/dev/null; then \
	                echo "== $$cc -Werror"; \
	                objects=build/lint/$$cc; \
	                $(MAKE) -k --no-print-directory CI=1 CC=$$cc O=build/lint/$$cc tests || failed=1; \
	        else \
	                echo "== $$cc: not installed, left out"; \
	        fi; \
	done; \
	CPPFLAGS='$(subst ','\'',$(ALL_CPPFLAGS))' OBJECTS=$$objects tests/lint || failed=1; \
	exit $$failed

clean:
	rm -rf build

# --- what it needs ----------------------------------------------------------

# Packages by their names in Debian. `make deps GOAL` installs what GOAL needs, `make deps` all. What
# the package needs stands in debian/control.
DEPS_build := gcc libc6-dev pkgconf libsystemd-dev libinih-dev libjansson-dev libcmocka-dev
DEPS_run   := systemd
DEPS_bench := iproute2 mmdebstrap strace systemd-container util-linux valgrind
DEPS_chaos := mmdebstrap systemd-container
DEPS_check := mmdebstrap systemd-container
DEPS_race  := mmdebstrap systemd-container
DEPS_check-recipes := mmdebstrap systemd-container
DEPS_lint  := clang clang-format clang-tidy cppcheck mandoc shellcheck systemd

deps_for := $(or $(filter run chaos check check-recipes deb lint bench race,$(MAKECMDGOALS:-quick=)),run check deb lint bench)
DEPS     := $(sort $(DEPS_build) $(foreach goal,$(deps_for),$(DEPS_$(goal))))
APT_GET  := DEBIAN_FRONTEND=noninteractive apt-get -q -y -o Acquire::Retries=5 -o Dpkg::Use-Pty=0 \
        -o APT::Install-Recommends=false

deps:
	@missing= control=; \
	for p in $(DEPS); do \
	        [ "$$(dpkg-query -W -f '$${db:Status-Status}' $$p 2>/dev/null)" = installed ] || \
	                missing="$$missing $$p"; \
	done; \
	$(if $(filter deb,$(deps_for)),dpkg-checkbuilddeps 2>/dev/null || control=1;) \
	[ -n "$$missing$$control" ] || exit 0; \
	echo "Missing packages, to be installed with apt-get:$$missing" \
	        "$${control:+(and those that debian/control names)}"; \
	as_root=; \
	[ "$$(id -u)" = 0 ] || as_root=sudo; \
	$$as_root env $(APT_GET) update && \
	{ [ -z "$$missing" ] || $$as_root env $(APT_GET) install $$missing; } && \
	{ [ -z "$$control" ] || $$as_root env $(APT_GET) build-dep ./; }

help:
	@echo 'make all         programs and library, in build/'
	@echo 'make deps        install what is missing, after saying what; with a goal: what that needs'
	@echo 'make run         start the echo pool on a free port of loopback, and try it'
	@echo 'make check       every test: unit and process, again with sanitizers, and system'
	@echo 'make chaos       faults under load for CHAOS_SECONDS=600, CHAOS_SEED=; SCENARIO= for one kind'
	@echo 'make check-recipes  the recipes of acceptd-recipes(7), with the programs they are for'
	@echo 'make race        a worker that tries to take over the dispatcher, in its long form'
	@echo 'make check-unit  the tests that need no network, no root and no container'
	@echo 'make fuzz        libFuzzer on what comes from outside, FUZZ_SECONDS each; needs clang'
	@echo 'make lint        two compilers, static analysis, the direction of dependencies'
	@echo 'make bench       compare with direct accept and with others; bench-quick: in one minute;'
	@echo '                 BEFORE=DIR: with another tree, where `make` has run, too'
	@echo 'make install     into $$DESTDIR$$PREFIX ($(DESTDIR)$(PREFIX))'
	@echo 'make deb         Debian packages, into build/'
	@echo 'make clean       remove build/'
	@echo 'V=1 shows commands whole, SAN=address,undefined builds with sanitizers.'

-include $(shell find $(O)/src $(O)/tests -name '*.d' 2>/dev/null)

.PHONY: all bench bench-quick chaos check check-recipes check-unit clean deb deps fuzz help install lint race run system-programs tests
.DELETE_ON_ERROR:
.SECONDARY:
