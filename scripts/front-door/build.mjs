// Everything that is built in a checkout, each part only when its sources are newer than it.

import { spawnSync } from 'node:child_process';
import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { installSystemPackages } from './system-packages.mjs';
import { run } from './terminal.mjs';

export const ROOT = fileURLToPath(new URL('../..', import.meta.url));
export const MODEL = 'smollm2-135m';

/** A program of this checkout. */
export function built(name) {
  return join(process.env['CARGO_TARGET_DIR'] ?? join(ROOT, 'target'), 'release', name);
}

/** What cargo needs to build llama.cpp quickly; set alike everywhere, or it is built again. */
export function cargoEnv() {
  const has = command => spawnSync(command, ['--version'], { stdio: 'ignore' }).status === 0;
  return {
    ...(has('ccache') ? { CMAKE_C_COMPILER_LAUNCHER: 'ccache', CMAKE_CXX_COMPILER_LAUNCHER: 'ccache' } : {}),
    ...(has('ninja') ? { CMAKE_GENERATOR: 'Ninja' } : {}),
  };
}

const model = (name, size) => ({ title: `The model ${name} (${size}, once)`, run: () => run(built('uat'), ['models', 'pull', name], { cwd: ROOT }) });

/** The steps from a fresh clone to something that runs. */
export const SET_UP = [
  { title: 'Debian packages', run: installSystemPackages },
  { title: 'npm packages', run: installNpmPackages },
  { title: 'Rust: uat, the engine and the Node addon (the first time llama.cpp too: half an hour on two cores)', run: buildRust },
  { title: 'TypeScript', run: () => run('npm', ['run', '--silent', 'build:ts'], { cwd: ROOT }) },
  model(MODEL, '98 MB'),
];

async function installNpmPackages() {
  const mark = join(ROOT, 'node_modules', '.package-lock.json');
  const isFresh = existsSync(mark) && statSync(mark).mtimeMs >= statSync(join(ROOT, 'package-lock.json')).mtimeMs;
  if (isFresh) return 'up to date';
  // Not `npm ci`: it refuses a lock file without the optional binaries of every other platform, which some registries lack.
  await run('npm', ['install', '--no-save', '--no-audit', '--no-fund', '--ignore-scripts'], { cwd: ROOT });
}

async function buildRust() {
  await run('node', ['scripts/package.mjs', '--addon'], { cwd: ROOT });
}

/** What writes down what was said, and what finds speech. */
export const VOICE_MODELS = [model('whisper-tiny.en', '78 MB'), model('silero-vad-6', '1.3 MB')];

/** What tests use beside the chat model: theirs embeds sentences. */
export const TEST_MODELS = [model('minilm-l6', '23 MB'), ...VOICE_MODELS];
