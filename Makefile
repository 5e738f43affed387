# Locum: temporary diagnostic images and single assets for devices, with a web console.
#
#   make run        sets this machine up, builds, and starts a console with one real device to try it on
#   make test       sets this machine up, builds, and runs every test: units, flows, pages, tools
#
#   make            builds the programs and the pages into build/
#   make unit       the unit programs alone; ONLY=json runs those whose name contains json
#   make flow       users' stories with the real console and the real agent; ONLY= as above
#   make www-test   the pages in a real browser; ONLY= as above
#   make fuzz       each parser of foreign bytes for FUZZ_SECONDS (60); needs clang
#   make scale      what 100,000 devices cost, against the aims: some minutes, not part of make test; SCALE_DEVICES=N
#   make bench      Locum beside casync, zchunk, ostree, rsync, xdelta3, bsdiff, zstd, nginx and others: BENCHMARKS.md tells how to read it.
#                   QUICK=1 in three minutes, PAIR=edits one pair, PART=pairs or PART=service one half
#   make lint       the arrows between folders, names, formatting, warnings
#   make format     lays out the C sources as .clang-format says
#   make install    below DESTDIR and prefix (/usr/local): programs, pages, systemd units, the header for apps
#   make clean      removes what was built; installed npm packages stay, so that no network is needed afterwards
#   make setup      only the set-up that make test does first
#
#   SANITIZE=address,undefined or SANITIZE=thread: the same with gcc's sanitizers, into build/asan or build/tsan
#   DESTDIR, prefix, CC, CFLAGS, LDFLAGS: as everywhere. WERROR= lets warnings pass, V=1 shows whole commands.

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules --no-print-directory

# --- where and how ----------------------------------------------------------------------------------------------------
prefix ?= /usr/local
bindir ?= $(prefix)/bin
libdir ?= $(prefix)/lib/locum
wwwdir ?= $(prefix)/share/locum/www
unitdir ?= $(prefix)/lib/systemd/system
includedir ?= $(prefix)/include

SANITIZE ?=
variant_ :=
variant_address,undefined := /asan
variant_undefined,address := /asan
variant_address := /asan-only
variant_undefined := /ubsan
variant_thread := /tsan
ifeq ($(origin variant_$(SANITIZE)),undefined)
$(error SANITIZE is address,undefined or thread, not "$(SANITIZE)")
endif
OUT := build$(variant_$(SANITIZE))
OBJ := $(OUT)/obj

CC := gcc
CFLAGS ?= -O2 -g
WERROR ?= -Werror
WARNINGS := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wformat=2 $(WERROR)
# The sanitizers see more without the compiler's own checks in between.
HARDENING := $(if $(SANITIZE),-fno-omit-frame-pointer -fsanitize=$(SANITIZE) -fno-sanitize-recover=all,\
    -fstack-protector-strong -D_FORTIFY_SOURCE=2)
# gcc 12 sees uninitialised and overflowing memory that is not there once sanitizers have rewritten the code.
HARDENING += $(if $(SANITIZE),-Wno-maybe-uninitialized -Wno-stringop-overflow -Wno-format-truncation)
SAY = $(if $(V),,@printf '  %-8s %s\n' $(1) '$@';)
# What the targets for people build with: every core, unless they were called with a -j of their own.
CORES = $(if $(findstring -j,$(MAKEFLAGS)),,-j$(shell nproc))
COMPILE = $(CC) -std=c11 -D_GNU_SOURCE -I. -I$(OUT)/gen $(INCLUDES) $(CFLAGS) -fPIE -pthread $(WARNINGS) $(HARDENING) -MMD -MP
LINK = $(CC) $(CFLAGS) -pie -pthread $(if $(SANITIZE),-fsanitize=$(SANITIZE)) -Wl,-z,relro,-z,now -Wl,--as-needed $(LDFLAGS)

# --- what is made of what: the link lines hold the arrows of ARCHITECTURE.md -----------------------------------------
objects = $(patsubst %.c,$(OBJ)/%.o,$(1))
with_main = $(if $(wildcard $(1)),$(shell grep -l '^int main\b' $(wildcard $(1))))

BASE := $(wildcard base/*.c)
REPO := $(wildcard repo/*.c)
DIAGNOSTICS := $(wildcard diagnostics/*.c)
CONSOLE := $(filter-out console/main.c,$(wildcard console/*.c console/delivery/*.c console/cli/*.c))
AGENT := $(filter-out agent/main.c,$(wildcard agent/*.c))
EXAMPLE := $(wildcard agent/example/*.c)
# The agent stands on the base without the database and without making certificates, and on the formats that travel.
AGENT_BASE := $(filter-out base/db.c base/db_%.c base/certificate.c,$(BASE))
AGENT_REPO := $(foreach noun,name range manifest limits metadata order,$(filter repo/$(noun).c repo/$(noun)_%.c,$(REPO))) \
    $(filter repo/delta.c repo/delta_apply%.c repo/delta_coding%.c repo/packed.c,$(REPO))

LIBS_BASE := libssl libcrypto sqlite3
LIBS_REPO := libgit2 libzstd $(LIBS_BASE)
LIBS_DIAGNOSTICS := glib-2.0 $(LIBS_REPO)
LIBS_AGENT := libssl libcrypto libzstd
libraries = $$(pkg-config --libs $(1))
# civetweb loads libssl.so and libcrypto.so by these names: console/tls/ssl.c says why ours must be there before.
TLS := $(OUT)/lib/libssl.so $(OUT)/lib/libcrypto.so
LIBS_CONSOLE = -Wl,--no-as-needed $(TLS) -Wl,--as-needed -lcivetweb

ARCHIVES_BASE := $(OUT)/base.a
ARCHIVES_REPO := $(OUT)/repo.a $(ARCHIVES_BASE)
ARCHIVES_DIAGNOSTICS := $(OUT)/diagnostics.a $(ARCHIVES_REPO)
ARCHIVES_CONSOLE := $(OUT)/console.a $(ARCHIVES_DIAGNOSTICS)
ARCHIVES_AGENT := $(OUT)/agent.a $(OUT)/agent-repo.a $(OUT)/agent-base.a

EXAMPLES := $(patsubst agent/example/%.c,$(OUT)/example/%,$(call with_main,agent/example/*.c))
IMAGES := $(patsubst diagnostics/images/%/diagnostic.json,%,$(wildcard diagnostics/images/*/diagnostic.json))
FLOW_PROGRAMS := $(patsubst %/,$(OUT)/%,$(sort $(dir $(wildcard test/flow/*/*.c))))
UNITS := $(patsubst %.c,$(OUT)/%,$(wildcard test/*/*_test.c))
PROGRAMS := $(if $(wildcard console/main.c),$(OUT)/locum) $(if $(wildcard agent/main.c),$(OUT)/locum-agent)

.PHONY: all help setup programs units flow-programs unit flow www www-test test fuzz scale bench lint warnings format run install clean
all:
	@test/tools/packages --check run
	@$(MAKE) $(CORES) programs www

help:
	@sed -n '/^#/!q; s/^# \{0,1\}//p' Makefile

setup:
	@test/tools/packages test

programs: $(PROGRAMS) $(OUT)/locum-delta $(EXAMPLES) $(IMAGES:%=$(OUT)/images/%/diagnostic.json)
units: $(UNITS)
flow-programs: $(FLOW_PROGRAMS)

# --- objects, archives, programs --------------------------------------------------------------------------------------
$(OBJ)/%.o: %.c
	@mkdir -p $(@D)
	$(call SAY,compile)$(COMPILE) -c -o $@ $<

# The one file that knows GLib.
$(OBJ)/diagnostics/zone.o: INCLUDES = $$(pkg-config --cflags glib-2.0)

$(OBJ)/gen/schema.o: $(OUT)/gen/schema.c
	@mkdir -p $(@D)
	$(call SAY,compile)$(COMPILE) -c -o $@ $<

$(OUT)/gen/schema.c: console/schema/generate $(wildcard console/schema/*.sql) | console/schema
	@mkdir -p $(@D)
	$(call SAY,make)console/schema/generate console/schema/*.sql > $@

archive = @mkdir -p $(@D); rm -f $@; ar rcsD $@ $(filter %.o,$^)
$(OUT)/base.a: $(call objects,$(BASE))
	$(archive)
$(OUT)/repo.a: $(call objects,$(REPO))
	$(archive)
$(OUT)/diagnostics.a: $(call objects,$(DIAGNOSTICS))
	$(archive)
$(OUT)/console.a: $(call objects,$(CONSOLE)) $(OBJ)/gen/schema.o
	$(archive)
$(OUT)/agent.a: $(call objects,$(AGENT))
	$(archive)
$(OUT)/agent-base.a: $(call objects,$(AGENT_BASE))
	$(archive)
$(OUT)/agent-repo.a: $(call objects,$(AGENT_REPO))
	$(archive)

$(OUT)/lib/lib%.so: console/tls/%.c
	@mkdir -p $(@D)
	$(call SAY,link)$(CC) -std=c11 $(CFLAGS) -fPIC -shared $(WARNINGS) -Wl,-soname,$(@F) -Wl,--no-as-needed -o $@ $< -l$*

$(OUT)/locum: $(OBJ)/console/main.o $(ARCHIVES_CONSOLE) $(TLS)
	$(call SAY,link)$(LINK) -o $@ $(filter %.o %.a,$^) $(LIBS_CONSOLE) $(call libraries,$(LIBS_DIAGNOSTICS)) \
	    -Wl,-rpath,'$$ORIGIN/lib:$$ORIGIN/../lib/locum'

$(OUT)/locum-agent: $(OBJ)/agent/main.o $(ARCHIVES_AGENT)
	$(call SAY,link)$(LINK) -o $@ $^ $(call libraries,$(LIBS_AGENT))

# Deltas by hand: for the benchmark, and for who wants to look at one.
$(OUT)/locum-delta: $(OBJ)/test/tools/delta.o $(ARCHIVES_REPO)
	$(call SAY,link)$(LINK) -o $@ $^ $(call libraries,$(LIBS_REPO))

# Files with a main are programs, the others of the folder belong to each of them.
$(EXAMPLES): $(OUT)/example/%: $(OBJ)/agent/example/%.o \
    $(call objects,$(filter-out $(call with_main,agent/example/*.c),$(EXAMPLE)))
	@mkdir -p $(@D)
	$(call SAY,link)$(LINK) -o $@ $^ -lfann -lm

# --- diagnostic images: a folder with diagnostic.json; its *.c become programs, the rest is copied --------------------
# Linked statically and without sanitizers: an image brings all that it needs, whatever the device has. What is directly in diagnostics/images
# and a little of the base stand ready for each. A comment line "/* link: -lpcap */" adds to the link.
IMAGE_COMPILE := $(CC) -std=c11 -D_GNU_SOURCE -I. -O2 -g -fPIE $(WARNINGS) -fstack-protector-strong -D_FORTIFY_SOURCE=2 -MMD -MP
IMAGE_SHARED := $(wildcard diagnostics/images/*.c) $(foreach noun,arena clock error json text,$(filter base/$(noun).c base/$(noun)_%.c,$(BASE)))
$(OBJ)/image/%.o: %.c
	@mkdir -p $(@D)
	$(call SAY,compile)$(IMAGE_COMPILE) -c -o $@ $<
# Kept: make takes them for steps in between.
.PRECIOUS: $(OBJ)/image/%.o
$(OUT)/image.a: $(IMAGE_SHARED:%.c=$(OBJ)/image/%.o)
	$(archive)
define image_rules
$(OUT)/images/$(1)/%: $(OBJ)/image/diagnostics/images/$(1)/%.o $(patsubst %.c,$(OBJ)/image/%.o,$(filter-out \
    $(call with_main,diagnostics/images/$(1)/*.c),$(wildcard diagnostics/images/$(1)/*.c))) $(OUT)/image.a
	@mkdir -p $$(@D)
	$$(call SAY,image)$(CC) -static-pie -o $$@ $$^ $$(call extra_link,diagnostics/images/$(1)/$$*.c) -lm
$(OUT)/images/$(1)/diagnostic.json: $(filter-out %.c %.h,$(wildcard diagnostics/images/$(1)/*)) \
    $(patsubst diagnostics/images/%.c,$(OUT)/images/%,$(call with_main,diagnostics/images/$(1)/*.c))
	@mkdir -p $$(@D)
	$$(call SAY,copy)cp -p $$(filter diagnostics/images/%,$$^) $$(@D)/ && touch $$@
endef
$(foreach image,$(IMAGES),$(eval $(call image_rules,$(image))))

# --- unit programs: test/<folder>/<module>_test.c, linked with its folder and all below --------------------------------
# Other *.c of a test folder belong to each of its programs, those of test/base to all. A comment line "/* link: -Wl,--wrap=fsync */" adds to the link.
TEST_base := $(ARCHIVES_BASE)
TEST_repo := $(ARCHIVES_REPO)
TEST_diagnostics := $(ARCHIVES_DIAGNOSTICS)
TEST_console := $(ARCHIVES_CONSOLE)
TEST_agent := $(ARCHIVES_AGENT)
TEST_LIBS_base = $(call libraries,$(LIBS_BASE))
TEST_LIBS_repo = $(call libraries,$(LIBS_REPO))
TEST_LIBS_diagnostics = $(call libraries,$(LIBS_DIAGNOSTICS))
TEST_LIBS_console = $(LIBS_CONSOLE) $(call libraries,$(LIBS_DIAGNOSTICS))
TEST_LIBS_agent = $(call libraries,$(LIBS_AGENT))
# Every folder above base keeps rows; its tests open a database with the whole schema.
TEST_EXTRA_repo := $(OBJ)/gen/schema.o
TEST_EXTRA_diagnostics := $(OBJ)/gen/schema.o
TEST_EXTRA_console := $(TLS)
extra_link = $$(sed -n 's@^/\* link: \(.*\) \*/$$@\1@p' $(1))
define unit_rules
$(filter $(OUT)/test/$(1)/%,$(UNITS)): $(OUT)/test/$(1)/%: $(OBJ)/test/$(1)/%.o \
    $(call objects,$(filter-out %_test.c,$(sort $(wildcard test/base/*.c test/$(1)/*.c)))) $(TEST_EXTRA_$(1)) $(TEST_$(1))
	@mkdir -p $$(@D)
	$$(call SAY,link)$$(LINK) -o $$@ $$(filter %.o,$$^) $(TEST_$(1)) $$(call extra_link,test/$(1)/$$*.c) \
	    $$(TEST_LIBS_$(1)) -lcmocka -lm -Wl,-rpath,'$$$$ORIGIN/../../lib'
endef
$(foreach folder,base repo diagnostics console agent,$(if $(wildcard test/$(folder)/*_test.c),\
    $(eval $(call unit_rules,$(folder)))))

# Programs that flow tests bring along: test/flow/<name>/*.c, linked with the base.
define flow_rules
$(1): $(call objects,$(wildcard $(1:$(OUT)/%=%)/*.c)) $(ARCHIVES_BASE)
	@mkdir -p $$(@D)
	$$(call SAY,link)$$(LINK) -o $$@ $$^ $(TEST_LIBS_base) -lm
endef
$(foreach program,$(FLOW_PROGRAMS),$(eval $(call flow_rules,$(program))))

# What the console costs with many devices: test/bench/*.c, linked as the console's unit programs are.
BENCH := $(OUT)/test/bench/scale_bench
$(BENCH): $(call objects,test/bench/scale_bench.c test/bench/crowd.c test/bench/figures.c) $(ARCHIVES_CONSOLE) $(TLS)
	@mkdir -p $(@D)
	$(call SAY,link)$(LINK) -o $@ $(filter %.o %.a,$^) $(TEST_LIBS_console) -lm -Wl,-rpath,'$$ORIGIN/../../lib'

# --- pages --------------------------------------------------------------------------------------------------------------
# Built once, the sanitizer builds share them. npm runs only when a lock file changed since it ran last.
www: build/www.done
ifneq ($(OUT),build)
	@ln -sfn ../www $(OUT)/www
endif
WWW_FILES := $(shell find www -name node_modules -prune -o -type f -print 2>/dev/null)
build/www.done: $(WWW_FILES) test/tools/npm-packages
	@mkdir -p build
ifneq ($(wildcard www/build.mjs),)
	@test/tools/npm-packages www
	cd www && node build.mjs ../build/www
	@touch $@
else
	@echo "www/build.mjs is not there: no pages are built"
endif

# --- tests --------------------------------------------------------------------------------------------------------------
ONLY ?=
RUN_TESTS = LOCUM_BUILD='$(abspath $(OUT))' ONLY='$(ONLY)' test/tools/run-tests

test: setup
	@$(MAKE) $(CORES) programs units flow-programs www
	@test/tools/npm-packages test
	@$(RUN_TESTS) tools unit flow www
unit: units
	@$(RUN_TESTS) unit
flow: programs flow-programs www
	@test/tools/npm-packages test
	@$(RUN_TESTS) flow
www-test: programs flow-programs www
	@test/tools/npm-packages test
	@$(RUN_TESTS) www

# test/fuzz/<noun>_fuzz.c begins with what is in test/fuzz/<noun>/ and with what test/fuzz/seeds.c makes for it; a finding is to be put into
# test/fuzz/<noun>/, where the unit tests run it.
FUZZ := $(patsubst test/fuzz/%_fuzz.c,build/fuzz/%,$(wildcard test/fuzz/*_fuzz.c))
FUZZ_SECONDS ?= 60
$(FUZZ): build/fuzz/%: test/fuzz/%_fuzz.c $(BASE) $(AGENT_REPO) repo/marker.c
	@mkdir -p $(@D)
	$(call SAY,fuzz)clang -std=c11 -D_GNU_SOURCE -I. -g -O2 -pthread -fsanitize=fuzzer,address,undefined -fsanitize-coverage-ignorelist=test/fuzz/uncounted -o $@ $^ $(call libraries,libzstd $(LIBS_BASE))
build/fuzz/seeds: build/obj/test/fuzz/seeds.o build/repo.a build/base.a
	@mkdir -p $(@D)
	$(call SAY,link)$(LINK) -o $@ $^ $(call libraries,$(LIBS_REPO))
fuzz: $(FUZZ) build/fuzz/seeds
	@mkdir -p build/fuzz/found/delta build/fuzz/found/packed && build/fuzz/seeds build/fuzz/found
	@for target in $(notdir $(FUZZ)); do \
	    mkdir -p build/fuzz/found/$$target test/fuzz/$$target && \
	    build/fuzz/$$target -max_total_time=$(FUZZ_SECONDS) -max_len=65536 -artifact_prefix=build/fuzz/$$target- \
	        build/fuzz/found/$$target test/fuzz/$$target || exit 1; \
	done

SCALE_DEVICES ?= 100000
scale: programs flow-programs $(BENCH)
	@rm -rf $(OUT)/scale
	@$(BENCH) $(OUT)/scale $(SCALE_DEVICES); ended=$$?; rm -rf $(OUT)/scale; LOCUM_BUILD=$(OUT) node test/bench/adopt.mjs && exit $$ended

# --- the benchmark: programs of one file each -------------------------------------------------------------------------
BENCH_PROGRAMS := $(OUT)/bench/measured $(OUT)/bench/once
$(BENCH_PROGRAMS): $(OUT)/bench/%: $(OBJ)/test/bench/%.o
	@mkdir -p $(@D)
	$(call SAY,link)$(LINK) -o $@ $^ -lcrypto

BENCH_WORDS = $(if $(QUICK),--quick) $(if $(PAIR),--pair '$(PAIR)') $(if $(PART),--part '$(PART)')
bench:
	@! command -v node >/dev/null || node test/bench/bench.mjs --check $(BENCH_WORDS)
	@test/tools/packages bench
	@$(MAKE) $(CORES) programs flow-programs $(BENCH_PROGRAMS)
	@LOCUM_BUILD='$(abspath $(OUT))' node test/bench/bench.mjs $(BENCH_WORDS)

lint:
	@test/tools/packages --check lint
	@test/tools/lint
	@$(MAKE) $(CORES) warnings
warnings: $(call objects,$(BASE) $(REPO) $(DIAGNOSTICS) $(CONSOLE) $(AGENT) $(EXAMPLE) \
    $(wildcard console/main.c agent/main.c test/*/*.c test/flow/*/*.c))
format:
	clang-format -i $$(git ls-files -co --exclude-standard '*.c' '*.h')

# --- run, install, clean ------------------------------------------------------------------------------------------------
run:
	@test/tools/packages run
	@$(MAKE) $(CORES) programs www
	@exec agent/example/run-demo

UNITS_SYSTEMD := console/locum.service agent/locum-agent.service agent/locum-agent-keep.service
install: all
	install -d '$(DESTDIR)$(bindir)' '$(DESTDIR)$(libdir)' '$(DESTDIR)$(unitdir)' '$(DESTDIR)$(wwwdir)' '$(DESTDIR)$(includedir)'
	install -m 0755 $(OUT)/locum $(OUT)/locum-agent '$(DESTDIR)$(bindir)/'
	install -m 0644 $(TLS) '$(DESTDIR)$(libdir)/'
	install -m 0644 agent/include/locum_marker.h '$(DESTDIR)$(includedir)/'
	rm -rf '$(DESTDIR)$(wwwdir)' && cp -r --no-preserve=ownership build/www '$(DESTDIR)$(wwwdir)'
	for unit in $(UNITS_SYSTEMD); do \
	    sed 's|@bindir@|$(bindir)|g' $$unit.in > '$(DESTDIR)$(unitdir)'/$${unit##*/} || exit 1; \
	done
	@# A narrow umask, now or when the pages were built, is for whoever types this, not for what is installed.
	chmod -R u=rwX,go=rX '$(DESTDIR)$(wwwdir)'
	chmod 0644 $(foreach unit,$(UNITS_SYSTEMD),'$(DESTDIR)$(unitdir)/$(notdir $(unit))')

clean:
	rm -rf build

-include $(shell find $(OBJ) -name '*.d' 2>/dev/null)
