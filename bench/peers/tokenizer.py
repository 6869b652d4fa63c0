#!/usr/bin/env python3
"""Encoding and learning here against tiktoken and Hugging Face's tokenizers, in turns within one run; ratios above 1 mean that Pointwork is faster.

usage: bench/peers/tokenizer.py [--bench build/release/bench/tokenizer_bench] [--megabytes N] [--rounds N] [--json]

Text and GPT-2's tokenizer are those of the data folder ($POINTWORK_DATA, else ../shared/data). Encoding is on one thread everywhere, learning
(8,192 tokens) on all. The best round of each counts. Needs `scripts/setup.sh --tests`.
"""

import argparse
import json
import lzma
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import needs

ROOT = pathlib.Path(__file__).resolve().parents[2]
DATA = pathlib.Path(os.environ.get("POINTWORK_DATA") or ROOT.parent / "shared" / "data")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")


def timed(work):
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench", default=str(ROOT / "build" / "release" / "bench" / "tokenizer_bench"))
    parser.add_argument("--megabytes", type=float, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    needs.modules("--tests", "tiktoken", "tokenizers")
    import tiktoken
    from tiktoken.load import data_gym_to_mergeable_bpe_ranks
    from tiktoken_ext.openai_public import r50k_pat_str
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    folder = DATA / "gpt2-tokenizer"
    if not (folder / "tokenizer.json.xz").exists():
        sys.exit(f"tokenizer.py: error: there is no gpt2-tokenizer in {DATA}")
    with lzma.open(DATA / "wikipedia-en" / "wiki.train.txt.xz") as file:
        data = file.read(int(arguments.megabytes * 1e6))
    data = data[:data.rindex(b"\n") + 1]
    text, megabytes = data.decode(), len(data) / 1e6
    small = text[:2_000_000]  # for the slowest

    with tempfile.TemporaryDirectory(prefix="pointwork-peers-") as scratch:
        scratch = pathlib.Path(scratch)
        (scratch / "text.txt").write_bytes(data)
        (scratch / "gpt2.json").write_bytes(lzma.decompress((folder / "tokenizer.json.xz").read_bytes()))
        ranks = data_gym_to_mergeable_bpe_ranks(str(folder / "vocab.bpe"), str(folder / "encoder.json"))
        gpt2 = tiktoken.Encoding("gpt2", pat_str=r50k_pat_str, mergeable_ranks=ranks, special_tokens={"<|endoftext|>": 50256})
        hugging_face = Tokenizer.from_file(str(scratch / "gpt2.json"))

        def learn_there():
            theirs = Tokenizer(models.BPE())
            theirs.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
            theirs.train_from_iterator(text.splitlines(keepends=True), trainers.BpeTrainer(
                vocab_size=8192, special_tokens=["<|endoftext|>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
                show_progress=False))

        rates, learning = {"pointwork": [], "tiktoken": [], "tokenizers": []}, {"pointwork": [], "tokenizers": []}
        for number in range(arguments.rounds):
            command = [arguments.bench, "--json", str(scratch / "text.txt"), str(scratch / "gpt2.json")]
            result = subprocess.run(command, capture_output=True, text=True)
            if result.returncode != 0:
                sys.exit(f"tokenizer.py: error: {' '.join(command)}: {result.stderr.strip()}")
            ours = json.loads(result.stdout)
            rates["pointwork"].append(ours["encode_bytes_per_second"] / 1e6)
            learning["pointwork"].append(ours["learn_seconds"])
            rates["tiktoken"].append(megabytes / timed(lambda: gpt2.encode_ordinary(text)))
            rates["tokenizers"].append(len(small.encode()) / 1e6 / timed(lambda: hugging_face.encode(small)))
            learning["tokenizers"].append(timed(learn_there))
            print(f"round {number + 1}/{arguments.rounds} done", file=sys.stderr)

    best = {name: max(all_of) for name, all_of in rates.items()}
    fastest = {name: min(all_of) for name, all_of in learning.items()}
    if arguments.json:
        print(json.dumps({"megabytes": megabytes, "encode_megabytes_per_second": best, "learn_seconds": fastest}))
        return
    print(f"{megabytes:.1f} MB of English Wikipedia, GPT-2's tokenizer; learning 8,192 tokens on {len(os.sched_getaffinity(0))} threads")
    print(f"{'':12}{'encode':>12}{'ratio':>8}{'learn':>10}{'ratio':>8}")
    for name, rate in best.items():
        learnt = f"{fastest[name]:8.2f} s{fastest[name] / fastest['pointwork']:8.2f}" if name in fastest else ""
        print(f"{name:12}{rate:7.1f} MB/s{best['pointwork'] / rate:8.2f}{learnt}")


if __name__ == "__main__":
    main()
