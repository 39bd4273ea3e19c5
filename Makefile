# SPDX-License-Identifier: MIT
#
# The front door. meson builds the programs, the scripts in images/ what they boot; this file only
# names the usual ways through them.
#
#   make              build the programs
#   make run          boot a microVM, run a hello container in it, stay up until Ctrl-C
#   make image        build the container image IMAGE, with the Docker engine of DOCKER_HOST
#   make images       build what it boots: the guest's kernel (once, about 15 CPU-minutes) and rootfs
#   make test         all tests but the long ones          make soak    the long ones
#   make bench        measure                              make fuzz    FUZZ_SECONDS each
#   make format       format the C sources                 make check   check-format, tidy, shellcheck
#   make docs         write what --help says into docs/dinv.1 and README.md
#   make install      DESTDIR, PREFIX                      make clean
#
# BUILD: the build directory; with endings (-asan, -clang, -fuzz) also those of other builds.
# BASE: auto, alpine, debian or a tar (images/rootfs/base --help).
# KERNEL_SOURCE: release, newest or a version (images/kernel/build --help).
# MACHINES: those that a kernel is built for, qemu and/or uml, or auto (images/assemble --help).
# IMAGE: name of the container image; PLUGINS=no leaves docker buildx and compose out of it.
# All variables reach the recipes through the environment, so that paths may contain spaces.

export BUILD ?= build
export BASE ?= auto
export KERNEL_SOURCE ?= release
MACHINES ?= qemu
export IMAGE ?= dinv
export PLUGINS ?= yes
export PREFIX ?= /usr
export DESTDIR ?=
export FUZZ_SECONDS ?= 60
MESON_OPTIONS ?=

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c

rooms := launcher guest confine ext4 images mountinfo qmp relay usernet wire tests
c_sources := find $(rooms) -name '*.c' -print0
c_files := find $(rooms) -name '*.[ch]' -print0
scripts := grep -rlIZ --exclude-dir='build*' -m 1 '^\#!/bin/bash' $(rooms) .ci

.PHONY: all dependencies test-dependencies setup image images run test soak bench fuzz format check \
    check-format tidy shellcheck docs install clean

all: setup
	@ninja -C "$$BUILD"

dependencies:
	@images/install-dependencies

test-dependencies:
	@images/install-dependencies --tests

setup: dependencies
	@[[ -e $$BUILD/build.ninja ]] || meson setup --prefix "$$PREFIX" $(MESON_OPTIONS) "$$BUILD"

images: all
	@images/assemble "$$BUILD" --base "$$BASE" --source "$$KERNEL_SOURCE" \
	    $(addprefix --machine ,$(MACHINES))

image: images
	@images/container/build "$$BUILD" --tag "$$IMAGE" --base "$$BASE" --source "$$KERNEL_SOURCE" \
	    $$([[ $$PLUGINS != no ]] || echo --without-plugins)

test soak bench install: MACHINES = qemu uml
run: MACHINES = auto

run: images
	@tests/demo/run "$$BUILD"

test: test-dependencies images
	@tests/run-suites "$$BUILD" unit fuzz \
	    integration,integration-as-user,integration-tcg-mounts+container,integration-tcg,unit-asan

soak: test-dependencies images
	@tests/run-suites "$$BUILD" soak

bench: test-dependencies images
	@tests/bench/run "$$BUILD"

fuzz: test-dependencies
	@tests/fuzz/run "$$BUILD-fuzz" "$$FUZZ_SECONDS"

format: test-dependencies
	@$(c_files) | xargs -0 clang-format -i

check: check-format tidy shellcheck

check-format: test-dependencies
	@$(c_files) | xargs -0 clang-format --dry-run --Werror

tidy: test-dependencies all
	@$(c_sources) | xargs -0 tests/tidy "$$BUILD"

shellcheck: test-dependencies
	@{ $(scripts); printf '%s\0' images/container/programs/*; } | xargs -0 shellcheck -x

docs: setup
	@ninja -C "$$BUILD" docs

install: images
	@meson install -C "$$BUILD" --no-rebuild $${DESTDIR:+--destdir "$$(realpath -m -- "$$DESTDIR")"}
	@install -D -m 644 "$$BUILD/images/vmlinux" "$$DESTDIR$$PREFIX/lib/dinv/vmlinux"
	@install -D -m 755 "$$BUILD/images/linux-uml" "$$DESTDIR$$PREFIX/lib/dinv/linux-uml"
	@install -D -m 644 "$$BUILD/images/rootfs.ext4" "$$DESTDIR$$PREFIX/lib/dinv/rootfs.ext4"

clean:
	@rm -rf -- "$$BUILD" "$$BUILD"-{asan,clang,fuzz}
