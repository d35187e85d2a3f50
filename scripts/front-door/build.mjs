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

/** The steps from a fresh clone to something that runs. */
export const SET_UP = [
  { title: 'Debian packages', run: installSystemPackages },
  { title: 'npm packages', run: installNpmPackages },
  { title: 'Rust: uat, the engine and the Node addon (the first time llama.cpp too: half an hour on two cores)', run: buildRust },
  { title: 'TypeScript', run: () => run('npm', ['run', '--silent', 'build:ts'], { cwd: ROOT }) },
  { title: `The model ${MODEL} (98 MB, once)`, run: pullModel },
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

async function pullModel() {
  await run(built('uat'), ['models', 'pull', MODEL], { cwd: ROOT });
}

/** For tests that look for speech. */
export const VAD_MODEL = { title: 'The model silero-vad-6 (1.3 MB, once)', run: () => run(built('uat'), ['models', 'pull', 'silero-vad-6'], { cwd: ROOT }) };

/** For tests that embed sentences. */
export const EMBEDDING_MODEL = { title: 'The model minilm-l6 (23 MB, once)', run: () => run(built('uat'), ['models', 'pull', 'minilm-l6'], { cwd: ROOT }) };
/** For tests that write speech down. */
export const SPEECH_MODEL = { title: 'The model whisper-tiny.en (78 MB, once)', run: () => run(built('uat'), ['models', 'pull', 'whisper-tiny.en'], { cwd: ROOT }) };
