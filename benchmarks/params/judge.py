"""What the studies of `regret.py` show: `judge.py FILE... [--ours ours] [--suggest PROGRAM] [--groups a,b]` prints JSON;
of ours only studies of that program count.

For each problem and peer, over the seeds that both have: medians of the regret, who was better how often, and the two-sided Wilcoxon
signed-rank test of the paired differences. Regret is counted from the optimum, or where that is unknown from the best value that
anybody found. It is that of the best trial; with noise it is that of the trial that the study calls its best, since nobody who asks
knows the true values. A study that met the constraints in no trial is worse than any that did.
"""

import argparse
import json
from collections import defaultdict

import numpy as np
from scipy import stats

import problems
from regret import checksum

# Values that lie so close, beside how far the first trials lie from the optimum, are equal: below that it is rounding that is compared.
EQUAL = 1e-9


def final(line):
    value = line["called_best"] if line["group"] == "noisy" else line["best"]
    return float("inf") if value is None else value


def judged(ours, theirs, floor, span):
    """Two dictionaries from seeds to final values, the optimum, and how far from it studies begin."""
    seeds = sorted(set(ours) & set(theirs))
    a, b = np.array([ours[seed] for seed in seeds]), np.array([theirs[seed] for seed in seeds])
    # Infeasible ends rank last, and equal among themselves.
    worst = max([value for value in [*a, *b] if np.isfinite(value)], default=0.0)
    a, b = [np.where(np.isfinite(side), side, worst + 1 + abs(worst)) for side in (a, b)]
    differences = np.where(np.abs(a - b) <= EQUAL * span, 0.0, a - b)
    p = float(stats.wilcoxon(differences, zero_method="zsplit").pvalue) if np.any(differences) else 1.0
    return {
        "seeds": len(seeds),
        "ours": float(np.median(a)) - floor,
        "theirs": float(np.median(b)) - floor,
        "better": int(np.sum(differences < 0)),
        "worse": int(np.sum(differences > 0)),
        "p": p,
        # Who has the smaller sum of ranks; nobody where nothing differs.
        "sign": int(np.sign(np.sum(np.sign(differences) * stats.rankdata(np.abs(differences))))),
    }


def middle(curves, floor):
    """Medians over seeds; `None` as long as half of them have met no constraints."""
    medians = np.median([[np.inf if value is None else value - floor for value in curve] for curve in curves], axis=0)
    return [float(value) if np.isfinite(value) else None for value in medians]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("file", nargs="+")
    parser.add_argument("--ours", default="ours")
    parser.add_argument("--suggest")
    parser.add_argument("--groups", default="plain,bbob,table,noisy,mixed,constrained")
    options = parser.parse_args()
    lines = [json.loads(line) for file in options.file for line in open(file)]
    build = checksum(options.suggest) if options.suggest else None
    lines = [line for line in lines if (build is None or line["build"] in ("", build)) and line["group"] in options.groups.split(",")]
    by = defaultdict(lambda: defaultdict(dict))
    for line in lines:
        by[line["problem"]][line["sampler"]][line["seed"]] = line
    found = []
    for problem, samplers in by.items():
        if options.ours not in samplers:
            continue
        known = problems.problem(problem).best
        everyone = [line["best"] for of_sampler in samplers.values() for line in of_sampler.values() if line["best"] is not None]
        floor = min(everyone, default=0.0) if known is None else known
        starts = [next((value for value in line["curve"] if value is not None), floor) for of_sampler in samplers.values() for line in of_sampler.values()]
        span = float(np.median(starts)) - floor
        for sampler, of_sampler in samplers.items():
            if sampler == options.ours:
                continue
            pair = judged({s: final(line) for s, line in samplers[options.ours].items()}, {s: final(line) for s, line in of_sampler.items()}, floor, span)
            shared = set(samplers[options.ours]) & set(of_sampler)
            # What an earlier version wrote does not say where it ran.
            timed = {seed for seed in shared if len({samplers[which][seed].get("cpu") for which in (options.ours, sampler)} - {None}) <= 1}
            cpu_ms = lambda which: float(np.mean([samplers[which][seed]["cpu_ms"] for seed in timed])) if timed else None
            mean = lambda which, what: float(np.mean([samplers[which][seed][what] for seed in shared])) if shared else None
            found.append({
                "problem": problem, "group": next(iter(of_sampler.values()))["group"], "peer": sampler, **pair,
                "violations": mean(options.ours, "violations"), "peer_violations": mean(sampler, "violations"),
                "duplicates": sum(line["duplicates"] for line in samplers[options.ours].values()), "peer_duplicates": sum(line["duplicates"] for line in of_sampler.values()),
                "cpu_ms": cpu_ms(options.ours), "peer_cpu_ms": cpu_ms(sampler),
                "curves": {which: middle([samplers[which][seed]["curve"] for seed in shared], floor) for which in (options.ours, sampler)} if shared else {},
            })
    print(json.dumps(found))


if __name__ == "__main__":
    main()
