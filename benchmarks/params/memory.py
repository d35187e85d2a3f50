"""Resident memory that 10,000 told trials of 20 parameters take: `memory.py SUGGEST` prints JSON."""

import json
import sys

import numpy as np

import samplers
from problems import Problem, box

stream = np.random.default_rng(1)
problem = Problem("memory", "memory", box(*[(0, 1)] * 20), None, 0)
study = samplers.Ours(sys.argv[1], problem, 1, "auto")
before = study.send(memory=True)["resident_kib"]
points = [{name: float(share) for name, share in zip(problem.space, stream.random(20))} for _ in range(10_000)]
study.fill([(point, float(sum(point.values()) + stream.normal()), []) for point in points])
study.ask()
print(json.dumps({"mib": (study.send(memory=True)["resident_kib"] - before) / 1024, "last_ask_ms": study.cpu_ms}))
study.close()
