# SPDX-License-Identifier: GPL-2.0
# For people. What kbuild builds is in Kbuild; the work is done in scripts/.

KDIR ?= /lib/modules/$(shell uname -r)/build
# The usual kbuild variables (ARCH, CROSS_COMPILE, KERNELRELEASE, LLVM, W, C, V)
# may be given on the command line; make hands them on by itself.

help: ## print this list
	@awk -F ':.*## ' '/^[a-z_-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo 'Variables: KDIR=<kernel build directory> W=1 C=2 ARCH= CROSS_COMPILE= LLVM=1'

# Says what would have worked, where there is nothing to build with.
have-kdir:
	@[ -e "$(KDIR)/Makefile" ] || { echo "no kernel headers in $(KDIR): install the package" \
		"(linux-headers-$$(uname -r) on Debian), or name another directory with KDIR=" >&2; exit 1; }

modules: have-kdir ## build the module for the kernel in KDIR (default: the running one)
	$(MAKE) -C $(KDIR) M=$(CURDIR) modules

modules_install: have-kdir ## install the module for the kernel in KDIR (as root)
	$(MAKE) -C $(KDIR) M=$(CURDIR) modules_install

tools: ## build buddyctl and its library
	$(MAKE) -C tools

install: ## install buddyctl, its library, headers and manual (as root); DESTDIR= PREFIX=/usr/local
	$(MAKE) -C tools install

DKMS_NAME = buddy_pool/$(shell sed -n 's/^PACKAGE_VERSION="\(.*\)"/\1/p' dkms.conf)

dkms: ## have DKMS build the module for this kernel and each later one (as root)
	-dkms remove $(DKMS_NAME) --all 2>/dev/null
	rm -rf /usr/src/$(subst /,-,$(DKMS_NAME))
	dkms add .
	dkms install $(DKMS_NAME)

host-test: ## test the allocator core in user space
	@scripts/deps host
	$(MAKE) -C tests/host test

kunit: ## run the KUnit tests on User Mode Linux 6.1
	@scripts/deps build vm
	@scripts/kunit

vmtest: ## run the tests in a guest with Debian's own kernel
	@scripts/deps build tools vm
	@scripts/vm

seeded: ## plant bugs, one at a time, and show which test catches each; SEED=name: only that one
	@scripts/deps build tools vm
	@scripts/seeded $(SEED)

rows: ## print how much of the test catalogue is covered; V=1: and what is not
	@scripts/rows $(if $(V),V=$(V))

demo: ## show it at work in a guest
	@scripts/demo

bench: ## measure against gpu_buddy and gen_pool, in User Mode Linux
	@scripts/deps build bench
	@scripts/bench

check: ## run all checkers: style, sparse, kernel-doc, shellcheck
	@scripts/deps build tools check
	@scripts/check

fuzz: ## CALLS=10000000: so many calls at random with a model, and as many with four threads; SEED=
	@scripts/deps build tools vm
	@scripts/vm --suite fuzz --timeout $$(($(CALLS) / 1000 + 300)) \
		--append 'fuzz_calls=$(CALLS)$(if $(SEED), fuzz_seed=$(SEED))'
fuzz: CALLS ?= 10000000

coverage: ## which lines of the module the tests in a guest reach
	@scripts/deps build tools vm
	@scripts/coverage

gate: ## plant faults, and see that the tests in a guest notice
	@scripts/deps build tools vm
	@scripts/gate

test: ## everything that CI runs; ends with 'N passed, N failed'
	@scripts/test

test-all: ## the same, longer, and on every kernel
	@scripts/test --all

clean: ## remove what was built here; the cache stays
	if [ -e $(KDIR)/Makefile ]; then $(MAKE) -C $(KDIR) M=$(CURDIR) clean; fi
	if [ -e tools/Makefile ]; then $(MAKE) -C tools clean; fi
	if [ -e examples/Makefile ]; then $(MAKE) -C examples clean; fi
	if [ -e tests/host/Makefile ]; then $(MAKE) -C tests/host clean; fi

.PHONY: help have-kdir modules modules_install tools install dkms host-test kunit vmtest seeded rows demo bench check fuzz \
	coverage gate test test-all clean
