"""A pytest plugin that writes the outcome of each test as a line of JSON to the file that OUTCOMES names."""

import json
import os


def pytest_runtest_logreport(report):
    # Setting up and tearing down count only where they go wrong.
    if report.when != "call" and not (report.failed or report.skipped):
        return
    crash = getattr(report.longrepr, "reprcrash", None)
    message = crash.message if crash is not None else str(report.longrepr or "")
    with open(os.environ["OUTCOMES"], "a") as file:
        file.write(json.dumps({"test": report.nodeid, "outcome": report.outcome, "message": message}) + "\n")
