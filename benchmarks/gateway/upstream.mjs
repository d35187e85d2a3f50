// What the parts that measure speed have in common: a lean upstream, every gateway in front of it, and rounds that
// alternate their order.

import { load, startServer, stop } from "../measure/processes.mjs";
import { figure, markdownTable, median } from "../measure/report.mjs";

/** 50 chunks, one every 10 ms: the pace of a fast model; slower ones would only make the run longer. */
export const CHUNKS = 50;
export const INTERVAL_MS = 10;

/**
 * Calls `use` with every gateway running in front of one mock upstream, each as `{ name, url, headers, pids, share }`, and
 * with `direct`, which is the upstream itself.
 */
export async function overOneUpstream({ gateways, limit, setup, say, options = {}, again = false }, use) {
  const { chunks = CHUNKS, interval_ms = INTERVAL_MS } = options;
  const mock = await startServer("mock-upstream", ["--chunks", String(chunks), "--interval-ms", String(interval_ms)]);
  const running = [];
  try {
    // The same bare proxy once more: what it differs from itself by is noise.
    for (const [gateway, name] of [...[...limit, ...gateways].map((one) => [one, one.name]), ...(again ? limit.map((one) => [one, "again"]) : [])]) {
      try {
        const { share } = gateway;
        running.push({ ...(await gateway.start({ ...setup, backends: [mock.url] })), name, share });
      } catch (error) {
        if (error.name !== "NotStarted") throw error;
        say(`${name} does not start: ${error.message}`);
      }
    }
    return await use(running, { name: "direct", url: mock.url, headers: {}, model: "m", pids: () => [] });
  } finally {
    await Promise.all(running.map((one) => one.stop()));
    await stop(mock.child);
  }
}

/** Load on one gateway. Slow ones get their share of the requests, at least `least`. */
export function put(target, { requests, warmup = 0, least = 200, ...job }) {
  const share = target.share ?? 1;
  const fewer = (count) => Math.max(Math.min(count, least), Math.round(count * share));
  const headers = Object.entries(target.headers).map(([name, value]) => `${name}: ${value}`);
  return load({ url: `${target.url}/v1/chat/completions`, model: target.model, header: headers, pid: target.pids(), requests: fewer(requests), warmup: fewer(warmup), ...job });
}

/**
 * So many rounds over the targets, every other one backwards: a drift of the machine then favours nobody. A peer whose
 * answers are wrong is left out, and `raw.unfit` says why; ours ends the part.
 */
export async function inTurn(targets, rounds, measure) {
  const raw = [];
  const unfit = new Map();
  for (let round = 1; round <= rounds; round += 1) {
    for (const target of round % 2 ? targets : [...targets].reverse()) {
      if (unfit.has(target.name)) continue;
      try {
        raw.push({ round, gateway: target.name, ...flat(await measure(target)) });
      } catch (error) {
        if (["uat", "bare hyper", "direct", "again"].includes(target.name)) throw error;
        unfit.set(target.name, error.message.replace(/^load .*?: /, "").slice(0, 300));
      }
    }
  }
  const fit = raw.filter((row) => !unfit.has(row.gateway));
  fit.unfit = [...unfit].map(([name, why]) => `${name} is not measured, because its answers were wrong: ${why}`);
  return fit;
}

/** One level of names: `latency_us.p50` becomes `latency_us_p50`. */
function flat(result) {
  return Object.fromEntries(
    Object.entries(result).flatMap(([name, value]) =>
      value && typeof value === "object" ? Object.entries(value).map(([inner, one]) => [`${name}_${inner}`, one]) : [[name, value]],
    ),
  );
}

/** A figure of each round. */
export const column = (raw, gateway, name) => raw.filter((row) => row.gateway === gateway).map((row) => row[name]);

/** Each round's figure beside that of another in the same round. */
export function beside(raw, gateway, other, name, compare) {
  return raw.filter((row) => row.gateway === gateway).map((row) => compare(row[name], raw.find((one) => one.gateway === other && one.round === row.round)[name]));
}
export const ratio = (one, other) => one / other;
/** Microseconds apart, in milliseconds. */
export const added = (one, other) => (one - other) / 1e3;

/** One row a gateway; `columns` are `[title, (name) => values]`. */
export function sideBySide(title, names, columns) {
  const cell = (values) => (values.length === 0 || values.some((value) => !Number.isFinite(value)) ? "" : values.length === 1 ? figure(values[0]) : `${figure(median(values))} (${figure(Math.min(...values))} .. ${figure(Math.max(...values))})`);
  return markdownTable([title, ...columns.map(([head]) => head)], names.map((name) => [name === "again" ? "bare hyper again (noise)" : name, ...columns.map(([, of]) => cell(of(name)))]));
}
