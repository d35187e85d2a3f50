"""Loads models on a real GPU and compares what they take with what was told before: `engine.py UAT ENGINE MODEL.gguf... [--context 8192] [--out FILE]`.

The engine needs its CUDA plug-in beside it (`npm run build:engine -- --cuda`). A model whose weights are zeros will do: sizes are what is compared. The context should be no longer than what all of them were trained on.
A line for each model: MiB by the header (`uat gpu estimate`), by llama.cpp's own plan (`/v1/memory`), what the card's free memory lost, and how much more
that is than the plan. The context of CUDA and the libraries' own workspaces are in no plan; they should be the same for all.
"""

import argparse
import http.client
import json
import os
import signal
import subprocess
import tempfile
import time

from cuda import MIB, Nvml
from local import Local


#: With one lane, and eight conversations kept beside it.
AS_THE_ENGINE = ["--full-windows", "--parallel", "9"]


class Engine(Local):
    def __init__(self, program, path, context):
        super().__init__(path)
        self.child = subprocess.Popen([program, "--socket", path, "--ctx", str(context), "--slots", "1"], stdout=subprocess.DEVNULL, stderr=open(path + ".log", "w"))
        while not os.path.exists(path):
            if self.child.poll() is not None:
                raise RuntimeError(open(path + ".log").read())
            time.sleep(0.02)

    def told(self, path, body=None):
        status, document = self.call("GET" if body is None else "POST", path, body)
        if status >= 400:
            raise RuntimeError(document["error"]["message"])
        return document

    def asked(self, path, body):
        """A model of zeros may answer nothing that can be said; what it took is seen all the same."""
        try:
            return self.told(path, body)["choices"][0]["message"]["content"]
        except RuntimeError as error:
            return str(error)
        except http.client.HTTPException as error:
            time.sleep(0.2)
            return f"{error}; status {self.child.poll()}; {open(self.path + '.log').read()[-600:]}"

    def end(self):
        self.child.send_signal(signal.SIGTERM)
        self.child.wait()


def loaded(options, model, nvml, folder):
    before = nvml.memory()["free"]
    engine = Engine(options.engine, os.path.join(folder, "engine.sock"), options.context)
    try:
        health = engine.told("/health")
        plan = engine.told("/v1/memory", {"model": model, "context_tokens": options.context, "parallel": 1})
        on_card = sum(device[part] for device in plan["devices"] if not device["is_host"] for part in ["weights", "cache", "compute"])
        began = time.perf_counter()
        answer = engine.asked("/v1/chat/completions", {"model": model, "messages": [{"role": "user", "content": "hi"}], "max_tokens": 4, "temperature": 0})
        took = time.perf_counter() - began
        after, own = nvml.memory()["free"], nvml.processes().get(engine.child.pid)
    finally:
        engine.end()
        if os.path.exists(engine.path):
            os.remove(engine.path)
    estimate = subprocess.run([options.uat, "gpu", "estimate", model, "--context", str(options.context), *AS_THE_ENGINE, "--json"], capture_output=True, text=True)
    told = json.loads(estimate.stdout) if estimate.returncode == 0 else {"error": estimate.stderr}
    formula = sum(sum(device.values()) for device in told.get("devices", []))
    return {
        "model": os.path.basename(model), "by_header_mib": formula / MIB, "planned_mib": on_card / MIB, "card_lost_mib": (before - after) / MIB, "process_mib": None if own is None else own / MIB,
        "beyond_plan_mib": (before - after - on_card) / MIB, "header_beside_plan": formula / on_card - 1 if on_card else None, "load_and_answer_s": took,
        "computes": health["backend"], "answer": answer,
        "plan": plan["devices"], "header": told.get("devices", told),
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("uat")
    parser.add_argument("engine")
    parser.add_argument("models", nargs="+")
    parser.add_argument("--context", type=int, default=8192)
    parser.add_argument("--out")
    options = parser.parse_args()
    nvml, rows = Nvml(), []
    with tempfile.TemporaryDirectory() as folder:
        for model in options.models:
            try:
                row = loaded(options, os.path.abspath(model), nvml, folder)
            except RuntimeError as error:
                row = {"model": os.path.basename(model), "error": str(error)[:300]}
            rows.append(row)
            print(json.dumps({key: round(value, 4) if isinstance(value, float) else value for key, value in row.items()}), flush=True)
            time.sleep(1)
    if options.out:
        with open(options.out, "w") as file:
            json.dump(rows, file, indent=1)


if __name__ == "__main__":
    main()
