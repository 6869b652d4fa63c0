#!/usr/bin/env bash
# Runs every benchmark program of a build folder, then the speed that routing gives at the size of configs/mod.toml.
set -euo pipefail
cd "$(dirname "$0")/.."
build=${1:-build/release}
for program in "$build"/bench/*_bench; do
  [ -x "$program" ] || continue
  printf '\n== %s\n' "$(basename "$program")"
  "$program"
done
printf '\n== training step: Mixture-of-Depths against dense\n'
"$build/pointwork" bench step configs/mod.toml --against configs/dense.toml
