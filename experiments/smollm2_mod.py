#!/usr/bin/env python3
"""A pretrained model made a Mixture-of-Depths: SmolLM2-135M-Instruct, whose every other block goes from all tokens to an eighth of them while it trains.

usage: experiments/smollm2_mod.py [--steps N] [--threads N] [--table]

Needs the checkpoint of experiments/smollm2.py (made where it is not there). Compares the loss of the dense model with that of the converted one at its first
step, trains on the first megabytes of Wikipedia while the capacity falls, and prints loss against capacity as Markdown; the run's report.html draws it.
About twenty minutes on two cores. A run that was interrupted goes on.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys

import suite

ROOT = pathlib.Path(__file__).resolve().parents[1]
LENGTH, CAPACITY = 512, 0.125


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default=str(ROOT / "build" / "release" / "pointwork"))
    parser.add_argument("--out", default=str(ROOT / "runs" / "smollm2"), help="checkpoint, data set and run; what is there is used")
    parser.add_argument("--wikipedia", default=os.path.join(os.environ.get("POINTWORK_DATA", str(ROOT / ".." / "shared" / "data")), "wikipedia-en"))
    parser.add_argument("--steps", type=int, default=640, help=f"of {LENGTH} tokens")
    parser.add_argument("--precision", default="bfloat16")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--table", action="store_true", help="run nothing, print the table of what is there")
    return parser.parse_args()


def loss(work, model, data):
    words = ["eval", model, "--data", data, "--length", LENGTH, "--sequences", 8, "--batch", 2, "--threads", work.options.threads, "--quiet", "--json"]
    return json.loads(work.pointwork(*words, capture=True))["loss"]


def main():
    options = arguments()
    work = suite.Suite(options, ROOT / "experiments" / "small.toml", 0)
    model, start, run = work.out / "model", work.out / "mod", work.out / "run"
    if not options.table:
        if not model.exists():
            subprocess.run([sys.executable, ROOT / "tools" / "gguf_to_huggingface.py", model], check=True)
        # The data set of every experiment, with the model's own tokenizer.
        if not (work.out / "tokenizer").exists():
            (work.out / "tokenizer").mkdir()
            (work.out / "tokenizer" / "tokenizer.json").write_bytes((model / "tokenizer.json").read_bytes())
        data = work.dataset(megabytes=6)
        if not start.exists():
            work.pointwork("convert", model, start, "--to-mod", CAPACITY, "--capacity-steps", 480, "--quiet")
        first = work.out / "first.json"
        if not first.exists():
            first.write_text(json.dumps({"dense": loss(work, model, data), "mod": loss(work, start, data)}))
        work.pointwork("train", start / "pointwork.toml", "--init", start, "--data", data, "--out", run, "--threads", options.threads, f"--train.steps={options.steps}",
                       f"--branch.mod.route.capacity_schedule.steps={options.steps * 3 // 4}",
                       "--train.batch_size=1", f"--train.sequence_length={LENGTH}", f"--train.precision={options.precision}", "--optimizer.learning_rate=1e-4",
                       "--optimizer.weight_decay=0.0", "--schedule.warmup_steps=20", f"--evaluate.every={max(options.steps // 20, 1)}", "--evaluate.sequences=8",
                       f"--checkpoint.every={max(options.steps // 4, 1)}", "--checkpoint.keep_last=1")

    losses = json.loads((work.out / "first.json").read_text())
    print(f"Machine: {suite.machine()}.\n")
    print(f"Dense: {losses['dense']:.6f}; converted, at its first step: {losses['mod']:.6f}; difference {abs(losses['dense'] - losses['mod']):.1e}.\n")
    print("| step | capacity | loss, training routing | loss, inference routing | tokens that enter, inference |")
    print("|---|---|---|---|---|")
    last = None
    for line in (run / "metrics.jsonl").read_text().splitlines():
        last = json.loads(line)
        if last.get("validation_loss_training") is None:
            continue
        capacity = sum(layer["capacity"] for layer in last["layers"]) / len(last["layers"])
        print(f"| {last['step']} | {100 * capacity:.1f} % | {last['validation_loss_training']:.4f} | {last['validation_loss']:.4f} | {100 * last['routed_share']:.1f} % |")
    print(f"\n{last['tokens']:,} tokens in {last['seconds'] / 60:.0f} minutes.")


if __name__ == "__main__":
    main()
