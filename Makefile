# `make` only calls scripts/setup (what the machine lacks) and xtask (everything else).
#   make up     build, start the platform here, end with the workspace `hello` running
#   make down   end it and every workspace, and leave nothing behind on the machine
#   make test   everything that CI runs
#   make check  the part of it that runs no test
#   make kvm    the product's tests in an emulated machine where KVM works
#   make bench  what a workspace costs beside plain QEMU
# More words for the command: make up ARGS="--detach"

export PATH := $(or $(CARGO_HOME),$(HOME)/.cargo)/bin:$(PATH):/usr/sbin:/sbin
ARGS ?=

.PHONY: up down test check kvm bench

up:
	@scripts/setup
	@cargo xtask up $(ARGS)

down:
	@cargo xtask down $(ARGS)

test:
	@scripts/setup --dev
	@cargo xtask test $(ARGS)

check:
	@scripts/setup --dev
	@cargo xtask check $(ARGS)

kvm:
	@scripts/setup --dev
	@cargo xtask kvm $(ARGS)

bench:
	@scripts/setup --dev
	@cargo xtask bench workspace $(ARGS)
