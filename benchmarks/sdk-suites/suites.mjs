// Which tests of which SDKs are run, and how they are fetched.

import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, readdirSync, statSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

const here = path.dirname(fileURLToPath(import.meta.url));

/** The tests that ask a server for what this product has; each suite's other files are about endpoints that it has not. */
export const SUITES = [
  {
    name: "openai",
    base: "/v1",
    lists: [],
    files: ["chat", "responses", "test_responses.py", "test_embeddings.py", "test_models.py", "test_completions.py"],
    upstreams: ["openai", "anthropic", "gemini", "ollama"],
  },
  {
    name: "anthropic",
    base: "",
    // The old models, each of which is asked once to see the SDK's warning.
    lists: ["src/anthropic/_data/deprecated_models.py"],
    files: ["test_messages.py", "test_models.py", "beta/test_messages.py", "beta/test_models.py"],
    upstreams: ["anthropic", "openai", "gemini", "ollama"],
  },
];

/** Fetches a suite's tests and installs what they need, once. Gives the folder to run in, and the Python to run with. */
export function install(suite, folder) {
  const requirements = path.join(here, `${suite.name}.txt`);
  const [, version] = new RegExp(`^${suite.name}==(\\S+)$`, "m").exec(readFileSync(requirements, "utf8"));
  const sources = path.join(folder, `${suite.name}-${version}`);
  const venv = path.join(folder, `venv-${suite.name}`);
  const python = path.join(venv, "bin", "python");
  mkdirSync(folder, { recursive: true });
  if (!existsSync(python)) run("python3", ["-m", "venv", venv]);
  const pip = (...args) => run(python, ["-m", "pip", "--quiet", "--disable-pip-version-check", ...args]);
  // Changes nothing, and asks nobody, when the pinned versions are there.
  pip("install", "-r", requirements);
  if (!existsSync(sources)) {
    pip("download", "--no-deps", "--no-binary", ":all:", "--dest", folder, `${suite.name}==${version}`);
    run("tar", ["-xzf", path.join(folder, `${suite.name}-${version}.tar.gz`), "-C", folder]);
  }
  const files = suite.files.map((file) => path.join("tests", "api_resources", file));
  return { version, sources, python, files, models: models(sources, files, suite.lists) };
}

/** The names of the models that the tests ask for: as arguments, and as keys of the SDK's own lists. */
function models(sources, files, lists) {
  const names = new Set();
  const look = (file, pattern) => {
    if (statSync(file).isDirectory()) return readdirSync(file).forEach((name) => look(path.join(file, name), pattern));
    if (!file.endsWith(".py")) return;
    for (const [, name] of readFileSync(file, "utf8").matchAll(pattern)) names.add(name);
  };
  files.forEach((file) => look(path.join(sources, file), /\bmodel(?:_id)?="([^"]+)"/g));
  lists.forEach((file) => look(path.join(sources, file), /^ +"([^"]+)": "/gm));
  return [...names].sort();
}

function run(command, args) {
  const { status } = spawnSync(command, args, { stdio: ["ignore", "inherit", "inherit"] });
  if (status !== 0) throw new Error(`${command} ${args.join(" ")} ended with ${status}`);
}
