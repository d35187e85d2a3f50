// What a lease costs in the core, among threads and through the daemon; 64 processes that contend for one; and how soon the dead leave theirs.

import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";

import { atMost, exactly, shown } from "../measure/goals.mjs";
import { binary, startGpuDaemon, stop } from "../measure/processes.mjs";

export const title = "What a lease costs";

const ROUNDS = 5;
const PROCESSES = 64;
const GPUS = 8;
const MIB = 24576;
const DEATHS = 50;

export async function run({ program, quick, say }) {
  const leases = program("leases");
  const said = (...args) => {
    const { status, stdout, stderr } = spawnSync(leases, args, { encoding: "utf8" });
    if (status !== 0) throw new Error(`leases ${args.join(" ")}: ${stderr}`);
    return JSON.parse(stdout);
  };
  const raw = [];
  const folder = mkdtempSync(path.join(os.tmpdir(), "uat-gpu-"));
  const socket = path.join(folder, "gpu.sock");
  const place = ["--socket", socket, "--state", folder];
  let daemon = await startGpuDaemon(["--fake-gpus", `${GPUS}x${MIB}`, ...place]);
  try {
    for (let round = 0; round < (quick ? 1 : ROUNDS); round += 1) {
      say(`  round ${round + 1}`);
      const [core, threads, host] = [said("core"), said("threads"), said("daemon", socket)];
      raw.push({ round, core_us: core.p50_us, threads_us: threads.p50_us, allocate_us: host.allocate.p50_us, allocate_p99_us: host.allocate.p99_us, release_us: host.release.p50_us });
    }
    say(`  ${PROCESSES} processes`);
    const contended = said("contend", socket, String(PROCESSES), quick ? "100" : "1000");
    raw.push({ round: "contended", ...contended, wait: JSON.stringify(contended.wait) });
    say(`  ${DEATHS} holders that are killed`);
    await stop(daemon);
    daemon = await startGpuDaemon(["--fake-gpus", `1x${MIB}`, ...place]);
    const deaths = said("deaths", socket, String(quick ? 5 : DEATHS));
    raw.push({ round: "deaths", freed_p50_us: deaths.freed.p50_us, freed_longest_us: deaths.longest_us });
    say(`  ${PROCESSES} processes and a fake NVML library`);
    await stop(daemon);
    const script = path.join(folder, "nvml.json");
    writeFileSync(script, JSON.stringify({ devices: Array.from({ length: GPUS }, () => ({ total: MIB * 2 ** 20 })) }));
    daemon = await startGpuDaemon(["--nvml", binary("libfake_nvml.so"), ...place], { FAKE_NVML_SCRIPT: script });
    const seen = said("contend", socket, String(PROCESSES), quick ? "20" : "1000", script);
    raw.push({ round: "contended with NVML", ...seen, wait: JSON.stringify(seen.wait) });
    const of = (name) => raw.filter((row) => row[name] !== undefined).map((row) => row[name]);
    return {
      rounds: quick ? 1 : ROUNDS,
      raw,
      claims: [
        atMost("allocate and release in the core, 8 GPUs, somebody in line, us", 1, of("core_us")),
        shown("the same among threads, with the callback, us", of("threads_us")),
        atMost("allocate through the daemon, p50, us", 60, of("allocate_us")),
        shown("p99, us", of("allocate_p99_us")),
        shown("release through the daemon, p50, us", of("release_us")),
        exactly(`over-commits as ${PROCESSES} processes add up what they were given`, 0, contended.over_commits),
        exactly("requests of theirs that were refused", 0, contended.refused),
        shown("their longest wait, ms", [contended.longest_wait_ms]),
        shown("all of theirs, s", [contended.took_s]),
        exactly("over-commits as a fake NVML library sees them, which is told what each one uses", 0, seen.over_commits_seen),
        exactly("requests refused there", 0, seen.refused),
        shown("longest wait there, ms", [seen.longest_wait_ms]),
        shown("all of theirs there, s", [seen.took_s]),
        shown("from kill -9 of a holder to the grant of its memory to somebody who waits, p50, ms", [deaths.freed.p50_us / 1e3]),
        atMost("the longest of them, ms", 100, [deaths.longest_us / 1e3]),
      ],
      tables: [],
      notes: [
        "Scripted GPUs, but where a fake NVML library is named: a driver is read twice a second beside all this, and costs nothing here.",
        "Each process holds what it gets for a moment only, from 1 to 12 GiB of eight times 24 GiB, and waits up to ten minutes.",
        "Through the daemon a lease is written to its file before it is answered.",
      ],
    };
  } finally {
    await stop(daemon);
    rmSync(folder, { recursive: true, force: true });
  }
}
