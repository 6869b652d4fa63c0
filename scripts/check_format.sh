#!/usr/bin/env bash
# Fails on sources that clang-format would change, and names them; with --fix it changes them.
set -euo pipefail
cd "$(dirname "$0")/.."

formatter=${CLANG_FORMAT:-clang-format}
command -v "$formatter" >/dev/null || { echo "check_format: error: $formatter is missing; run scripts/setup.sh --checks" >&2; exit 1; }

mapfile -t -d '' sources < <(git ls-files -z --cached --others --exclude-standard -- src apps tests bench |
  grep -zE '\.(cpp|h|cu|cuh)$' | while IFS= read -r -d '' file; do [ ! -e "$file" ] || printf '%s\0' "$file"; done)
[ "${#sources[@]}" -gt 0 ] || { echo "check_format: error: no sources found" >&2; exit 1; }

if [ "${1:-}" = --fix ]; then
  "$formatter" -i "${sources[@]}"
  echo "check_format: ${#sources[@]} files are formatted"
  exit
fi

wrong=0
for file in "${sources[@]}"; do
  if ! "$formatter" --dry-run -Werror "$file" 2>/dev/null; then
    echo "check_format: $file is not formatted"
    wrong=$((wrong + 1))
  fi
done
if [ "$wrong" -gt 0 ]; then
  echo "check_format: error: $wrong of ${#sources[@]} files differ from .clang-format; \`make format\` mends them" >&2
  exit 1
fi
echo "check_format: ${#sources[@]} files agree with .clang-format"
