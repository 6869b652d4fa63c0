#!/usr/bin/env python3
"""A training step here against plain PyTorch on the same model, in turns within one run; ratios above 1 mean that Pointwork is faster.

usage: .venv/bin/python bench/peers/step.py [--program build/release/pointwork] [--precision float32|bfloat16]
                                            [--size tiny|base] [--rounds N] [--seconds S] [--threads N] [--json]

tiny: width 256, 8 layers, 4 heads, 256 tokens, 8 sequences. base: configs/dense.toml and configs/mod.toml as they stand.
Both sides do the same: forward, backward, clipping by the global norm, AdamW on float32 masters; weights and ids are random, which no time
depends on. The routed model is timed beside the dense one on both sides, so that the realised savings can be compared too:
(dense seconds / routed seconds) / (dense FLOPs / routed FLOPs). Needs `scripts/setup.sh --oracles`.
"""

import argparse
import contextlib
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
TINY = ["--model.hidden_size=256", "--model.num_hidden_layers=8", "--branch.attention.num_attention_heads=4",
        "--model.max_position_embeddings=256", "--train.batch_size=8", "--train.sequence_length=256"]
SIZES = {
    "tiny": dict(width=256, layers=8, heads=4, length=256, batch=8, vocab=8192, overrides=TINY),
    "base": dict(width=512, layers=12, heads=8, length=512, batch=4, vocab=8192, overrides=[]),
}
CAPACITY = 0.125


def build(torch, size, routed):
    """A GPT-2 block stack in plain PyTorch; with `routed`, every other block by expert choice with a predictor."""
    nn, F = torch.nn, torch.nn.functional
    d, h = size["width"], size["heads"]

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm1, self.norm2 = nn.LayerNorm(d), nn.LayerNorm(d)
            self.qkv, self.out = nn.Linear(d, 3 * d, bias=False), nn.Linear(d, d, bias=False)
            self.up, self.down = nn.Linear(d, 4 * d, bias=False), nn.Linear(4 * d, d, bias=False)

        def forward(self, x):
            b, s, _ = x.shape
            q, k, v = (t.view(b, s, h, d // h).transpose(1, 2) for t in self.qkv(self.norm1(x)).split(d, 2))
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.out(y.transpose(1, 2).reshape(b, s, d))
            return x + self.down(F.gelu(self.up(self.norm2(x)), approximate="tanh"))

    class Routed(nn.Module):
        def __init__(self):
            super().__init__()
            self.block = Block()
            self.router = nn.Parameter(torch.randn(d) * 0.02)
            self.predictor = nn.Sequential(nn.Linear(d, d // 2), nn.SiLU(), nn.Linear(d // 2, 1))

        def forward(self, x):
            k = -(-int(CAPACITY * 1000 * x.shape[1]) // 1000)
            score = x.float() @ self.router.float()
            index = score.topk(k, dim=1).indices.sort(dim=1).values
            place = index.unsqueeze(2).expand(-1, -1, d)
            chosen = x.gather(1, place)
            delta = (self.block(chosen) - chosen) * score.gather(1, index).unsqueeze(2).to(x.dtype)
            logit = self.predictor(x.detach()).squeeze(2).float()
            target = torch.zeros_like(logit).scatter(1, index, 1.0)
            self.loss = F.binary_cross_entropy_with_logits(logit, target)
            return x.scatter_add(1, place, delta)

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.token, self.position = nn.Embedding(size["vocab"], d), nn.Embedding(size["length"], d)
            self.blocks = nn.ModuleList(Routed() if routed and i % 2 else Block() for i in range(size["layers"]))
            self.norm = nn.LayerNorm(d)
            for p in self.parameters():
                if p.dim() > 1:
                    nn.init.normal_(p, std=0.02)

        def forward(self, ids, target):
            x = self.token(ids) + self.position(torch.arange(ids.shape[1]))
            for block in self.blocks:
                x = block(x)
            logits = F.linear(self.norm(x), self.token.weight)
            loss = F.cross_entropy(logits.view(-1, logits.shape[-1]).float(), target.reshape(-1))
            return loss + sum(block.loss for block in self.blocks if isinstance(block, Routed))

    return Model()


class Peer:
    """One unit of work: a whole training step. bfloat16 by autocast, PyTorch's own way to keep float32 masters."""

    def __init__(self, torch, size, routed, precision):
        torch.manual_seed(1)
        self.torch, self.precision = torch, precision
        self.model = build(torch, size, routed)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-4, betas=(0.9, 0.95), weight_decay=0.1, fused=True)
        self.ids = torch.randint(0, size["vocab"], (size["batch"], size["length"] + 1))

    def step(self):
        half = self.torch.autocast("cpu", self.torch.bfloat16) if self.precision == "bfloat16" else contextlib.nullcontext()
        with half:
            loss = self.model(self.ids[:, :-1], self.ids[:, 1:])
        loss.backward()
        self.torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def seconds(self, limit):
        """Times of steps within `limit` seconds, at least three."""
        times, start = [], time.perf_counter()
        while len(times) < 3 or time.perf_counter() - start < limit:
            begin = time.perf_counter()
            self.step()
            times.append(time.perf_counter() - begin)
        return times


def pointwork(arguments, size, config, seconds):
    """Median seconds of a step, and what `bench step` says besides."""
    command = [arguments.program, "bench", "step", str(ROOT / "configs" / f"{config}.toml"), "--json", "--quiet",
               "--threads", str(arguments.threads), "--precision", arguments.precision, "--seconds", str(seconds), *size["overrides"]]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode != 0:
        sys.exit(f"step.py: error: {' '.join(command)}: {result.stderr.strip()}")
    return json.loads(result.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default=str(ROOT / "build" / "release" / "pointwork"))
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--size", choices=SIZES, default="tiny")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=8, help="for each of the four measurements of a round")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    try:
        import torch
    except ImportError as error:
        sys.exit(f"step.py: error: Python cannot import torch ({error}); run scripts/setup.sh --oracles")
    torch.set_num_threads(arguments.threads)
    size = SIZES[arguments.size]

    peers = {name: Peer(torch, size, name == "mod", arguments.precision) for name in ("dense", "mod")}
    for peer in peers.values():
        peer.seconds(0)
    theirs, ours, facts = {"dense": [], "mod": []}, {"dense": [], "mod": []}, {}
    for round_number in range(arguments.rounds):
        for name, peer in peers.items():
            theirs[name].append(statistics.median(peer.seconds(arguments.seconds)))
            facts[name] = pointwork(arguments, size, name, arguments.seconds + 6)
            ours[name].append(facts[name]["seconds"])
        print(f"round {round_number + 1}/{arguments.rounds} done", file=sys.stderr)

    tokens = size["batch"] * size["length"]
    flops = {name: facts[name]["flops_per_second"] * facts[name]["seconds"] for name in facts}
    peak = max(facts[name]["gemm_peak_flops_per_second"] for name in facts)
    result = {"size": arguments.size, "precision": arguments.precision, "threads": arguments.threads, "torch": torch.__version__,
              "gemm_peak_flops_per_second": peak}
    for name in ours:
        us, them = statistics.median(ours[name]), statistics.median(theirs[name])
        result[name] = {"pointwork_seconds": us, "pytorch_seconds": them, "ratio": them / us,
                        "pointwork_tokens_per_second": tokens / us, "pytorch_tokens_per_second": tokens / them,
                        "floor_seconds": flops[name] / peak, "floor_ratio": flops[name] / peak / us}
    ideal = flops["dense"] / flops["mod"]
    for side in ("pointwork", "pytorch"):
        result[f"{side}_realised_saving"] = result["dense"][f"{side}_seconds"] / result["mod"][f"{side}_seconds"] / ideal
    if arguments.json:
        print(json.dumps(result))
        return
    print(f"{arguments.size}, {arguments.precision}, {arguments.threads} threads, PyTorch {torch.__version__} eager, "
          f"matrix products reach {peak / 1e9:.0f} GFLOP/s")
    print(f"{'':8}{'pointwork':>16}{'pytorch':>16}{'ratio':>8}{'floor / pointwork':>20}")
    for name in ours:
        r = result[name]
        print(f"{name:8}{r['pointwork_tokens_per_second']:10.0f} tok/s{r['pytorch_tokens_per_second']:10.0f} tok/s{r['ratio']:8.3f}{r['floor_ratio']:20.3f}")
    print(f"realised saving: pointwork {result['pointwork_realised_saving']:.3f}, pytorch {result['pytorch_realised_saving']:.3f} of the ideal {ideal:.3f}")


if __name__ == "__main__":
    main()
