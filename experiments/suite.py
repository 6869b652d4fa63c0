"""What every experiment shares: a data set, runs that resume, evaluations, a table. See mixture_of_depths.py for one."""

import argparse
import concurrent.futures
import json
import math
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]


def arguments(description, out):
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default=str(ROOT / "build" / "release" / "pointwork"))
    parser.add_argument("--wikipedia", default=os.path.join(os.environ.get("POINTWORK_DATA", str(ROOT / ".." / "shared" / "data")), "wikipedia-en"),
                        help="folder of wiki.train.txt.xz and wiki.valid.txt.xz")
    parser.add_argument("--out", default=str(ROOT / "runs" / out), help="where runs lie; finished ones are not run again")
    parser.add_argument("--threads", type=int, help="of a run (default: the cores, divided among the jobs)")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time; small models fill two cores better by two runs of one thread")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--only", nargs="+", help="names of variants")
    parser.add_argument("--table", action="store_true", help="run nothing, print the table of what is there")
    options = parser.parse_args()
    options.threads = options.threads or max(1, len(os.sched_getaffinity(0)) // options.jobs)
    return options


class Suite:
    def __init__(self, options, config, vocabulary):
        self.options, self.config, self.vocabulary = options, pathlib.Path(config), vocabulary
        self.out = pathlib.Path(options.out)
        self.out.mkdir(parents=True, exist_ok=True)

    def pointwork(self, *words, capture=False):
        command = [self.options.program, *map(str, words)]
        result = subprocess.run(command, stdout=subprocess.PIPE if capture else None, text=True)
        if result.returncode != 0:
            sys.exit(f"error: {' '.join(command)} ended with status {result.returncode}")
        return result.stdout

    def dataset(self, megabytes):
        """Tokens of the first `megabytes` of Wikipedia for training, of the validation file for evaluation."""
        folder, source = self.out / "data", pathlib.Path(self.options.wikipedia)
        if (folder / "dataset.json").exists():
            return folder
        for name in ("wiki.train.txt.xz", "wiki.valid.txt.xz"):
            if not (source / name).exists():
                sys.exit(f"error: {source / name} is missing; name its folder with --wikipedia")
        text = self.out / "train.txt"
        if not text.exists():
            with open(text, "wb") as to:
                unpack = subprocess.Popen(["xz", "-dc", str(source / "wiki.train.txt.xz")], stdout=subprocess.PIPE)
                left = megabytes * 1_000_000
                for line in unpack.stdout:
                    to.write(line)
                    left -= len(line)
                    if left <= 0 and line.startswith(b"</doc>"):
                        break
                unpack.kill()
        tokenizer = self.out / "tokenizer"
        if not (tokenizer / "tokenizer.json").exists():
            self.pointwork("tokenizer", "train", text, "--vocab-size", self.vocabulary, "--out", tokenizer)
        self.pointwork("prepare", text, "--tokenizer", tokenizer, "--out", folder, "--validation", 0.02)
        return folder

    def run(self, name, overrides, data):
        """Trains (or goes on, or does nothing) and evaluates under both routings; the result as a dict."""
        folder = self.out / name
        result = folder / "result.json"
        if result.exists():
            return json.loads(result.read_text())
        if self.options.table:
            return None
        print(f"== {name}: {' '.join(overrides) or 'as it stands'}", file=sys.stderr)
        begin = time.time()
        self.pointwork("train", self.config, "--data", data, "--out", folder, "--threads", self.options.threads, "--quiet", *overrides)
        evaluation = {routing: json.loads(self.pointwork("eval", folder, "--data", data, "--routing", routing, "--sequences", 1024,
                                                         "--threads", self.options.threads, "--quiet", "--json", capture=True))
                      for routing in ("inference", "training")}
        last = json.loads((folder / "metrics.jsonl").read_text().splitlines()[-1])
        answer = {"name": name, "overrides": overrides, "inference": evaluation["inference"], "training": evaluation["training"],
                  "steps": last["step"], "tokens": last["tokens"], "flops": last["flops"], "seconds": last["seconds"],
                  "wall_seconds": time.time() - begin, "threads": self.options.threads}
        temporary = result.with_suffix(".tmp")
        temporary.write_text(json.dumps(answer, indent=1) + "\n")
        temporary.rename(result)
        return answer

    def side_by_side(self, tasks):
        """Results of calls, --jobs of them at a time; the first that fails ends the suite once those beside it are through."""
        with concurrent.futures.ThreadPoolExecutor(self.options.jobs) as pool:
            waiting = [pool.submit(task) for task in tasks]
            try:
                return [one.result() for one in waiting]
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise

    def run_all(self, variants, data, one_seed=()):
        """{name: results of its seeds}, of those there are or can be had; `{out}` and `{seed}` in an override stand for this suite's."""
        options = self.options

        def task(name, seed):
            words = [word.replace("{out}", str(self.out)).replace("{seed}", str(seed)) for word in variants[name]]
            return lambda: self.run(f"{name}-{seed}", [*words, f"--train.seed={seed}"], data)

        # Seed by seed, so that an interrupted suite has compared everything at least once.
        wanted = [(name, seed) for seed in options.seeds for name in variants
                  if (not options.only or name in options.only) and (name not in one_seed or seed == options.seeds[0])]
        return grouped(variants, wanted, self.side_by_side([task(*one) for one in wanted]))


def grouped(names, wanted, found):
    """{name: the results there are}, of `found` for the (name, seed) that were `wanted`."""
    results = {name: [] for name in names}
    for (name, _), result in zip(wanted, found):
        results[name] += [result] if result else []
    return results


def spread(values):
    """Mean and standard error of a few seeds."""
    mean = statistics.fmean(values)
    return mean, statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else float("nan")


def told(values, form="{:.4f}"):
    mean, error = spread(values)
    return form.format(mean) + (f" ± {form.format(error)}" if len(values) > 1 else "")


def machine():
    model = next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), platform.machine())
    return f"{model}, {len(os.sched_getaffinity(0))} cores"
