// A group of processes whose memory can be limited while they run, so that the kernel ends one of them.

import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";

/** File names of the two versions, and what each takes for "no limit". */
const VERSIONS = [
  { version: "cgroup v2", root: "/sys/fs/cgroup", limit: "memory.max", usage: "memory.current", events: "memory.events", none: "max" },
  { version: "cgroup v1", root: "/sys/fs/cgroup/memory", limit: "memory.limit_in_bytes", usage: "memory.usage_in_bytes", events: "memory.oom_control", none: "-1" },
];

/** A new group, or null where this user can make none. `remove` it once its processes have been told to end. */
export function memoryCgroup() {
  for (const { version, root, limit, usage, events, none } of VERSIONS) {
    const folder = path.join(root, `uat-bench-${process.pid}`);
    const file = (name) => path.join(folder, name);
    try {
      mkdirSync(folder);
    } catch {
      continue; // Not there, or not ours.
    }
    if (!existsSync(file(limit))) {
      rmdirSync(folder);
      continue;
    }
    return {
      version,
      processes: file("cgroup.procs"),
      usage: () => Number(readFileSync(file(usage), "utf8")),
      setLimit: (bytes) => writeFileSync(file(limit), bytes === null ? none : String(bytes)),
      kills: () => Number(/^oom_kill (\d+)/m.exec(readFileSync(file(events), "utf8"))?.[1] ?? NaN),
      remove: () => removed(folder),
    };
  }
  return null;
}

/** The kernel counts a process as there until its parent has asked for its status. */
async function removed(folder) {
  const deadline = Date.now() + 5_000;
  for (;;) {
    try {
      return rmdirSync(folder);
    } catch (error) {
      if (error.code !== "EBUSY" || Date.now() > deadline) throw error;
    }
    await delay(20);
  }
}
