"""A process that starts, is told ten trials and is asked: `cold.py SAMPLER SUGGEST`. What it costs is measured by who starts it."""

import sys

import problems
import samplers

problem = problems.problem("hartmann6")
asked = samplers.make(sys.argv[1], sys.argv[2], problem, seed=1)
for n in range(10):
    [(number, parameters)] = asked.ask()
    asked.tell(number, problem.observe(parameters, 1, n)[0], [])
asked.ask()
