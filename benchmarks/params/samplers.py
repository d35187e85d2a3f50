"""Who is asked: ours through `examples/suggest.rs`, and the peers through their ask-and-tell interfaces.

Each has `ask(count)` -> [(number, parameters)], `tell(number, value, constraint values)` and `best()` -> number; `cpu_ms` is the CPU
time of the last ask alone. Each runs with its defaults: corrections from people who know the peers better are welcome.
"""

import json
import os
import subprocess
import time


class Ours:
    """The crate; `sampler` is one of its names."""

    def __init__(self, program, problem, seed, sampler="gp"):
        self.child = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.send(create={"name": problem.name, "space": problem.space, "constraints": list(problem.constraints), "sampler": sampler, "seed": seed})

    def send(self, **request):
        self.child.stdin.write(json.dumps(request) + "\n")
        self.child.stdin.flush()
        answer = json.loads(self.child.stdout.readline())
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer

    def ask(self, count=1):
        answer = self.send(ask=count)
        self.cpu_ms = answer["cpu_ms"]
        return [(trial["id"], trial["parameters"]) for trial in answer["trials"]]

    def tell(self, number, value, constraints):
        self.send(tell=number, values=[value], constraint_values=constraints)

    def fill(self, trials):
        self.send(fill=[{"parameters": parameters, "values": [value], "constraint_values": constraints} for parameters, value, constraints in trials])

    def best(self):
        return self.send(best=True)["best"]

    def close(self):
        self.child.stdin.close()
        self.child.wait()


class Optuna:
    """Optuna's GPSampler, or its TPESampler; constraints as its documentation has them (`Trial.set_constraint`)."""

    def __init__(self, program, problem, seed, sampler="gp"):
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.optuna, self.problem, self.open = optuna, problem, {}
        kind = {"gp": optuna.samplers.GPSampler, "tpe": optuna.samplers.TPESampler}[sampler]
        self.study = optuna.create_study(sampler=kind(seed=seed))
        self.distributions = {name: self.distribution(spec) for name, spec in problem.space.items()}

    def distribution(self, spec):
        of = self.optuna.distributions
        if spec["type"] == "categorical":
            return of.CategoricalDistribution(spec["choices"])
        kind = of.IntDistribution if spec["type"] == "int" else of.FloatDistribution
        return kind(spec["low"], spec["high"], log=spec.get("log", False))

    def ask(self, count=1):
        before = time.process_time()
        trials = [self.study.ask(self.distributions) for _ in range(count)]
        self.cpu_ms = 1e3 * (time.process_time() - before)
        self.open.update({trial.number: trial for trial in trials})
        return [(trial.number, {name: trial.params[name] for name in self.problem.space}) for trial in trials]

    def tell(self, number, value, constraints):
        trial = self.open.pop(number)
        for name, limit in zip(self.problem.constraints, constraints):
            trial.set_constraint(name, limit)
        self.study.tell(trial, value)

    def fill(self, trials):
        create = self.optuna.trial.create_trial
        self.study.add_trials([create(params=parameters, distributions=self.distributions, value=value) for parameters, value, _ in trials])

    def best(self):
        try:
            return self.study.best_trial.number
        except ValueError:
            return None

    def close(self):
        pass


class Smac:
    """SMAC3's black-box facade: its Gaussian process for real numbers, its random forest for mixed spaces."""

    def __init__(self, program, problem, seed, sampler=None):
        import logging
        import tempfile

        import ConfigSpace
        import smac

        logging.disable(logging.WARNING)
        self.smac, self.problem, self.open, self.told, self.number = smac, problem, {}, {}, 0
        space = ConfigSpace.ConfigurationSpace(seed=seed)
        for name, spec in problem.space.items():
            if spec["type"] == "categorical":
                space.add(ConfigSpace.Categorical(name, spec["choices"]))
            else:
                kind = ConfigSpace.Integer if spec["type"] == "int" else ConfigSpace.Float
                space.add(kind(name, bounds=(spec["low"], spec["high"]), log=spec.get("log", False)))
        self.folder = tempfile.TemporaryDirectory()
        scenario = smac.Scenario(space, n_trials=10**6, deterministic=problem.noise == 0, seed=seed, output_directory=self.folder.name)
        smooth = all(spec["type"] == "float" for spec in problem.space.values())
        facade = smac.BlackBoxFacade if smooth else smac.HyperparameterOptimizationFacade
        design = facade.get_initial_design(scenario, n_configs=10)
        intensifier = facade.get_intensifier(scenario, max_config_calls=1)
        self.facade = facade(scenario, lambda config, seed=0: 0.0, initial_design=design, intensifier=intensifier, overwrite=True, logging_level=False)

    def ask(self, count=1):
        before = time.process_time()
        infos = [self.facade.ask() for _ in range(count)]
        self.cpu_ms = 1e3 * (time.process_time() - before)
        found = []
        for info in infos:
            self.open[self.number] = info
            plain = {name: value.item() if hasattr(value, "item") else value for name, value in dict(info.config).items()}
            found.append((self.number, {name: plain[name] for name in self.problem.space}))
            self.number += 1
        return found

    def tell(self, number, value, constraints):
        self.facade.tell(self.open.pop(number), self.smac.runhistory.TrialValue(cost=value))
        self.told[number] = value

    def best(self):
        return min(self.told, key=self.told.get)

    def close(self):
        self.folder.cleanup()


class Botorch:
    """BoTorch's own loop for real numbers: SingleTaskGP, LogExpectedImprovement, 10 restarts of 512 raw samples."""

    def __init__(self, program, problem, seed, sampler=None):
        import torch

        torch.manual_seed(seed)
        self.torch, self.problem, self.points, self.values, self.number = torch, problem, [], [], 0
        self.engine = torch.quasirandom.SobolEngine(len(problem.space), scramble=True, seed=seed)

    def ask(self, count=1):
        before = time.process_time()
        cube = self.engine.draw(1)[0].double() if len(self.values) < 10 else self.model_point()
        self.cpu_ms = 1e3 * (time.process_time() - before)
        self.points.append(cube)
        parameters = {name: spec["low"] + (spec["high"] - spec["low"]) * float(share) for (name, spec), share in zip(self.problem.space.items(), cube)}
        self.number += 1
        return [(self.number - 1, parameters)]

    def model_point(self):
        import botorch
        import gpytorch

        x = self.torch.stack(self.points)
        y = -self.torch.tensor(self.values, dtype=self.torch.double).unsqueeze(-1)
        model = botorch.models.SingleTaskGP(x, y, outcome_transform=botorch.models.transforms.Standardize(1))
        botorch.fit.fit_gpytorch_mll(gpytorch.mlls.ExactMarginalLogLikelihood(model.likelihood, model))
        acquisition = botorch.acquisition.LogExpectedImprovement(model, best_f=y.max())
        bounds = self.torch.tensor([[0.0] * x.shape[1], [1.0] * x.shape[1]], dtype=self.torch.double)
        found, _ = botorch.optim.optimize_acqf(acquisition, bounds, q=1, num_restarts=10, raw_samples=512)
        return found[0]

    def tell(self, number, value, constraints):
        self.values.append(value)

    def fill(self, trials):
        specs = self.problem.space.values()
        for parameters, value, _ in trials:
            cube = [(parameter - spec["low"]) / (spec["high"] - spec["low"]) for parameter, spec in zip(parameters.values(), specs)]
            self.points.append(self.torch.tensor(cube, dtype=self.torch.double))
            self.values.append(value)

    def best(self):
        return min(range(len(self.values)), key=self.values.__getitem__)

    def close(self):
        pass


KINDS = {"ours": Ours, "optuna": Optuna, "smac": Smac, "botorch": Botorch}


def make(name, program, problem, seed):
    """`ours`, `ours:tpe`, `optuna`, and so on."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    kind, _, sampler = name.partition(":")
    return KINDS[kind](program, problem, seed, sampler or "gp")
