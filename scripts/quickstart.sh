#!/usr/bin/env bash
# A first Mixture-of-Depths model and its dense twin, from a corpus to a page that shows them. `make quickstart` builds first.
#
#   scripts/quickstart.sh            the King James Bible (Debian's bible-kjv)
#   DATA=folder scripts/quickstart.sh   your own text files
#
# Everything lies in quickstart/NAME; running it again goes on where it stopped.
set -euo pipefail
cd "$(dirname "$0")/.."

pointwork=${POINTWORK:-build/release/pointwork}
data=${DATA:-}
name=bible
[ -n "$data" ] && name=$(basename "$(realpath "$data")")
folder=quickstart/$name
say() { printf '\n\033[1m== %s\033[0m\n' "$*"; }
[ -t 1 ] && [ -z "${NO_COLOR:-}" ] || say() { printf '\n== %s\n' "$*"; }
die() { printf 'quickstart: error: %s\n' "$*" >&2; exit 1; }

[ -x "$pointwork" ] || die "$pointwork is not built; run \`make quickstart\`, or \`make build\` first"
mkdir -p "$folder"

say "1/6  The corpus"
if [ -n "$data" ]; then
  [ -e "$data" ] || die "DATA=$data: no such file or folder"
  corpus=$data
  echo "your text: $data"
else
  corpus=$folder/corpus.txt
  if [ ! -s "$corpus" ]; then
    bible=$(command -v bible || ls /usr/games/bible 2>/dev/null || true)
    [ -n "$bible" ] || die "the program \`bible\` (Debian package bible-kjv) is missing; run \`scripts/setup.sh --corpus\`, or give DATA=folder"
    # One verse a line; a chapter is a document.
    "$bible" -f "gen1:1-rev22:21" </dev/null | awk '{
        chapter = $1; sub(/:.*/, "", chapter); sub(/^[^ ]+ /, "")
        if (NR > 1 && chapter != last) print "<|endoftext|>"
        last = chapter; print }' > "$corpus.tmp"
    [ -s "$corpus.tmp" ] || die "\`$bible\` printed no text"
    mv "$corpus.tmp" "$corpus"
  fi
  echo "the King James Bible: $(wc -w < "$corpus") words, a document a chapter"
fi

say "2/6  A tokenizer, learned from it"
[ -e "$folder/tokenizer/tokenizer.json" ] || "$pointwork" tokenizer train "$corpus" --vocab-size 2048 --out "$folder/tokenizer"
"$pointwork" tokenizer info "$folder/tokenizer"

say "3/6  The data set"
[ -e "$folder/data/dataset.json" ] || "$pointwork" prepare "$corpus" --tokenizer "$folder/tokenizer" --out "$folder/data" --validation 0.02
"$pointwork" inspect "$folder/data"

say "4/6  Training: Mixture-of-Depths, then its dense twin on equal FLOPs"
for twin in mod dense; do
  echo "-- $twin"
  "$pointwork" train "configs/quickstart-$twin.toml" --data "$folder/data" --out "$folder/$twin"
done

say "5/6  What the saving is worth on this machine"
if [ ! -s "$folder/mod/bench.json" ]; then
  vocabulary=$(awk -F'= ' '/^vocab_size/ {print $2}' "$folder/mod/pointwork.toml")
  "$pointwork" bench step configs/quickstart-mod.toml --against configs/quickstart-dense.toml --model.vocab_size="$vocabulary" \
    --seconds 15 --json > "$folder/mod/bench.json.tmp"
  mv "$folder/mod/bench.json.tmp" "$folder/mod/bench.json"
fi
"$pointwork" report "$folder/mod" "$folder/dense" --out "$folder/report.html" --force --quiet

say "6/6  What it writes: each word's colour says how many routed blocks its tokens entered"
prompt=${PROMPT:-"And the LORD said unto"}
"$pointwork" sample "$folder/mod" --prompt "$prompt" --max-new-tokens 120 --temperature 0.7 --top-p 0.9 --show-routing

words() { tr -cs "[:alpha:]" '\n' | tr '[:upper:]' '[:lower:]' | grep -v '^$' || true; }
known=$(mktemp); trap 'rm -f "$known"' EXIT
find -L "$corpus" -type f -exec cat {} + | words | sort -u > "$known"
sampled=$("$pointwork" sample "$folder/mod" --prompt "$prompt" --max-new-tokens 200 --temperature 0.7 --top-p 0.9 --quiet | words)
total=$(printf '%s\n' "$sampled" | wc -l)
found=$(printf '%s\n' "$sampled" | grep -cxFf "$known" || true)
echo
echo "$((100 * found / total)) % of $total sampled words are words of the corpus."

cat <<EOF

The page with curves, routing and speed:  $folder/report.html

Next:
  $pointwork sample $folder/mod --prompt "In the beginning" --show-routing
  $pointwork eval $folder/mod --data $folder/data
  $pointwork flops configs/mod.toml
EOF
