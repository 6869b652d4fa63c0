#!/usr/bin/env python3
"""Loading the same weights here, by safetensors and by transformers, in turns within one run; ratios above 1 mean that Pointwork is faster.

usage: bench/peers/checkpoint.py FOLDER [--bench build/release/bench/checkpoint_bench] [--rounds N] [--json]

FOLDER is a Hugging Face folder of a class that both know, read from the page cache; experiments/smollm2.py makes one. The best round of each counts.
Pointwork and transformers build the model; safetensors only reads the tensors, each copied out of the mapped file. Needs `scripts/setup.sh --oracles`.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import time

import needs

ROOT = pathlib.Path(__file__).resolve().parents[2]


def timed(work):
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--bench", default=str(ROOT / "build" / "release" / "bench" / "checkpoint_bench"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    needs.modules("--oracles", "torch", "transformers", "safetensors")
    import torch
    import transformers
    from safetensors import safe_open
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    files = sorted(options.folder.glob("*.safetensors"))
    if not files:
        sys.exit(f"checkpoint.py: error: there is no *.safetensors in {options.folder}")
    gigabytes = sum(file.stat().st_size for file in files) / 1e9

    def read():
        for file in files:
            with safe_open(file, framework="pt") as tensors:
                for name in tensors.keys():
                    tensors.get_tensor(name).clone()

    def build():
        transformers.AutoModelForCausalLM.from_pretrained(options.folder, dtype="auto")

    rates = {"pointwork": 0.0, "safetensors": 0.0, "transformers": 0.0, "copying": 0.0}
    for number in range(options.rounds):
        result = subprocess.run([options.bench, "--json", str(options.folder)], capture_output=True, text=True)
        if result.returncode != 0:
            sys.exit(f"checkpoint.py: error: {options.bench}: {result.stderr.strip()}")
        ours = json.loads(result.stdout)[0]
        for name, rate in (("pointwork", ours["bytes_per_second"] / 1e9), ("copying", ours["copy_bytes_per_second"] / 1e9),
                           ("safetensors", gigabytes / timed(read)), ("transformers", gigabytes / timed(build))):
            rates[name] = max(rates[name], rate)
        print(f"round {number + 1}/{options.rounds} done", file=sys.stderr)

    if options.json:
        print(json.dumps({"gigabytes": gigabytes, "gigabytes_per_second": rates}))
        return
    print(f"{gigabytes:.2f} GB from the page cache, torch {torch.__version__}, transformers {transformers.__version__}, {torch.get_num_threads()} threads")
    for name, rate in rates.items():
        print(f"{name:14}{rate:7.2f} GB/s{rates['pointwork'] / rate:8.2f}")


if __name__ == "__main__":
    main()
