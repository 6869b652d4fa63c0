#!/usr/bin/env python3
"""What do experts buy, and do their gains add to those of Mixture-of-Depths? Small models on equal training FLOPs.

usage: experiments/token_choice.py [--threads N] [--seeds 1 2 3] [--only NAME ...] [--table]

Dense; Switch with 2, 8 and 32 experts, two experts a token, three capacity factors, a bfloat16 router; Mixture-of-Depths by expert choice and by
token choice; staged and integrated Mixture-of-Depths-and-Experts, and experts whose capacity is shrunk instead; the 8-expert model distilled into
the dense one. 1e13 training FLOPs a run, two to five minutes on two cores. Runs that were interrupted go on. Prints tables as Markdown.
"""

import json
import pathlib

import suite

HERE = pathlib.Path(__file__).resolve().parent


def layers(name):
    return f'--model.layers=["dense", "{name}"]'


def experts(**keys):
    return [layers("switch"), *(f"--branch.experts.route.{key}={value}" for key, value in keys.items())]


VARIANTS = {
    "dense": [],
    "switch_8": experts(),
    "mod": [layers("mod")],
    "staged": [layers("staged")],
    "integrated": [layers("integrated")],
    "switch_2": experts(num_experts=2),
    "switch_32": experts(num_experts=32),
    "top_2": experts(top_k=2, weight="renormalised"),
    "capacity_1.0": experts(capacity_factor=1.0),
    "capacity_2.0": experts(capacity_factor=2.0),
    "bfloat16_router": experts(router_dtype="bfloat16"),
    "mod_token": [layers("mod_token")],
    "shrunken": experts(capacity_factor=0.5, eval_capacity_factor=0.5),
    "distilled": ["--distill.teacher={out}/switch_8-{seed}"],
    "initialised": ["--distill.teacher={out}/switch_8-{seed}", "--distill.soft_weight=0", "--distill.hard_weight=1"],
}
ALL_SEEDS = {"dense", "switch_8", "mod", "staged", "integrated", "distilled"}


def validation(folder):
    """(steps, FLOPs, seconds, loss under training routing) of each evaluation during training."""
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [(r["step"], r["flops"], r["seconds"], r["validation_loss_training"]) for r in rows if "validation_loss_training" in r]


def reach(curve, loss):
    """Where a curve first reaches `loss`, between two evaluations by a straight line; None: it does not."""
    for before, after in zip(curve, curve[1:]):
        if after[3] <= loss < before[3]:
            part = (before[3] - loss) / (before[3] - after[3])
            return [b + part * (a - b) for b, a in zip(before[:3], after[:3])]
    return None


def mean(runs, of):
    return sum(map(of, runs)) / len(runs)


def expert_cells(runs):
    of = lambda key: mean(runs, lambda r: mean([l["experts"] for l in r["training"]["layers"] if "experts" in l], lambda e: e[key]))  # noqa: E731,E741
    if not any("experts" in layer for layer in runs[0]["training"]["layers"]):
        return ["", "", ""]
    return [f"{100 * of('dropped_share'):.2f} %", f"{of('max_load'):.2f}", f"{of('dead'):.1f}"]


def main():
    options = suite.arguments(__doc__, "token_choice")
    work = suite.Suite(options, HERE / "experts.toml", 512)
    data = work.out / "data" if options.table else work.dataset(megabytes=40)
    results = work.run_all(VARIANTS, data, VARIANTS.keys() - ALL_SEEDS)

    print(f"Machine: {suite.machine()}.\n")
    print("| model | seeds | steps | loss, training routing | loss, inference routing | routed share | dropped | busiest expert | dead experts |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name, runs in results.items():
        if not runs:
            continue
        routed = bool(runs[0]["training"]["layers"])
        losses = lambda routing: suite.told([run[routing]["loss"] for run in runs])  # noqa: E731
        cells = [name, str(len(runs)), str(runs[0]["steps"]), losses("training"), losses("inference") if routed else "the same",
                 f"{100 * mean(runs, lambda r: r['inference']['routed_share']):.1f} %" if routed else ""]
        print("| " + " | ".join(cells + expert_cells(runs)) + " |")

    dense = results["dense"]
    if not dense:
        return
    print("\n| model | steps to dense's last loss | FLOPs to it | of dense's steps | of dense's FLOPs |")
    print("|---|---|---|---|---|")
    goal = validation(work.out / "dense-1")[-1]
    for name, runs in results.items():
        if not runs or name == "dense":
            continue
        at = reach(validation(work.out / f"{name}-1"), goal[3])
        cells = [f"{at[0]:.0f}", f"{at[1]:.2e}", f"{at[0] / goal[0]:.2f}", f"{at[1] / goal[1]:.2f}"] if at else ["not reached", "", "", ""]
        print("| " + " | ".join([name, *cells]) + " |")

    kept = [(d["inference"]["loss"] - s["inference"]["loss"]) / (d["inference"]["loss"] - t["inference"]["loss"])
            for d, t, s in zip(dense, results["switch_8"], results["distilled"])]
    if kept:
        print(f"\nShare of the teacher's gain that the distilled model keeps: {suite.told([100 * k for k in kept], '{:.0f}')} %.")


if __name__ == "__main__":
    main()
