// What is shipped beside our own code: the crates in `uat`, the engine and the addon, and the npm packages that are
// installed with ours. What only builds and tests use is not among it.

import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

import { ROOT } from '../front-door/build.mjs';
import { Stop } from '../front-door/terminal.mjs';

/** What is built of the workspace for users. */
const SHIPPED = ['uat', 'llama-engine', 'node-addon'];
const PLATFORM = 'x86_64-unknown-linux-gnu';

/** Foreign code that no manifest names. */
export const OTHERS = [
  { name: 'llama.cpp and ggml', version: 'as vendored in llama-cpp-sys-2', licence: 'MIT', where: 'the engine and its libraries' },
  { name: 'libgomp', version: 'of the machine that builds', licence: 'GPL-3.0-or-later WITH GCC-exception-3.1', where: 'beside the engine' },
];

/** Name, version, licence and folder of each crate, sorted. */
export function crates() {
  const { status, stdout, stderr } = spawnSync('cargo', ['metadata', '--format-version', '1', '--locked', '--filter-platform', PLATFORM], { cwd: ROOT, encoding: 'utf8', maxBuffer: 256 << 20 });
  if (status !== 0) throw new Stop(`cargo metadata ended with ${status}: ${stderr}`);
  const { packages, resolve } = JSON.parse(stdout);
  const packageOf = new Map(packages.map(one => [one.id, one]));
  const nodeOf = new Map(resolve.nodes.map(node => [node.id, node]));
  const seen = new Set();
  const open = packages.filter(({ name, source }) => source === null && SHIPPED.includes(name)).map(({ id }) => id);
  while (open.length > 0) {
    const id = open.pop();
    if (seen.has(id)) continue;
    seen.add(id);
    for (const { pkg, dep_kinds: kinds } of nodeOf.get(id).deps) {
      const isMacro = packageOf.get(pkg).targets.some(({ kind }) => kind.includes('proc-macro'));
      // A build script's dependency and a macro leave nothing of themselves but what they write.
      if (!isMacro && kinds.some(({ kind }) => kind === null)) open.push(pkg);
    }
  }
  return [...seen].map(id => packageOf.get(id)).filter(({ source }) => source !== null).map(({ name, version, license, license_file: file, manifest_path: manifest }) => ({ name, version, licence: license ?? `see ${file}`, folder: dirname(manifest) })).sort(byName);
}

/** The same of npm packages. */
export function packages() {
  const lock = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')).packages;
  const seen = new Map();
  const open = Object.keys(lock[''].dependencies ?? {});
  while (open.length > 0) {
    const name = open.pop();
    if (seen.has(name)) continue;
    const entry = lock[`node_modules/${name}`];
    if (entry === undefined) throw new Stop(`package-lock.json has no ${name}: npm install`);
    const folder = join(ROOT, 'node_modules', name);
    const manifest = join(folder, 'package.json');
    const licence = entry.license ?? (existsSync(manifest) ? JSON.parse(readFileSync(manifest, 'utf8')).license : undefined);
    if (licence === undefined) throw new Stop(`the licence of ${name} is not known: npm install`);
    seen.set(name, { name, version: entry.version, licence, folder });
    open.push(...Object.keys(entry.dependencies ?? {}));
  }
  return [...seen.values()].sort(byName);
}

/** The texts of a package's licences and notices. */
export function textsOf({ folder }) {
  if (!existsSync(folder)) return [];
  return readdirSync(folder).filter(name => /^(licen[cs]e|copying|notice|unlicense)/i.test(name)).sort().flatMap(name => {
    try {
      return [readFileSync(join(folder, name), 'utf8').trim()];
    } catch {
      // A folder of texts, which the files beside it repeat.
      return [];
    }
  });
}

function byName(a, b) {
  if (a.name !== b.name) return a.name < b.name ? -1 : 1;
  return a.version < b.version ? -1 : 1;
}
