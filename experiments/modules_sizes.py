#!/usr/bin/env python3
"""What a compressed Mixture-of-Modules saves at the sizes of GPT-2: parameters, FLOPs, key-value cache and memory of a training step, counted, not run.

usage: experiments/modules_sizes.py [--program PATH]

Each dense model becomes one layer, two pools, a layer after each, one layer: of 12, 24 and 36 layers pools of 4, 10 and 16 modules, 2, 4 and 5 rounds, so that
8, 12 and 14 layers are executed. Two modules a round, routers of 256. The sizes of the paper's pools are not known; these are ours.
"""

import argparse
import json
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[1]
SIZES = {"small": (768, 12, 12, 4, 2), "medium": (1024, 16, 24, 10, 4), "large": (1280, 20, 36, 16, 5)}


def figures(program, config, *overrides):
    command = [program, "flops", str(ROOT / "configs" / config), "--sequence", "1024", "--json", *map(str, overrides)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default=str(ROOT / "build" / "release" / "pointwork"))
    program = parser.parse_args().program
    print("| size | layers, executed | parameters | forward FLOPs a token | of them routers | key-value cache | memory of a training step |")
    print("|---|---|---|---|---|---|---|")
    for name, (width, heads, layers, modules, rounds) in SIZES.items():
        common = [f"--model.hidden_size={width}", "--model.vocab_size=50257", "--model.max_position_embeddings=1024", "--train.batch_size=1",
                  "--train.sequence_length=1024", f"--branch.attention.num_attention_heads={heads}"]
        dense = figures(program, "dense.toml", *common, f"--model.num_hidden_layers={layers}")
        routes = [f"--branch.{route}.{key}" for route in ("mha.projection_route", "ffn.route") for key in (f"num_experts={modules}", "router_size=256")]
        small = figures(program, "mom_compressed.toml", *common, f"--branch.mha.num_attention_heads={heads}", f"--branch.mom.times={rounds}",
                        *routes)
        routers = sum(part["flops"] for part in small["parts"] if ".router" in part["name"])
        change = lambda key: f"{100 * (small[key] / dense[key] - 1):+.0f} %"  # noqa: E731
        flops = small["flops_per_token"]["forward"], dense["flops_per_token"]["forward"]
        print(f"| {name} | {layers} → {4 + 2 * rounds} | {dense['parameters'] / 1e6:.1f} M {change('parameters')} | {flops[1] / 1e6:.0f} M "
              f"{100 * (flops[0] / flops[1] - 1):+.0f} % | {100 * routers / flops[0]:.1f} % | {change('kv_bytes_per_token')} | {change('memory_bytes')} |")


if __name__ == "__main__":
    main()
