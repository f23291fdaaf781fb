# `make` only calls scripts/setup (what the machine lacks) and xtask (everything else).
#   make up     build, start the platform here, end with the workspace `hello` running
#   make down   end it and every workspace, and leave nothing behind on the machine
#   make test   everything that CI runs
#   make check  the part of it that runs no test
# More words for the command: make up ARGS="--detach"

export PATH := $(or $(CARGO_HOME),$(HOME)/.cargo)/bin:$(PATH):/usr/sbin:/sbin
ARGS ?=

.PHONY: up down test check

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
