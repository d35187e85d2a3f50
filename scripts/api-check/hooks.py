"""What schemathesis is told about this API: names that exist, and what counts as a failure.

Most generated requests would ask for a model that does not exist; three of four are turned to one that does, so that
what lies behind the name is reached. 502, 503 and 504 are documented answers (a limit of 1 ms passes); 500 never is.
"""

import atexit
import collections
import json
import os

import schemathesis

# An offer is text like any other.
schemathesis.serializer.alias("application/sdp", "text/plain")

MODEL = os.environ["UAT_CHECK_MODEL"]
REPORT = os.environ["UAT_CHECK_REPORT"]
statuses = collections.Counter()
turn = 0


def due():
    global turn
    turn += 1
    return turn % 4 != 0


@schemathesis.hook
def map_body(context, body):
    if isinstance(body, dict) and "model" in body and due():
        body["model"] = MODEL
    return body


@schemathesis.hook
def map_path_parameters(context, path_parameters):
    if path_parameters and "model" in path_parameters and due():
        path_parameters["model"] = MODEL
    return path_parameters


@schemathesis.hook
def after_call(context, case, response):
    statuses[f"{case.method.upper()} {case.operation.path} {response.status_code}"] += 1


@schemathesis.check
def no_internal_error(ctx, response, case):
    assert response.status_code != 500, f"500: {response.text}"


@atexit.register
def report():
    with open(REPORT, "w", encoding="utf-8") as file:
        json.dump(statuses, file)
