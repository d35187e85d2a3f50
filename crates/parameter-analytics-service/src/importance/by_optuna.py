"""What Optuna says of the trials in tests.rs: `pip install optuna==5.0.0`, then run this."""

import math

import optuna
from optuna.distributions import CategoricalDistribution as Choice, FloatDistribution as Float, IntDistribution as Int

ROOTS = [2, 3, 5, 7, 11, 13]


def unit(trial, place):
    return (trial + 1) * math.sqrt(ROOTS[place]) % 1.0


def mixed(trial):
    u = [unit(trial, place) for place in range(6)]
    values = {
        "x": -5 + 10 * u[0],
        "rate": 10 ** (-5 + 4 * u[1]),
        "units": 1 + int(299 * u[2] ** 3),
        "layers": 2 * int(11 * u[3]),
        "kind": "abc"[int(3 * u[4])],
        "drop": round(0.1 * int(11 * u[5]), 1),
    }
    space = {
        "x": Float(-5, 5),
        "rate": Float(1e-5, 1e-1, log=True),
        "units": Int(1, 300, log=True),
        "layers": Int(0, 20, step=2),
        "kind": Choice(["a", "b", "c"]),
        "drop": Float(0, 1, step=0.1),
    }
    loss = values["x"] ** 2 + 2 * (math.log10(values["rate"]) + 3) ** 2 + (0 if values["kind"] == "b" else 3)
    return values, space, loss + 0.1 * values["layers"] + 0.01 * values["units"] + values["drop"]


def conditional(trial):
    u = [unit(trial, place) for place in range(3)]
    if u[0] < 0.5:
        values = {"model": "svm", "c": 10 ** (-3 + 6 * u[1]), "noise": u[2]}
        loss = abs(math.log10(values["c"])) + 0.01 * u[2]
    else:
        values = {"model": "tree", "depth": 1 + int(12 * u[1])}
        loss = 1 + 0.2 * abs(values["depth"] - 7)
    space = {"model": Choice(["svm", "tree"]), "c": Float(1e-3, 1e3, log=True), "noise": Float(0, 1), "depth": Int(1, 12)}
    return values, {name: space[name] for name in values}, loss


def few(trial):
    values = {"u": unit(trial, 0), "v": unit(trial, 1)}
    return values, {"u": Float(0, 1), "v": Float(0, 1)}, (values["u"] - 0.3) ** 2 + 0.1 * (values["v"] - 0.6) ** 2


for trials, function in [(300, mixed), (200, conditional), (12, few)]:
    study = optuna.create_study()
    for number in range(trials):
        values, space, loss = function(number)
        study.add_trial(optuna.trial.create_trial(params=values, distributions=space, value=loss))
    print(function.__name__, optuna.importance.get_param_importances(study))
