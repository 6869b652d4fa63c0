#!/usr/bin/env python3
"""Does learned routing earn its keep? Small models on equal training FLOPs, three seeds.

usage: experiments/mixture_of_depths.py [--threads N] [--seeds 1 2 3] [--only NAME ...] [--table]

Dense; Mixture-of-Depths (12.5 %, every other block) with a predictor, and once with the router itself as the causal decision; the same with
Gaussian routing; the same with its routed blocks removed. 1e13 training FLOPs a run, about two minutes on two cores. Runs that were
interrupted go on. Prints a table as Markdown; the curves: `pointwork report RUN... --out page.html`.
"""

import pathlib

import suite

HERE = pathlib.Path(__file__).resolve().parent
ROUTED = '--model.layers=["dense", "mod"]'
VARIANTS = {
    "dense": [],
    "mod": [ROUTED],
    "mod_router": [ROUTED, "--branch.mod.route.decode=router"],
    "gaussian": [ROUTED, "--branch.mod.route.choice=random"],
    "removed": ["--model.num_hidden_layers=4"],
}
ONE_SEED = {"mod_router"}


def main():
    options = suite.arguments(__doc__, "mixture_of_depths")
    work = suite.Suite(options, HERE / "small.toml", 512)
    data = work.out / "data" if options.table else work.dataset(megabytes=40)
    results = work.run_all(VARIANTS, data, ONE_SEED)

    print(f"Machine: {suite.machine()}.\n")
    print("| model | seeds | steps | tokens | loss, training routing | loss, inference routing | share | agreement | precision | recall |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for name, runs in results.items():
        if not runs:
            continue
        routed = bool(runs[0]["training"]["layers"])
        pick = lambda routing, key: [run[routing][key] for run in runs]  # noqa: E731
        cells = [name, str(len(runs)), str(runs[0]["steps"]), f"{runs[0]['tokens'] / 1e6:.2f} M", suite.told(pick("training", "loss"))]
        if routed:
            cells += [suite.told(pick("inference", "loss"))]
            cells += [suite.told([100 * v for v in pick("inference", key)], "{:.2f}") + " %"
                      for key in ("routed_share", "agreement", "precision", "recall")]
        else:
            cells += ["the same", "", "", "", ""]
        print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
