"""Makes `files/optuna-VERSION.db` with the Optuna that is installed: `pip install optuna==3.6.2` (or 4.9.0, 5.0.0), then run this."""

import datetime
import math
import os
import sqlite3
import time

import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState, create_trial

# Far from UTC, to see which time is written.
os.environ["TZ"] = "Asia/Tokyo"
time.tzset()

FILE = os.path.join(os.path.dirname(__file__), "files", f"optuna-{optuna.__version__}.db")
if os.path.exists(FILE):
    os.remove(FILE)
STORAGE = f"sqlite:///{FILE}"

SPACE = {
    "x": FloatDistribution(-5, 5),
    "rate": FloatDistribution(1e-5, 0.1, log=True),
    "drop": FloatDistribution(0, 0.5, step=0.1),
    "units": IntDistribution(1, 256, log=True),
    "layers": IntDistribution(1, 9, step=2),
    "kind": CategoricalDistribution(["a", "b", None, True, 2, 0.5, "naïve \"quote\""]),
}


def parameters(number):
    return {
        "x": number / 2 - 4.5,
        "rate": 10.0 ** -(1 + number % 5),
        "drop": 0.1 * (number % 6),
        "units": 2 ** (number % 9),
        "layers": 1 + 2 * (number % 5),
        "kind": SPACE["kind"].choices[number % 7],
    }


def add(study, number, state=TrialState.COMPLETE, value=None, reports=None, attributes=None):
    trial = create_trial(
        state=state,
        value=value,
        params=parameters(number),
        distributions=SPACE,
        intermediate_values=reports or {},
        system_attrs=attributes or {},
    )
    trial.datetime_start = datetime.datetime(2026, 1, 2, 3, 4, 5, 678900)
    if state.is_finished():
        trial.datetime_complete = datetime.datetime(2026, 1, 2, 3, 4, 6 + number)
    study.add_trial(trial)


mixed = optuna.create_study(study_name="mixed", storage=STORAGE, direction="maximize")
for number in range(8):
    add(mixed, number, value=number * number / 3, attributes={"constraints": [number - 5.0, -math.inf]})
add(mixed, 8, TrialState.PRUNED, reports={0: 1.5, 3: math.nan, 9: -math.inf}, value=1.5)
add(mixed, 9, TrialState.FAIL)
add(mixed, 10, value=math.inf)
add(mixed, 11, TrialState.RUNNING)
mixed.enqueue_trial({"x": 1.0})

conditional = optuna.create_study(study_name="conditional", storage=STORAGE)


def tree_or_line(trial):
    if trial.suggest_categorical("model", ["tree", "line"]) == "tree":
        return float(trial.suggest_int("depth", 1, 8))
    return trial.suggest_float("slope", -1, 1)


for choice in ("tree", "line"):
    conditional.enqueue_trial({"model": choice, "depth": 3, "slope": 0.25})
conditional.optimize(tree_or_line, n_trials=2)

two = optuna.create_study(study_name="two objectives", storage=STORAGE, directions=["minimize", "maximize"])
two.add_trial(create_trial(values=[1.0, 2.0], params={}, distributions={}))

if hasattr(optuna.trial.Trial, "set_constraint"):
    named = optuna.create_study(study_name="named constraints", storage=STORAGE)
    trial = named.ask()
    trial.set_constraint("memory", 1.5)
    trial.set_constraint("latency", -2)
    named.tell(trial, trial.suggest_float("x", 0, 1) * 0)

optuna.create_study(study_name="empty", storage=STORAGE)

# Small pages, and none that are free.
with sqlite3.connect(FILE) as file:
    file.execute("PRAGMA page_size = 512")
    file.execute("VACUUM")
print(optuna.__version__, os.path.getsize(FILE))
