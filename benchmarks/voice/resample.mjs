// What 20 ms of live audio cost to bring to 16 kHz.

import { spawnSync } from "node:child_process";

import { atMost, shown } from "../measure/goals.mjs";
import { repository } from "../measure/processes.mjs";

export const title = "Resampling to 16 kHz";

const UNIT = { ns: 1e-3, "µs": 1, ms: 1e3 };

export async function run() {
  const { status, stdout, stderr } = spawnSync("cargo", ["bench", "--locked", "-p", "audio-input", "--bench", "resample"], { cwd: repository, encoding: "utf8" });
  if (status !== 0) throw new Error(stderr.trim());
  // divan's table: the name, then fastest, slowest, median and mean, each a figure with its unit.
  const rows = [...stdout.matchAll(/(\d+)\s+([\d.]+) (ns|µs|ms).*?│\s+[\d.]+ (?:ns|µs|ms)\s+│\s+([\d.]+) (ns|µs|ms)/g)].map(([, rate, fastest, unit, middle, its]) => ({ rate: Number(rate), fastest_us: fastest * UNIT[unit], median_us: middle * UNIT[its] }));
  const of = (rate) => rows.find((row) => row.rate === rate)?.median_us ?? NaN;
  return {
    rounds: 1,
    raw: rows,
    claims: [atMost("20 ms of 48 kHz, us", 3, [of(48_000)]), ...[44_100, 24_000, 8_000].map((rate) => shown(`20 ms of ${rate} Hz, us`, [of(rate)]))],
    tables: [],
    notes: ["Medians of a thousand samples of twenty frames, one thread."],
  };
}
