// Draws docs/images/rust.svg from the newest kept runs of `npm run benchmark:rust`: `node benchmarks/rust/chart.mjs`. By hand, because a dozen bars need no charting library.

import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";

import { repository } from "../measure/processes.mjs";
import { ROWS } from "./rows.mjs";

const runs = path.join(repository, "benchmarks", "runs");
const [width, rowHeight, left, barWidth, top] = [800, 58, 310, 350, 62];
const rows = Object.entries(ROWS).map(([name, row]) => ({ ...row, ...newest(name) }));
const height = top + rows.length * rowHeight + 34;

/** What the newest kept run of a row found. */
function newest(name) {
  const kept = readdirSync(runs).sort().map((run) => path.join(runs, run, "rust", name, "summary.json")).filter((file) => existsSync(file));
  if (kept.length === 0) throw new Error(`no kept run of ${name}: npm run benchmark:rust -- ${name}`);
  const { about, claims } = JSON.parse(readFileSync(kept.at(-1), "utf8"));
  return { about, spared: claims[0].median };
}

const bars = rows.map(({ name, what, claim, spared }, index) => {
  const y = top + index * rowHeight;
  // Where TypeScript is faster there is no bar to the right.
  const [measured, said] = [Math.max(spared, 0), claim].map((percent) => percent / 100 * barWidth);
  const bar = (line, length, colour, text) => `<rect x="${left}" y="${y + line * 19}" width="${length.toFixed(1)}" height="16" rx="2" fill="${colour}"/><text x="${(left + length + 6).toFixed(1)}" y="${y + line * 19 + 12}" class="value">${text}</text>`;
  const found = spared < 0 ? `TypeScript is faster: ${Math.round(-spared)} % more time` : `${Math.round(spared)} %`;
  return `<g><title>${what}</title><text x="16" y="${y + 22}" class="title">${name}</text>${bar(0, measured, "#2f6fdb", found)}${bar(1, said, "#c8d0da", `${claim} %, the guide's claim`)}</g>`;
});

const [{ about }] = rows;
const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img"
  aria-label="How much less time operations take on the Rust core than in TypeScript, beside what the guide claims">
<style>text{font:13px system-ui,sans-serif;fill:#24292f}.title{font-weight:600}.value,.foot{fill:#57606a;font-size:12px}.head{font-size:15px;font-weight:600}</style>
<rect width="${width}" height="${height}" rx="8" fill="#ffffff" stroke="#d0d7de"/>
<text x="16" y="30" class="head">Time that the Rust core spares, beside the TypeScript fallback (longer is better)</text>
${bars.join("\n")}
<text x="16" y="${height - 14}" class="foot">${about.date.slice(0, 10)}, ${about.cores} cores, Node ${about.node}, medians of 5 rounds. npm run benchmark:rust</text>
</svg>
`;
const image = path.join(repository, "docs", "images", "rust.svg");
mkdirSync(path.dirname(image), { recursive: true });
writeFileSync(image, svg);
console.log(path.relative(repository, image));
