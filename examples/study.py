"""A study over HTTP, with nothing but Python's standard library: python3 examples/study.py [http://127.0.0.1:8642]"""

import json
import math
import sys
import urllib.request

URL = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8642"


def call(path, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(URL + path, data, {"content-type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def branin(x, y):
    bowl = (y - 5.1 * x**2 / (4 * math.pi**2) + 5 * x / math.pi - 6) ** 2
    return bowl + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10


space = {"x": {"type": "float", "low": -5, "high": 10}, "y": {"type": "float", "low": 0, "high": 15}}
call("/v1/studies", {"name": "branin", "space": space})
for _ in range(40):
    for trial in call("/v1/studies/branin/ask", {})["trials"]:
        call("/v1/studies/branin/tell", {"trial": trial["id"], "values": [branin(**trial["parameters"])]})
best = call("/v1/studies/branin/best")["best"]
print(f"{best['values'][0]:.6f} at {best['parameters']}; its minimum is 0.397887")
print(f"the report: {URL}/v1/studies/branin/report")
