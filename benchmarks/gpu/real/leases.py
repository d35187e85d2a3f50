"""Tries leases on a real GPU: `leases.py UAT [--programs 20] [--out FILE]`. Each line says what was expected and what was seen; status 1 where one differs.

It takes the card's memory with plain allocations, a few seconds long, and gives it back; settings of the card are left alone.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time

from cuda import MIB, Cuda, Nvml
from local import Local

HOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "cuda.py")
SEEN = []
#: What a context of CUDA takes of a card beside what is allocated in it.
CONTEXT_MIB = 800


def see(what, good, **figures):
    SEEN.append({"what": what, "good": bool(good), **figures})
    print(("ok   " if good else "FAIL ") + what + ": " + json.dumps(figures), flush=True)


class Daemon(Local):
    """`uat gpu daemon` on the machine's own GPUs, and what is said to it."""

    def __init__(self, uat, folder):
        super().__init__(os.path.join(folder, "gpu.sock"))
        self.uat, self.folder = uat, folder
        self.start()

    def start(self):
        self.child = subprocess.Popen([self.uat, "gpu", "daemon", "--socket", self.path, "--state", os.path.join(self.folder, "state")], stdout=subprocess.PIPE, text=True)
        line = self.child.stdout.readline()
        if "listening" not in line:
            raise RuntimeError(f"the daemon did not start: {line}")

    def gpu(self):
        return self.call("GET", "/v1/gpus")[1]["gpus"][0]

    def leases(self):
        return self.call("GET", "/v1/leases")[1]

    def run(self, mib, *command, wait="60s", **streams):
        streams = {"stdout": subprocess.PIPE, "text": True, **streams}
        return subprocess.Popen([self.uat, "gpu", "run", "--socket", self.path, "--vram", str(mib), "--wait", wait, "--", *command], **streams)

    def stop(self, how=signal.SIGTERM):
        self.child.send_signal(how)
        self.child.wait()
        self.close()


def until(condition, seconds=10.0, step=0.001):
    """Milliseconds until it held; `None` where it never did."""
    began = time.perf_counter()
    while time.perf_counter() - began < seconds:
        if condition():
            return 1e3 * (time.perf_counter() - began)
        time.sleep(step)
    return None


def holder(mib, seconds=""):
    return [sys.executable, HOLDER, str(mib), *([str(seconds)] if seconds != "" else [])]


def held(child):
    """The process that holds, as its first line says; `None` where there was no memory."""
    line = child.stdout.readline().split()
    return int(line[1]) if line[:1] == ["held"] else None


def listed(uat, nvml):
    began = time.perf_counter()
    told = json.loads(subprocess.run([uat, "gpu", "list", "--json"], capture_output=True, check=True).stdout)
    took = 1e3 * (time.perf_counter() - began)
    gpu = (told["gpus"] if isinstance(told, dict) else told)[0]
    see("uat gpu list tells what the library tells", gpu["total_bytes"] == nvml.memory()["total"], listed=gpu, library=nvml.memory(), ms=took)


def one_lease(daemon, nvml):
    before = daemon.gpu()
    child = daemon.run(8192, *holder(8192 - CONTEXT_MIB))
    pid = held(child)
    until(lambda: daemon.gpu()["used_bytes"] > before["used_bytes"] + 7000 * MIB, 3)
    during, used = daemon.gpu(), nvml.processes().get(pid)
    see("a holder's memory is known by its process", used is not None, used_mib=(used or 0) // MIB, context_mib=((used or 0) // MIB) - 8192 + CONTEXT_MIB)
    grew = (before["free_bytes"] - during["free_bytes"]) // MIB
    see("it counts once: what is leased, and not again what is used of it", abs(grew - 8192) <= 64, free_less_mib=grew, external_mib=during["external_bytes"] // MIB, was_external_mib=before["external_bytes"] // MIB)
    os.kill(pid, signal.SIGKILL)
    child.wait()


def killed(daemon, nvml, times=15):
    lease_gone, memory_gone = [], []
    # A driver takes its time to end a process that has a context, and the lease is not over before.
    for turn in range(times):
        child = daemon.run(4096, *holder(2048))
        pid = held(child)
        victim = pid if turn % 2 == 0 else child.pid
        os.kill(victim, signal.SIGKILL)
        lease_gone.append(until(lambda: daemon.leases()["leases"] == []))
        if victim == pid:
            memory_gone.append(until(lambda: pid not in nvml.processes()))
        else:
            # The command lives on without its lease, as one of the others.
            os.kill(pid, signal.SIGKILL)
        child.wait()
    see(
        "kill -9 of the command and of uat gpu run ends the lease", None not in lease_gone, command_ms=lease_gone[::2], uat_gpu_run_ms=lease_gone[1::2],
        median_ms=statistics.median(lease_gone), then_card_free_after_ms=memory_gone,
    )


def others(daemon):
    outside = Cuda()
    total = daemon.gpu()["total_bytes"] // MIB
    free = outside.take(int(total * 0.6))
    until(lambda: daemon.gpu()["external_bytes"] > total * MIB * 0.5, 3)
    gpu = daemon.gpu()
    status, answer = daemon.call("POST", "/v1/leases", {"bytes": int(total * 0.5) * MIB, "wait_ms": 0})
    see("memory of others is never given out", status == 503 and answer.get("error", {}).get("code") == "UAT_INSUFFICIENT_VRAM", status=status, message=answer.get("error", {}).get("message"), external_mib=gpu["external_bytes"] // MIB)
    free()
    until(lambda: daemon.gpu()["free_bytes"] > total * MIB * 0.8, 3)
    status, answer = daemon.call("POST", "/v1/leases", {"bytes": int(total * 0.5) * MIB, "wait_ms": 5000})
    see("and is when they are gone", status == 201, status=status)
    if status == 201:
        daemon.call("DELETE", f"/v1/leases/{answer['lease']}")
    return outside


def overuse(daemon, cuda):
    status, lease = daemon.call("POST", "/v1/leases", {"bytes": 4096 * MIB, "duration_ms": 60_000})
    free = cuda.take(9000)
    time.sleep(1.5)
    refused, answer = daemon.call("POST", "/v1/leases", {"bytes": 1024 * MIB, "wait_ms": 0})
    see("who takes twice its lease gets no other", status == 201 and refused == 503, status=refused, message=answer.get("error", {}).get("message"))
    free()
    time.sleep(1.5)
    again, answer = daemon.call("POST", "/v1/leases", {"bytes": 1024 * MIB, "wait_ms": 2000})
    see("until it has given back what was too much", again == 201, status=again, answer=answer if again != 201 else "")
    for held_ in daemon.leases()["leases"]:
        daemon.call("DELETE", f"/v1/leases/{held_['lease']}")


def contended(daemon, nvml, count, seconds):
    """`count` programs that want a fifth of the card each, with leases and without."""
    total = nvml.memory()["total"] // MIB
    share = int(total * 0.19)
    take = share - CONTEXT_MIB
    lowest = [nvml.memory()["free"]]

    def finish(children):
        codes = []
        for child in children:
            while child.poll() is None:
                lowest[0] = min(lowest[0], nvml.memory()["free"])
                time.sleep(0.01)
            codes.append(child.returncode)
        return codes

    began = time.perf_counter()
    codes = finish([daemon.run(share, *holder(take, seconds), wait="300s", stdout=subprocess.DEVNULL) for _ in range(count)])
    see(f"{count} programs that want {share} MiB each: all had it", codes == [0] * count, codes=codes, s=time.perf_counter() - began, lowest_free_mib=lowest[0] // MIB)
    began = time.perf_counter()
    codes = finish([subprocess.Popen(holder(take, seconds), stdout=subprocess.DEVNULL) for _ in range(count)])
    see("the same without leases, to compare", 3 in codes, out_of_memory=codes.count(3), s=time.perf_counter() - began)


def daemon_killed(daemon, nvml):
    children = [daemon.run(8192, *holder(4096)) for _ in range(3)]
    pids = [held(child) for child in children]
    began = time.perf_counter()
    daemon.stop(signal.SIGKILL)
    daemon.start()
    until(lambda: daemon.leases()["waiting_for"] == [])
    known = sorted(one["lease"] for one in daemon.leases()["leases"])
    see("kill -9 of the daemon loses no lease", len(known) == 3, leases=known, all_reattached_after_ms=1e3 * (time.perf_counter() - began))
    for pid, child in zip(pids, children):
        os.kill(pid, signal.SIGKILL)
        child.wait()
    gone = until(lambda: daemon.leases()["leases"] == [])
    see("and they end with their holders", gone is not None, ms=gone)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("uat")
    parser.add_argument("--programs", type=int, default=20)
    parser.add_argument("--out")
    options = parser.parse_args()
    nvml = Nvml()
    with tempfile.TemporaryDirectory() as folder:
        listed(options.uat, nvml)
        daemon = Daemon(options.uat, folder)
        try:
            for part in [one_lease, killed, daemon_killed]:
                part(daemon, nvml)
            contended(daemon, nvml, options.programs, 1)
            overuse(daemon, others(daemon))
        finally:
            daemon.stop()
    if options.out:
        with open(options.out, "w") as file:
            json.dump(SEEN, file, indent=1)
    sys.exit(0 if all(one["good"] for one in SEEN) else 1)


if __name__ == "__main__":
    main()
