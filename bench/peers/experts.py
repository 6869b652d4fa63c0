#!/usr/bin/env python3
"""A layer of top-1 experts here against plain PyTorch on the same work, in turns within one run; ratios above 1 mean that Pointwork is faster.

usage: .venv/bin/python bench/peers/experts.py [--bench build/release/bench/experts_bench] [--type float32|bfloat16] [--experts E]
                                               [--rounds N] [--repeats N] [--threads N] [--json]

PyTorch's layer is that of Hugging Face's Switch Transformers: parameters of their own for each expert, a loop over the experts that have tokens,
index_select before each and a weighted index_add_ after it. Forward and backward, new routes every time, beside a dense mlp of the same FLOPs.
Needs `scripts/setup.sh --oracles`.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
WIDTH, HIDDEN = 512, 2048


class Peer:
    """One case on PyTorch: the layer, the dense mlp, and their seconds."""

    def __init__(self, torch, case, dtype):
        self.torch, self.case = torch, case
        make = lambda *shape: (torch.randn(*shape) * 0.02).to(dtype).requires_grad_()
        self.experts = [(make(HIDDEN, WIDTH), make(WIDTH, HIDDEN)) for _ in range(case["experts"])]
        self.dense = make(HIDDEN, WIDTH), make(WIDTH, HIDDEN)
        self.x = torch.randn(case["tokens"], WIDTH).to(dtype).requires_grad_()
        self.gradient = torch.randn(case["tokens"], WIDTH).to(dtype)

    def mlp(self, x, weights):
        F = self.torch.nn.functional
        return F.linear(F.gelu(F.linear(x, weights[0]), approximate="tanh"), weights[1])

    def routed(self, expert, weight):
        out = self.torch.zeros_like(self.x)
        for e in self.torch.unique(expert).tolist():
            rows = (expert == e).nonzero().squeeze(1)
            y = self.mlp(self.x.index_select(0, rows), self.experts[e])
            out = out.index_add_(0, rows, (y * weight.index_select(0, rows).unsqueeze(1)).to(out.dtype))
        return out

    def timed(self, forward):
        begin = time.perf_counter()
        forward().backward(self.gradient)
        seconds = time.perf_counter() - begin
        for leaf in [self.x, *self.dense, *(w for pair in self.experts for w in pair)]:
            leaf.grad = None
        return seconds

    def round(self):
        """Seconds of the layer and of the dense mlp."""
        torch, tokens = self.torch, self.case["tokens"]
        expert = torch.randint(0, self.case["experts"], (tokens,))
        expert[torch.rand(tokens) < self.case["hot"]] = 0
        weight = torch.rand(tokens).requires_grad_()
        return self.timed(lambda: self.routed(expert, weight)), self.timed(lambda: self.mlp(self.x, self.dense))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench", default=str(ROOT / "build" / "release" / "bench" / "experts_bench"))
    parser.add_argument("--type", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--experts", type=int, default=0, help="only the cases of so many experts")
    parser.add_argument("--rounds", type=int, default=2, help="turns of both sides")
    parser.add_argument("--repeats", type=int, default=7, help="steps of each case in a turn")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    try:
        import torch
    except ImportError as error:
        sys.exit(f"experts.py: error: Python cannot import torch ({error}); run scripts/setup.sh --oracles")
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(1)
    dtype = getattr(torch, arguments.type)

    cases = []
    for number in range(arguments.rounds):
        command = [arguments.bench, "--json", "--type", arguments.type, "--experts", str(arguments.experts), "--rounds", str(arguments.repeats)]
        result = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": str(arguments.threads)})
        if result.returncode != 0:
            sys.exit(f"experts.py: error: {' '.join(command)}: {result.stderr.strip()}")
        ours = json.loads(result.stdout)["training"]
        if not cases:
            cases = [{"tokens": o["tokens"], "experts": o["experts"], "hot": o["hot"], "ours": [], "ours_ratio": [], "theirs": [], "theirs_ratio": []}
                     for o in ours]
        for case, our in zip(cases, ours):
            case["ours"].append(our["experts_seconds"])
            case["ours_ratio"].append(our["ratio"])
            peer = Peer(torch, case, dtype)
            peer.round()
            for routed, dense in (peer.round() for _ in range(arguments.repeats)):
                case["theirs"].append(routed)
                case["theirs_ratio"].append(routed / dense)
        print(f"round {number + 1}/{arguments.rounds} done", file=sys.stderr)

    middle = statistics.median
    rows = [{**{k: c[k] for k in ("tokens", "experts", "hot")}, "pointwork_seconds": middle(c["ours"]), "pytorch_seconds": middle(c["theirs"]),
             "ratio": middle(c["theirs"]) / middle(c["ours"]), "pointwork_to_dense": middle(c["ours_ratio"]),
             "pytorch_to_dense": middle(c["theirs_ratio"])} for c in cases]
    if arguments.json:
        print(json.dumps({"type": arguments.type, "threads": arguments.threads, "torch": torch.__version__, "cases": rows}))
        return
    print(f"{arguments.type}, {arguments.threads} threads, PyTorch {torch.__version__}")
    print(f"{'':26}{'pointwork':>13}{'pytorch':>13}{'ratio':>8}   to its own dense mlp: pointwork, pytorch")
    for r in rows:
        name = f"T {r['tokens']}, E {r['experts']}" + (f", {r['hot']:.0%} to one" if r["hot"] else "")
        print(f"{name:26}{1e3 * r['pointwork_seconds']:10.1f} ms{1e3 * r['pytorch_seconds']:10.1f} ms{r['ratio']:7.2f}×"
              f"{r['pointwork_to_dense']:25.3f}×{r['pytorch_to_dense']:9.3f}×")


if __name__ == "__main__":
    main()
