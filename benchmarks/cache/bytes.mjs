// How many bytes a document takes in Redis: our compression as it comes, beside plain zstd, lz4 and none.

import { peerModule } from "../engine/peers.mjs";
import { figure, markdownTable, median } from "../measure/report.mjs";
import { openService } from "./clients.mjs";
import { KINDS } from "./documents.mjs";
import { atMost, shown } from "../measure/goals.mjs";
import { Redis } from "./redis.mjs";

export const title = "Bytes in Redis";

const GOALS = { "LLM JSON": 0.6, "LLM JSON, sentences of people": 0.6, sessions: 0.45 };
const SERVICES = { "ours, zstd (the default)": { enableCompression: true }, "ours, lz4": { enableCompression: true, compression: { codec: "lz4" } }, "ours, none": {} };
const [OURS] = Object.keys(SERVICES);
/** Bounds of the document's size in bytes, for the table. */
const CLASSES = [[0, 1024], [1024, 4096], [4096, 16_384]];

export async function run({ quick }) {
  const seeds = quick ? 3 : 7;
  const count = quick ? 100 : 400;
  const zstd = peerModule("@bokuweb/zstd-wasm");
  await zstd.init();
  const redis = await Redis.start();
  const services = {};
  const raw = [];
  try {
    for (const [name, options] of Object.entries(SERVICES)) services[name] = await openService({ url: redis.url, nearCache: false, ...options });
    for (const [kind, make] of Object.entries(KINDS)) {
      for (let seed = 1; seed <= seeds; seed += 1) {
        for (const { shape, document } of make(1000 + seed, count)) {
          const json = Buffer.from(JSON.stringify(document));
          const row = { round: seed, kind, shape, json: json.length, "plain zstd 1": Math.min(json.length, zstd.compress(json, 1).length) };
          for (const [name, service] of Object.entries(services)) {
            await service.set("document", document);
            row[name] = await redis.control.strlen("document");
            if (JSON.stringify(await service.get("document")) !== String(json)) throw new Error(`${name} gave back another document`);
          }
          raw.push(row);
        }
      }
    }
  } finally {
    await Promise.all(Object.values(services).map((service) => service.close()));
    await redis.stop();
  }
  const series = (kind, name) => Array.from({ length: seeds }, (_, at) => raw.filter((row) => row.kind === kind && row.round === at + 1)).map((rows) => sum(rows, name) / sum(rows, "plain zstd 1"));
  return {
    claims: [
      ...Object.keys(KINDS).map((kind) => atMost(`bytes of ${kind}, of plain zstd's`, GOALS[kind], series(kind, OURS))),
      ...Object.keys(KINDS).map((kind) => shown(`bytes of ${kind} with lz4, of plain zstd's`, series(kind, "ours, lz4"))),
    ],
    tables: Object.keys(KINDS).map((kind) => table(kind, raw.filter((row) => row.kind === kind))),
    notes: [
      "What is counted is `STRLEN` after `set` of the object: our figures contain the envelope (type, lengths, checksum). Plain zstd is level 1 of @bokuweb/zstd-wasm without a dictionary and without any envelope, or the JSON itself where that is shorter.",
      `The documents are made by benchmarks/cache/documents.mjs, which says how: other shapes and other prose than those that the dictionary was trained with. ${seeds} seeds of ${count} documents of each kind; the median is over the seeds.`,
      "Prose of the first kind is put together from word lists: it lacks the frequent words of real answers, and repeats its own words more than they do. The second kind has the same shapes, with sentences from the READMEs of the peers' packages, which recur from document to document and seldom within one.",
    ],
    raw,
  };
}

function sum(rows, name) {
  return rows.reduce((total, row) => total + row[name], 0);
}

/** All documents of a kind, then by size, then by shape. */
function table(kind, raw) {
  const columns = [...Object.keys(SERVICES), "plain zstd 1"];
  const groups = [
    ["all", raw],
    ...CLASSES.map(([least, most]) => [`${least} .. ${most} bytes`, raw.filter((row) => row.json >= least && row.json < most)]),
    ...[...new Set(raw.map((row) => row.shape))].sort().map((shape) => [shape, raw.filter((row) => row.shape === shape)]),
  ].filter(([, rows]) => rows.length > 0);
  return markdownTable(
    [kind, "documents", "JSON, median bytes", ...columns.map((name) => `${name}, of the JSON`), `${OURS}, of plain zstd's`],
    groups.map(([name, rows]) => [name, rows.length, figure(median(rows.map((row) => row.json))), ...columns.map((one) => figure(sum(rows, one) / sum(rows, "json"))), figure(sum(rows, OURS) / sum(rows, "plain zstd 1"))]),
  );
}
