# Thin: each target does its own set-up and calls CMake or a script.
.DEFAULT_GOAL := help
.PHONY: help quickstart build test parity bench format check clean

PRESET ?= release
# A compile of LibTorch's headers takes up to 2 GB.
JOBS ?= $(shell awk -v cores=$$(nproc) '/^MemAvailable/ {n = int($$2 / 2e6); print n < 1 ? 1 : n < cores ? n : cores}' /proc/meminfo)

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' Makefile

quickstart: ## prepare, train, sample and show a first model; DATA=folder for your own text
	scripts/setup.sh $(if $(DATA),,--corpus)
	cmake --preset release
	cmake --build --preset release -j $(JOBS)
	scripts/quickstart.sh

build: ## the program, build/PRESET/pointwork; PRESET=release, debug or asan
	scripts/setup.sh $(if $(filter-out release,$(PRESET)),--tests)
	cmake --preset $(PRESET)
	cmake --build --preset $(PRESET) -j $(JOBS)

test: ## build and run every test; PRESET=debug or asan for these builds
	scripts/setup.sh --tests
	cmake --preset $(PRESET:release=test)
	cmake --build --preset $(PRESET:release=test) -j $(JOBS)
	scripts/run_tests.py build/$(PRESET)

parity: ## compare with Hugging Face's transformers on fresh models of every class (installs about 6 GB)
	scripts/setup.sh --tests --oracles
	cmake --preset test
	cmake --build --preset test -j $(JOBS) --target pointwork test_checkpoint
	.venv/bin/python tests/checkpoint/parity_live.py build/release

bench: ## run the benchmarks: ratios to peers and to the arithmetic floor
	scripts/setup.sh --tests
	cmake --preset test
	cmake --build --preset test -j $(JOBS)
	scripts/run_benches.sh build/release

format: ## clang-format every source
	scripts/setup.sh --checks
	scripts/check_format.sh --fix

check: ## format, layering and what the repository may hold
	scripts/setup.sh --checks
	scripts/check_format.sh
	scripts/check_layering.py
	scripts/check_repository.py

clean: ## remove build/ (.venv and quickstart/ stay)
	rm -rf build
