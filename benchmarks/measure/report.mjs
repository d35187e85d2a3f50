// Medians, tables, and the folder that a run's figures are kept in.

import { spawnSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";

import { repository } from "./processes.mjs";

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

export function quantile(values, q) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.ceil(q * sorted.length) - 1)];
}

/** Three significant digits: finer than the noise. */
export function figure(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "n/a";
  return Math.abs(value) >= 100 ? String(Math.round(value)) : String(Number(value.toPrecision(3)));
}

export function markdownTable(header, rows) {
  const line = (cells) => `| ${cells.join(" | ")} |`;
  return [line(header), line(header.map(() => "---")), ...rows.map(line)].join("\n") + "\n";
}

export function csv(rows) {
  const names = [...new Set(rows.flatMap(Object.keys))];
  const cell = (value) => (/[",\n]/.test(String(value ?? "")) ? JSON.stringify(String(value)) : (value ?? ""));
  return [names.join(","), ...rows.map((row) => names.map((name) => cell(row[name])).join(","))].join("\n") + "\n";
}

/** A short description of the processor: `2core-xeon`. It identifies no machine. */
export function machine() {
  const words = (os.cpus()[0]?.model ?? "unknown")
    .replace(/\(.*?\)/g, " ")
    .replace(/@.*/, "")
    .toLowerCase()
    .split(/[^a-z0-9]+/)
    .filter((word) => word && !["intel", "amd", "processor", "cpu", "core"].includes(word));
  return `${os.cpus().length}core-${words.slice(0, 2).join("-") || "cpu"}`;
}

/** What the figures depend on besides the code. */
export function circumstances() {
  const output = (file, ...args) => spawnSync(file, args, { cwd: repository, encoding: "utf8" }).stdout?.trim();
  return {
    date: new Date().toISOString(),
    processor: os.cpus()[0]?.model,
    cores: os.cpus().length,
    memory_gib: Math.round(os.totalmem() / 2 ** 30),
    kernel: os.release(),
    rustc: output("rustc", "--version"),
    node: process.version,
    // "-dirty": what was measured is not exactly that commit.
    commit: output("git", "describe", "--always", "--dirty", "--exclude", "*"),
    // Above some tenths, something else was running and the figures are worth less.
    load_average_before: os.loadavg()[0],
  };
}

/** Writes a run's files to `benchmarks/runs/<date-machine>/<name>/`, their paths without where they lay, and returns the folder. */
export function keep(name, files) {
  const date = new Date().toISOString().slice(0, 10);
  const folder = path.join(repository, "benchmarks", "runs", `${date}-${machine()}`, name);
  mkdirSync(folder, { recursive: true });
  const here = (text) => [repository, os.tmpdir()].reduce((rest, place) => rest.replaceAll(path.join(place, "/"), ""), text);
  for (const [file, text] of Object.entries(files)) writeFileSync(path.join(folder, file), here(text));
  return path.relative(repository, folder);
}
