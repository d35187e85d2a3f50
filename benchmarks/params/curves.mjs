// Regret over the trials, a small picture for each problem, as one SVG. By hand, because lines need no charting library.

const [WIDTH, HEIGHT, COLUMNS] = [230, 150, 5];
const [LEFT, TOP, RIGHT, BOTTOM] = [44, 24, 8, 20];
/** Below it a regret is rounding. */
const LEAST = 1e-9;

export function curves(pairs, peer) {
  const rows = Math.ceil(pairs.length / COLUMNS);
  const [width, height] = [COLUMNS * WIDTH, rows * HEIGHT + 34];
  const panels = pairs.map((pair, place) => panel(pair, peer, (place % COLUMNS) * WIDTH, 34 + Math.floor(place / COLUMNS) * HEIGHT));
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-label="Regret over trials, ours beside ${peer}">
<style>text{font:10px system-ui,sans-serif;fill:#57606a}.title{font-size:11px;font-weight:600;fill:#24292f}.ours{stroke:#2f6fdb}.peer{stroke:#b58a3c}polyline{fill:none;stroke-width:1.6}.frame{fill:none;stroke:#d0d7de}</style>
<rect width="${width}" height="${height}" fill="#ffffff"/>
<text x="12" y="20" style="font-size:14px;font-weight:600;fill:#24292f">Median regret over trials (logarithmic): <tspan fill="#2f6fdb">ours</tspan> and <tspan fill="#b58a3c">${peer}</tspan></text>
${panels.join("\n")}
</svg>
`;
}

function panel({ problem, curves: found }, peer, x, y) {
  const lines = [["ours", found.ours], ["peer", found[peer]]].filter(([, line]) => line !== undefined);
  const logs = lines.map(([name, line]) => [name, line.map((value) => (Number.isFinite(value) && value !== null ? Math.log10(Math.max(value, LEAST)) : null))]);
  const seen = logs.flatMap(([, line]) => line.filter((value) => value !== null));
  if (seen.length === 0) return "";
  const [low, high] = [Math.min(...seen), Math.max(...seen)];
  const span = Math.max(high - low, 0.1);
  const [w, h] = [WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM];
  const at = (value, trial, count) => `${(x + LEFT + (w * trial) / Math.max(count - 1, 1)).toFixed(1)},${(y + TOP + (h * (high - value)) / span).toFixed(1)}`;
  const drawn = logs.map(([name, line]) => `<polyline class="${name}" points="${line.flatMap((value, trial) => (value === null ? [] : [at(value, trial, line.length)])).join(" ")}"/>`);
  return `<rect class="frame" x="${x + LEFT}" y="${y + TOP}" width="${w}" height="${h}"/><text class="title" x="${x + LEFT}" y="${y + 17}">${problem}</text>
<text x="${x + LEFT - 4}" y="${y + TOP + 8}" text-anchor="end">1e${high.toFixed(1)}</text><text x="${x + LEFT - 4}" y="${y + TOP + h}" text-anchor="end">1e${low.toFixed(1)}</text>${drawn.join("")}`;
}
