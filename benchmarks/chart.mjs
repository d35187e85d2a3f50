// Draws docs/images/gateway.svg from the newest kept runs of benchmarks/gateway.mjs, parts cpu, latency and chunks:
// `node benchmarks/chart.mjs [FOLDER]`, which is the folder `gateway` of a run.
// By hand, because four pairs of bars need no charting library.

import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";

import { repository } from "./measure/processes.mjs";
import { figure } from "./measure/report.mjs";

const folder = process.argv[2] ?? newest();
const kept = ["cpu", "latency", "chunks"].map((part) => JSON.parse(readFileSync(path.join(folder, part, "summary.json"), "utf8")));
const claims = kept.flatMap((part) => part.claims);
const [{ about, rounds }] = kept;
const claim = (name) => {
  const found = claims.find((entry) => entry.name === name);
  if (found === undefined) throw new Error(`${folder} has no figure "${name}"`);
  return found;
};

const panels = [
  { title: "CPU per request", note: "16 connections", unit: "µs", claim: claim("CPU per request, c=16, us"), goal: 60 },
  { title: "Added latency, p50", note: "one connection", unit: "ms", claim: claim("added latency p50, c=1, ms"), goal: 0.15 },
  { title: "Added until first content", note: "streams", unit: "ms", claim: claim("added first-content latency p50, streams, ms"), goal: 0.5 },
  { title: "CPU per streamed chunk", note: "streams", unit: "µs", claim: claim("CPU per streamed chunk, us"), goal: null },
];

const [width, panelHeight, left, barWidth] = [760, 64, 230, 380];
const height = panels.length * panelHeight + 84;
const parts = panels.map(({ title, note, unit, claim: { median, bare_median: bare }, goal }, index) => {
  const top = 52 + index * panelHeight;
  const scale = barWidth / Math.max(median, bare, goal ?? 0);
  const bar = (y, value, colour, who) =>
    `<rect x="${left}" y="${y}" width="${(value * scale).toFixed(1)}" height="16" rx="2" fill="${colour}"/>` +
    `<text x="${(left + value * scale + 6).toFixed(1)}" y="${y + 12}" class="value">${figure(value)} ${unit} ${who}</text>`;
  const mark = goal === null ? "" : `<line x1="${left + goal * scale}" x2="${left + goal * scale}" y1="${top - 3}" y2="${top + 39}" class="goal"/>`;
  return `<text x="16" y="${top + 15}" class="title">${title}</text><text x="16" y="${top + 33}" class="note">${note}</text>` +
    bar(top, median, "#2f6fdb", "uat") + bar(top + 19, bare, "#9aa4b2", "bare hyper") + mark;
});

const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img"
  aria-label="What the gateway adds, beside a bare hyper proxy">
<style>text{font:13px system-ui,sans-serif;fill:#24292f}.title{font-weight:600}.note,.value,.foot{fill:#57606a;font-size:12px}
.goal{stroke:#cf222e;stroke-width:1.5;stroke-dasharray:3 3}.head{font-size:15px;font-weight:600}</style>
<rect width="${width}" height="${height}" rx="8" fill="#ffffff" stroke="#d0d7de"/>
<text x="16" y="30" class="head">What the gateway adds, beside a bare hyper proxy (shorter is better)</text>
${parts.join("\n")}
<text x="16" y="${height - 14}" class="foot">${about.date.slice(0, 10)}, ${about.cores} cores, commit ${about.commit}, median of ${rounds} rounds. Dashed: the goal. npm run bench:gateway</text>
</svg>
`;
const target = path.join(repository, "docs", "images", "gateway.svg");
mkdirSync(path.dirname(target), { recursive: true });
writeFileSync(target, svg);
console.log(`${path.relative(repository, target)} from ${path.relative(repository, path.resolve(folder))}`);

function newest() {
  const runs = path.join(repository, "benchmarks", "runs");
  const found = readdirSync(runs).map((name) => path.join(runs, name, "gateway")).filter((one) => existsSync(path.join(one, "chunks", "summary.json"))).sort().at(-1);
  if (found === undefined) throw new Error("no run by parts is kept yet; make one with `npm run bench:gateway -- cpu latency chunks`");
  return found;
}
