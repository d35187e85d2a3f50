// The limit: hyper passing requests on to one backend, and nothing else.

import { startServer, stop } from "../../measure/processes.mjs";

export const name = "bare hyper";
export const policy = "one backend only";

export const install = async () => ({ version: "benchmarks/harness" });

export async function start({ backends: [backend] }) {
  const { child, url } = await startServer("bare-proxy", ["--upstream", new URL(backend).host]);
  return { url, headers: {}, model: "m", child, pids: () => [child.pid], log: [], stop: () => stop(child) };
}
