// Assembles what npm carries: the addon, `uat`, the engine and its libraries in npm/<platform>, and the tarballs.
//
//   node scripts/package.mjs --addon     builds the addon for this checkout and writes its types
//   node scripts/package.mjs --platform  the same, and `uat` and the engine beside it
//   node scripts/package.mjs             all of that, the TypeScript too, and both tarballs in packages/
//
// napi's own command line would do the first, with 65 packages of which two need a newer Node than this one.

import { spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { cargoEnv, ROOT } from './front-door/build.mjs';

const PLATFORM = join(ROOT, 'npm', 'linux-x64-gnu');
const TARGET = process.env['CARGO_TARGET_DIR'] ?? join(ROOT, 'target');
const RELEASE = join(TARGET, 'release');
/** Where napi's macros write the types of what they export, whenever the addon is compiled; as in .cargo/config.toml. */
const TYPES = join(ROOT, 'target', 'napi-types');
const PACKAGES = join(ROOT, 'packages');

/** What every machine that runs Node has, because Node itself is linked to it. */
const EVERYWHERE = /^(linux-vdso|ld-linux-x86-64|libc|libm|libdl|librt|libpthread|libgcc_s|libstdc\+\+)\.so/;

const HEADER = `/* Generated from crates/node-addon by scripts/package.mjs; not edited by hand. */\n`;

const what = process.argv[2];
if (what !== undefined && what !== '--addon' && what !== '--platform') {
  console.error(`package.mjs: expected --addon, --platform or nothing, got ${what}`);
  process.exit(2);
}

buildAddon();
if (what !== '--addon') assemblePlatform();
if (what === undefined) pack();

function buildAddon() {
  removeDanglingLinks();
  // The whole workspace: a part built alone gets other features of shared crates, and everything is built twice.
  run('cargo', ['build', '--release', '--workspace', '--locked'], cargoEnv());
  place(join(RELEASE, 'libnode_addon.so'), join(PLATFORM, 'uat.node'), { strip: true });
  writeTypes();
}

/** llama.cpp's build script ends with an error where its links of an earlier build lead nowhere. */
function removeDanglingLinks() {
  for (const folder of [RELEASE, join(RELEASE, 'deps')].filter(folder => existsSync(folder))) {
    for (const name of readdirSync(folder).filter(name => /^lib.*\.so$/.test(name) && !existsSync(join(folder, name)))) rmSync(join(folder, name));
  }
}

function assemblePlatform() {
  const bin = join(PLATFORM, 'bin');
  rmSync(bin, { recursive: true, force: true });
  mkdirSync(bin, { recursive: true });
  for (const program of ['uat', 'uat-engine']) place(join(RELEASE, program), join(bin, program), { strip: true, executable: true });
  // What the engine is linked to, by the name that the loader looks for, and ggml's plug-ins, which have no version.
  const libraries = readdirSync(RELEASE).filter(name => /^lib(llama|ggml|ggml-base|gomp)\.so\.\d+$/.test(name) || /^libggml-cpu-\w+\.so$/.test(name));
  if (!libraries.some(name => name.startsWith('libllama.so')) || !libraries.some(name => name.startsWith('libggml-cpu-'))) {
    throw new Error(`expected libllama and ggml's CPU plug-ins in ${RELEASE}, found ${libraries.join(', ') || 'none'}`);
  }
  for (const library of libraries) place(join(RELEASE, library), join(bin, library), { strip: true });
  for (const [name, path] of foreignLibraries(bin)) place(path, join(bin, name));
  copyFileSync(join(ROOT, 'LICENSE'), join(PLATFORM, 'LICENSE'));
  run('node', [join(ROOT, 'scripts', 'supply.mjs'), 'texts', join(PLATFORM, 'THIRD_PARTY_LICENSES.txt')]);
}

function pack() {
  run('npm', ['run', '--silent', 'build:ts']);
  rmSync(PACKAGES, { recursive: true, force: true });
  mkdirSync(PACKAGES);
  for (const folder of [ROOT, PLATFORM]) run('npm', ['pack', '--silent', '--ignore-scripts', '--pack-destination', PACKAGES], {}, folder);
}

/** Libraries that the engine or a plug-in is linked to and that not every machine has (OpenMP's, say): name and path. */
function foreignLibraries(bin) {
  const found = new Map();
  for (const file of readdirSync(bin)) {
    const { stdout } = spawnSync('ldd', [join(bin, file)], { encoding: 'utf8', env: { ...process.env, LD_LIBRARY_PATH: bin } });
    for (const [, name, path] of stdout.matchAll(/^\s*(\S+) => (.+?)(?: \(0x[0-9a-f]+\))?$/gm)) {
      if (EVERYWHERE.test(name) || path.startsWith(bin)) continue;
      if (path === 'not found') throw new Error(`${file} needs ${name}, which this machine does not have`);
      found.set(name, path);
    }
  }
  return found;
}

/** Copies to a new file and renames it into place: a running process may have the old one mapped. */
function place(from, to, { strip = false, executable = false } = {}) {
  if (!existsSync(from)) throw new Error(`${from} is missing after the build`);
  const fresh = `${to}.new`;
  copyFileSync(from, fresh);
  chmodSync(fresh, executable ? 0o755 : 0o644);
  // Line tables are for this checkout; they would be most of the package.
  if (strip) run('strip', ['--strip-debug', fresh]);
  renameSync(fresh, to);
}

/** napi's macros leave one JSON document per exported item; items of one name belong together. */
function writeTypes() {
  const file = join(TYPES, 'node-addon');
  // Nothing was compiled since the folder was emptied: the committed types are those of this addon.
  if (!existsSync(file)) return;
  const items = readFileSync(file, 'utf8').trim().split('\n').map(line => JSON.parse(line));
  const structs = items.filter(item => item.kind === 'struct' || item.kind === 'interface').sort((a, b) => a.name.localeCompare(b.name));
  const text = [];
  for (const { kind, name, def, js_doc: doc } of structs) {
    const methods = items.filter(item => item.kind === 'impl' && item.name === name).map(item => item.def);
    text.push(`${doc ?? ''}export declare ${kind === 'struct' ? 'class' : 'interface'} ${name} {\n${indent([def, ...methods].join('\n'))}\n}`);
  }
  for (const { def, js_doc: doc } of items.filter(item => item.kind === 'fn')) text.push(`${doc ?? ''}export declare ${def}`);
  writeFileSync(join(ROOT, 'src', 'native', 'binding.d.ts'), `${HEADER}\n${text.join('\n\n')}\n`);
}

function indent(text) {
  return text.split('\n').filter(line => line.trim() !== '').map(line => `  ${line.trim().startsWith('*') ? ' ' : ''}${line.trim()}`).join('\n');
}

function run(command, args, environment = {}, cwd = ROOT) {
  const { status, error, signal } = spawnSync(command, args, { cwd, stdio: 'inherit', env: { ...process.env, ...environment } });
  if (error !== undefined) throw new Error(`${command} could not be started: ${error.message}`);
  if (status !== 0) {
    console.error(`package.mjs: ${command} ${args.join(' ')} ended with ${signal ?? `status ${status}`}`);
    process.exit(1);
  }
}
