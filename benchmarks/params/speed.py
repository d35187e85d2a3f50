"""CPU times of an ask: `speed.py SUGGEST [--counts 50,100] [--space hartmann6] [--peers optuna,botorch] [--asks 3]` prints lines of JSON.

A sampler is told so many random points and asked. Ours is asked over a whole time between two fits of its hyperparameters, so that the
mean holds both; the peers fit for each ask and are asked `--asks` times. `first_ms`: the ask right after the points were told. Then
eight at once; that is per point.
"""

import argparse
import json
import os

os.environ.update({name: "1" for name in ["OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"]})
import numpy as np  # noqa: E402

import problems  # noqa: E402
import samplers  # noqa: E402

BATCH = 8


def random_point(space, stream):
    def draw(spec):
        if spec["type"] == "categorical":
            return spec["choices"][stream.integers(len(spec["choices"]))]
        if spec["type"] == "int":
            return int(stream.integers(spec["low"], spec["high"] + 1))
        return float(stream.uniform(spec["low"], spec["high"]))

    return {name: draw(spec) for name, spec in space.items()}


def times(name, program, problem, count, asks):
    asked = samplers.make(name, program, problem, seed=1)
    stream = np.random.default_rng(1)
    points = [random_point(problem.space, stream) for _ in range(count)]
    asked.fill([(point, *problem.observe(point, 1, n)[::2]) for n, point in enumerate(points)])
    number = count

    def ask(how_many):
        nonlocal number
        trials = asked.ask(how_many)
        for trial, parameters in trials:
            value, _, limits = problem.observe(parameters, 1, number)
            asked.tell(trial, value, limits)
            number += 1
        return asked.cpu_ms / how_many

    first = ask(1)
    single = [ask(1) for _ in range(asks or max(10, count // 12 + 1))]
    batch = None if name == "botorch" else ask(BATCH)
    asked.close()
    return {"sampler": name, "space": problem.name, "n": count, "first_ms": first, "mean_ms": float(np.mean(single)), "median_ms": float(np.median(single)), "largest_ms": max(single), "batch_ms": batch}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--counts", default="50,100,200,500,1000")
    parser.add_argument("--space", default="hartmann6")
    parser.add_argument("--peers", default="optuna,botorch")
    parser.add_argument("--asks", type=int, default=3)
    options = parser.parse_args()
    problem = problems.problem(options.space)
    for count in map(int, options.counts.split(",")):
        for name in ["ours", *filter(None, options.peers.split(","))]:
            # Once before, since compilers and caches have to become warm.
            if name != "ours":
                times(name, options.program, problem, 12, 1)
            print(json.dumps(times(name, options.program, problem, count, 0 if name == "ours" else options.asks)), flush=True)


if __name__ == "__main__":
    main()
