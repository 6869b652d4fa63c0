#!/usr/bin/env python3
"""What does Mixture-of-Modules buy, and what does the first phase? Small models on equal tokens.

usage: experiments/modules.py [--jobs N] [--threads N] [--seeds 1 2 3] [--only NAME ...] [--table]

Dense; modules from scratch; in two phases, where a dense model is trained on half of the tokens and assembled, with routers from scratch (scrambled, the
paper's) and with rounds that begin in the dense order (preserving); routers that are told the round; deep, compressed and thinned; one and two modules a
round; and the loss as modules are taken away from either pool. 6e6 tokens a run in all, four to fifteen minutes on one of two busy cores. Runs that were interrupted go
on. Prints a table as Markdown.
"""

import json
import pathlib

import suite

HERE = pathlib.Path(__file__).resolve().parent
MODULES = ["--model.num_hidden_layers=3", '--model.layers={ first = ["dense"], repeat = ["rounds"], last = ["dense"] }']


def both(**keys):
    """Keys of both routers."""
    return [f"--branch.{route}.{key}={value}" for key, value in keys.items() for route in ("mha.projection_route", "ffn.route")]


def pools(attention, mlp):
    """A pool of one is a set of weights that all rounds share, with no route."""
    sizes = [f"--branch.mha.projection_route.num_experts={attention}", f"--branch.ffn.route.num_experts={mlp}"]
    return sizes + [f'--branch.round.of=["{"mha" if attention > 1 else "attention"}", "{"ffn" if mlp > 1 else "mlp"}"]']


TWO = both(top_k=2, weight="renormalised")
# Name: (overrides, start of the second phase or None where there is but one).
VARIANTS = {
    "dense": ([], None),
    "scratch": (MODULES, None),
    "scratch_rounds": (MODULES + both(round_embedding="true", round_bias="true"), None),
    "scrambled": (MODULES, "scrambled"),
    "preserving": (MODULES + both(in_order_steps=180), "preserving"),
    "scratch_two": (MODULES + TWO, None),
    "scrambled_two": (MODULES + TWO, "scrambled"),
    "deep": (MODULES + ["--branch.rounds.times=8"], "scrambled"),
    "deep_preserving": (MODULES + ["--branch.rounds.times=8"] + both(in_order_steps=180), "preserving"),
    "compressed": (MODULES + TWO + ["--branch.rounds.times=2"], "scrambled"),
    "thinned": (MODULES + pools(2, 3), "scrambled"),
    "masked": (MODULES + ["--branch.mha.projection_route.noop_key_value=masked"], "scrambled"),
    **{f"attention_{n}": (MODULES + pools(n, 4), "scrambled") for n in (3, 2, 1)},
    **{f"feed_forward_{n}": (MODULES + pools(4, n), "scrambled") for n in (3, 2, 1)},
}
ALL_SEEDS = {"dense", "scratch", "scratch_two", "scrambled", "preserving"}
HALF = "--train.tokens=3e6"


def assembled(work, name, overrides, start, seed):
    """The dense model of half the tokens, as the modules that `overrides` say."""
    to = work.out / f"{name}-{seed}-start"
    if not to.exists() and not work.options.table:
        work.pointwork("convert", work.out / f"half-{seed}", to, "--assemble", work.config, "--start", start, "--pool", 4, "--seed", seed, "--quiet", *overrides)
    return [*overrides, "--init", str(to)]


def runs(work, data):
    """{name: results of its seeds}, the first phase first."""
    options = work.options

    def first_phase(seed):
        return lambda: work.run(f"half-{seed}", [HALF, f"--train.seed={seed}"], data)

    def task(name, seed):
        def run():
            overrides, start = VARIANTS[name]
            if start:
                overrides = [HALF, *assembled(work, name, overrides, start, seed)]
            return work.run(f"{name}-{seed}", [*overrides, f"--train.seed={seed}"], data)
        return run

    results = {"half": [one for one in work.side_by_side(map(first_phase, options.seeds)) if one]}
    wanted = [(name, seed) for seed in options.seeds for name in VARIANTS
              if (not options.only or name in options.only) and (name in ALL_SEEDS or seed == options.seeds[0])]
    return results | suite.grouped(VARIANTS, wanted, work.side_by_side([task(*one) for one in wanted]))


def skipped(run):
    """Shares of choices that were SKIP, attention's and the mlp's."""
    shares = {layer["layer"].rsplit(".", 1)[-1]: layer["experts"]["noop_share"] for layer in run["inference"]["layers"] if "experts" in layer}
    return [f"{100 * shares[name]:.0f} %" if name in shares else "" for name in ("mha", "ffn")]


def figures(work, overrides):
    overrides = [word for word in overrides if not word.startswith("--train.")]
    return json.loads(work.pointwork("flops", work.config, "--sequence", 256, "--json", *overrides, capture=True))


def main():
    options = suite.arguments(__doc__, "modules")
    work = suite.Suite(options, HERE / "modules.toml", 512)
    data = work.out / "data" if options.table else work.dataset(megabytes=40)
    results = runs(work, data)

    print(f"Machine: {suite.machine()}.\n")
    print("| model | seeds | parameters | forward FLOPs a token | training FLOPs | loss | SKIP, attention | SKIP, feed-forward |")
    print("|---|---|---|---|---|---|---|---|")
    for name, of_seeds in results.items():
        if not of_seeds:
            continue
        overrides = VARIANTS[name][0] if name in VARIANTS else []
        shape = figures(work, overrides)
        two_phases = name in VARIANTS and VARIANTS[name][1]
        flops = of_seeds[0]["flops"] + (results["half"][0]["flops"] if two_phases else 0)
        cells = [name, str(len(of_seeds)), f"{shape['parameters']:,}", f"{shape['flops_per_token']['forward'] / 1e6:.2f} M", f"{flops:.2e}",
                 suite.told([run["inference"]["loss"] for run in of_seeds])]
        print("| " + " | ".join(cells + skipped(of_seeds[0])) + " |")


if __name__ == "__main__":
    main()
