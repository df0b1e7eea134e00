# acceptd: build, test, install. `make help` lists the targets.

PREFIX      ?= /usr
SBINDIR     ?= $(PREFIX)/sbin
LIBEXECDIR  ?= $(PREFIX)/libexec
SYSCONFDIR  ?= /etc
PKG_CONFIG  ?= pkg-config
CFLAGS      ?= -O2 -g

VERSION := 0.1.0

comma := ,
empty :=
space := $(empty) $(empty)

# Objects of a sanitizer build live apart from the others: make SAN=address,undefined
O := build$(if $(SAN),/$(subst $(comma),-,$(SAN)))

WARNINGS := -Wall -Wextra -Wshadow -Wundef -Wvla -Wdate-time -Wpointer-arith -Wwrite-strings \
        -Wcast-qual -Wmissing-prototypes -Wstrict-prototypes -Wold-style-definition \
        -Wredundant-decls -Wnull-dereference -Wformat=2 -Wswitch-enum -Wconversion
ifneq ($(findstring clang,$(shell $(CC) --version)),)
WARNINGS += -Wimplicit-fallthrough -Wno-gnu-statement-expression
else
WARNINGS += -Wlogical-op -Wduplicated-cond -Wduplicated-branches -Wformat-signedness \
        -Wimplicit-fallthrough=5
endif

# clang before 16 refuses some flags that gcc has
supported = $(shell $(CC) -Werror $(1) -x c -c -o /dev/null /dev/null 2>/dev/null && echo '$(1)')

ALL_CPPFLAGS = -D_GNU_SOURCE -DACCEPTD_VERSION='"$(VERSION)"' \
        -DACCEPTD_LIBEXECDIR='"$(LIBEXECDIR)/acceptd"' -Isrc $(CPPFLAGS)
ALL_CFLAGS = -std=gnu17 $(WARNINGS) -fno-common -fno-strict-aliasing -fvisibility=hidden -fPIE \
        $(HARDENING) $(SANITIZE) $(CFLAGS)
ALL_LDFLAGS = -pie -Wl,-z,relro,-z,now,--as-needed $(SANITIZE) $(LDFLAGS)

ifdef SAN
SANITIZE := -fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer
HARDENING :=
else
HARDENING := -fstack-protector-strong -fstack-clash-protection -fcf-protection \
        $(call supported,-ftrivial-auto-var-init=zero) -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3
endif

objects = $(patsubst %.c,$(O)/%.o,$(wildcard $(1)))

BASE    := $(call objects,src/base/*.c)
WIRE    := $(call objects,src/wire/*.c)
POLICY  := $(call objects,src/policy/*.c)
LIB     := $(call objects,src/libacceptd/*.c)
# all of the dispatcher but its main, so that tests can link it
DAEMON  := $(filter-out %/acceptd.o,$(call objects,src/dispatcher/*.c))

PROGRAMS := $(O)/acceptd $(O)/acceptd-echo

all: $(PROGRAMS) $(O)/libacceptd.a

$(O)/acceptd: $(O)/src/dispatcher/acceptd.o $(DAEMON) $(POLICY) $(WIRE) $(BASE)
$(O)/acceptd: LDLIBS = $(DAEMON_LIBS)
$(O)/acceptd-echo: $(O)/src/workers/acceptd-echo.o $(LIB) $(WIRE) $(BASE)

# expanded when a recipe runs, so that `make deps` works where pkg-config is not there yet
DAEMON_LIBS = $(shell $(PKG_CONFIG) --libs libsystemd inih)
TEST_LIBS = $(shell $(PKG_CONFIG) --libs cmocka)

$(PROGRAMS):
	$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $(filter %.o,$^) $(LDLIBS)

$(O)/libacceptd.a: $(LIB) $(WIRE) $(BASE)
	rm -f $@
	$(AR) rcs $@ $^

$(O)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

# One test program for each tests/unit/test-*.c and tests/process/test-*.c. A file that tests link
# but that is no test of its own (a harness) is any other .c file in the same folder, unless its
# name starts with stub-: that is a program that the tests run.
UNIT_TESTS    := $(patsubst %.c,$(O)/%,$(wildcard tests/unit/test-*.c))
PROCESS_TESTS := $(patsubst %.c,$(O)/%,$(wildcard tests/process/test-*.c))
STUBS         := $(patsubst %.c,$(O)/%,$(wildcard tests/process/stub-*.c))
harness        = $(call objects,$(filter-out tests/%/test-% $(wildcard tests/process/stub-*.c) $(wildcard $(1)/test-*.c),$(wildcard $(1)/*.c)))

$(UNIT_TESTS): $(O)/%: $(O)/%.o $(call harness,tests/unit) $(DAEMON) $(LIB) $(POLICY) $(WIRE) $(BASE)
	$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $(filter %.o,$^) $(DAEMON_LIBS) $(TEST_LIBS)

$(PROCESS_TESTS): $(O)/%: $(O)/%.o $(call harness,tests/process) $(WIRE) $(BASE)
	$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $(filter %.o,$^) $(DAEMON_LIBS) $(TEST_LIBS)

$(STUBS): $(O)/%: $(O)/%.o $(LIB) $(WIRE) $(BASE)
	$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $(filter %.o,$^)

tests: $(UNIT_TESTS) $(PROCESS_TESTS) $(STUBS) all

clean:
	rm -rf build

-include $(shell find $(O)/src $(O)/tests -name '*.d' 2>/dev/null)

.PHONY: all clean tests
.DELETE_ON_ERROR:
.SECONDARY:
