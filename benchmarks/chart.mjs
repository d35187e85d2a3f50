// Draws docs/images/gateway.svg from the newest kept runs of benchmarks/gateway.mjs, parts cpu, latency and chunks:
// `node benchmarks/chart.mjs [FOLDER]`, which is the folder `gateway` of a run.
// By hand, because a dozen bars need no charting library.

import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";

import { repository } from "./measure/processes.mjs";
import { figure, median } from "./measure/report.mjs";

const folder = process.argv[2] ?? newest();
const read = (part) => JSON.parse(readFileSync(path.join(folder, part, "summary.json"), "utf8"));
const [{ about, rounds }] = ["cpu", "latency", "chunks"].map(read);

/** The median over the rounds of a column, or of how much more it is than the upstream's own; both in the raw unit. */
function medians(part, column, added) {
  const [head, ...lines] = readFileSync(path.join(folder, part, "raw.csv"), "utf8").trim().split("\n").map((line) => line.split(","));
  const rows = lines.map((cells) => ({ round: cells[head.indexOf("round")], gateway: cells[head.indexOf("gateway")], value: Number(cells[head.indexOf(column)]) }));
  const direct = (round) => rows.find((row) => row.gateway === "direct" && row.round === round).value;
  const names = [...new Set(rows.map((row) => row.gateway))].filter((name) => name !== "direct" && name !== "again");
  return new Map(names.map((name) => [name, median(rows.filter((row) => row.gateway === name).map((row) => row.value - (added ? direct(row.round) : 0)))]));
}

const panels = [
  { title: "CPU per request", note: "16 connections", unit: "µs", values: medians("cpu", "cpu_us_per_request", false), scale: 1, goal: 60 },
  { title: "Added latency, p50", note: "one connection", unit: "ms", values: medians("latency", "latency_us_p50", true), scale: 1e-3, goal: 0.15 },
  { title: "Added until first content", note: "streams", unit: "ms", values: medians("chunks", "first_content_us_p50", true), scale: 1e-3, goal: 0.5 },
  { title: "CPU per streamed chunk", note: "streams", unit: "µs", values: medians("chunks", "cpu_us_per_chunk", false), scale: 1, goal: null },
];

const [width, panelHeight, left, barWidth] = [760, 80, 230, 360];
const height = panels.length * panelHeight + 84;
const parts = panels.map(({ title, note, unit, values, scale, goal }, index) => {
  const top = 52 + index * panelHeight;
  const peers = [...values].filter(([name]) => !["uat", "bare hyper"].includes(name));
  const [best] = peers.sort((one, other) => one[1] - other[1]);
  const bars = [["uat", values.get("uat"), "#2f6fdb"], [`${best[0]}, the best of ${peers.length} peers`, best[1], "#b58a3c"], ["bare hyper, the limit", values.get("bare hyper"), "#9aa4b2"]];
  const perUnit = barWidth / Math.max(...bars.map(([, value]) => value * scale), goal ?? 0);
  const bar = ([who, value, colour], row) => {
    const [y, length] = [top + row * 19, value * scale * perUnit];
    const text = `${figure(value * scale)} ${unit} ${who}`;
    // Beside a long bar there is no room.
    const place = length > 190 ? `x="${(left + length - 6).toFixed(1)}" text-anchor="end" class="value inside"` : `x="${(left + length + 6).toFixed(1)}" class="value"`;
    return `<rect x="${left}" y="${y}" width="${length.toFixed(1)}" height="16" rx="2" fill="${colour}"/><text ${place} y="${y + 12}">${text}</text>`;
  };
  const mark = goal === null ? "" : `<line x1="${left + goal * perUnit}" x2="${left + goal * perUnit}" y1="${top - 3}" y2="${top + 58}" class="goal"/>`;
  return `<text x="16" y="${top + 22}" class="title">${title}</text><text x="16" y="${top + 40}" class="note">${note}</text>${bars.map(bar).join("")}${mark}`;
});

const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img"
  aria-label="What the gateway adds, beside other gateways and a bare hyper proxy">
<style>text{font:13px system-ui,sans-serif;fill:#24292f}.title{font-weight:600}.note,.value,.foot{fill:#57606a;font-size:12px}
.inside{fill:#ffffff}
.goal{stroke:#cf222e;stroke-width:1.5;stroke-dasharray:3 3}.head{font-size:15px;font-weight:600}</style>
<rect width="${width}" height="${height}" rx="8" fill="#ffffff" stroke="#d0d7de"/>
<text x="16" y="30" class="head">What the gateway adds, beside the best of five others (shorter is better)</text>
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
