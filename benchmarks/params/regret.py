"""Runs studies and appends what came of each to a file: `regret.py FILE SUGGEST [--samplers ours,optuna] [--problems a,b] [--seeds 20]`.

A line for each problem, sampler and seed. What the file already has is not run again; ours only where the program is the same one.
"""

import argparse
import hashlib
import json
import os
import sys
import time

os.environ.update({name: "1" for name in ["OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"]})
import problems  # noqa: E402
import samplers  # noqa: E402


def run(problem, sampler, program, seed, trials):
    """One study: after each trial the best true value (feasible, where there are constraints), and the truth of what the study calls best."""
    asked = samplers.make(sampler, program, problem, seed)
    best, curve, truths, seen, cpu_ms, violations = None, [], {}, set(), 0.0, 0
    from_ = time.perf_counter()
    for trial in range(trials):
        [(number, parameters)] = asked.ask()
        cpu_ms += asked.cpu_ms
        value, truth, limits = problem.observe(parameters, seed, trial)
        asked.tell(number, value, limits)
        feasible = all(limit <= 0 for limit in limits)
        violations += not feasible
        truths[number] = truth
        if feasible and (best is None or truth < best):
            best = truth
        curve.append(best)
        seen.add(json.dumps(parameters, sort_keys=True))
    incumbent = asked.best()
    asked.close()
    called_best = None if incumbent is None else truths[incumbent]
    return {"best": best, "called_best": called_best, "violations": violations, "duplicates": trials - len(seen), "cpu_ms": cpu_ms, "s": time.perf_counter() - from_, "curve": curve}


def processor():
    """CPU times compare only on the same kind of machine."""
    with open("/proc/cpuinfo") as lines:
        names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else 'unknown'}, {len(names)} cores"


def checksum(program):
    with open(program, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()[:16]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("file")
    parser.add_argument("program")
    parser.add_argument("--samplers", default="ours,optuna")
    parser.add_argument("--problems", default="")
    parser.add_argument("--groups", default="plain,bbob,table,noisy,mixed,constrained")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--share", type=float, default=1.0, help="of each problem's trials")
    options = parser.parse_args()
    build = checksum(options.program)
    done = set()
    if os.path.exists(options.file):
        with open(options.file) as lines:
            done = {key(json.loads(line)) for line in lines}
    names = [name for name, (group, _) in problems.makers().items() if (name in options.problems.split(",") if options.problems else group in options.groups.split(","))]
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    tasks = [(seed, name, sampler) for seed in seeds for name in names for sampler in options.samplers.split(",")]
    with open(options.file, "a") as file:
        for place, (seed, name, sampler) in enumerate(tasks):
            problem = problems.problem(name)
            trials = max(12, round(options.share * problem.trials))
            about = {"cpu": processor(), "problem": name, "group": problem.group, "sampler": sampler, "seed": seed, "trials": trials, "build": build if sampler.startswith("ours") else ""}
            if key(about) in done or (sampler == "botorch" and any(spec["type"] != "float" for spec in problem.space.values())):
                continue
            result = run(problem, sampler, options.program, seed, trials)
            file.write(json.dumps({**about, **result}) + "\n")
            file.flush()
            print(f"{place + 1}/{len(tasks)} {name} {sampler} seed {seed}: {result['best']} in {result['s']:.1f} s", file=sys.stderr, flush=True)


def key(line):
    return tuple(line[name] for name in ["problem", "sampler", "seed", "trials", "build"])


if __name__ == "__main__":
    main()
