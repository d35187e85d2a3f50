import { createRequire } from 'node:module';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import type { BackendInfo } from '../backend.js';
import { UniversalAiError } from '../errors.js';
import { VERSION } from '../version.js';
import type * as Binding from './binding.js';

/** The addon as `crates/node-addon` exports it. */
export type NativeBinding = typeof Binding;

/** Which backend a service gets. */
export interface Selected {
  info: BackendInfo;
  /** Present exactly where `info.kind` is `native`. */
  native: NativeBinding | undefined;
  /** Folders in which the local engine may lie. */
  engineSearch: string[];
}

type Loaded = { native: NativeBinding; from: string } | { problem: string };

const require = createRequire(import.meta.url);
/** The same from `src/native` and `dist/native`: the root of this package. */
const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..', '..');

let loaded: Loaded | undefined;
let folder: { path: string | undefined } | undefined;
let warned = false;

/**
 * Decides once per process which backend answers, and says why.
 *
 * @throws {UniversalAiError} `UAT_CONFIG`: `UAT_BACKEND` is no backend, or forces a native one that is missing.
 */
export function selectBackend(service: string, env: NodeJS.ProcessEnv = process.env): Selected {
  const wanted = env['UAT_BACKEND'] || undefined;
  if (wanted !== undefined && wanted !== 'native' && wanted !== 'typescript') {
    throw new UniversalAiError('UAT_CONFIG', `UAT_BACKEND: expected native or typescript, got ${JSON.stringify(wanted)}`);
  }
  const engineSearch = engineFolders();
  if (wanted === 'typescript') return { info: { kind: 'typescript', reason: 'UAT_BACKEND=typescript' }, native: undefined, engineSearch };
  loaded ??= load();
  if ('native' in loaded) {
    return { info: { kind: 'native', reason: wanted === 'native' ? `UAT_BACKEND=native, ${loaded.from}` : loaded.from }, native: loaded.native, engineSearch };
  }
  if (wanted === 'native') throw new UniversalAiError('UAT_CONFIG', `UAT_BACKEND=native, but ${loaded.problem}`);
  warnOnce(`${service} answers with its TypeScript fallback, which is slower: ${loaded.problem}`);
  return { info: { kind: 'typescript', reason: loaded.problem }, native: undefined, engineSearch };
}

/** The package that carries the native parts for this platform; `undefined` where there is none. */
export function platformPackage(): string | undefined {
  return process.platform === 'linux' && process.arch === 'x64' && isGlibc() ? '@universal-ai-tools/linux-x64-gnu' : undefined;
}

/** The folder of the platform package, installed or built in this checkout. */
export function platformFolder(): string | undefined {
  folder ??= { path: findPlatformFolder() };
  return folder.path;
}

function findPlatformFolder(): string | undefined {
  const name = platformPackage();
  if (name === undefined) return undefined;
  try {
    return dirname(require.resolve(`${name}/package.json`));
  } catch {
    const local = join(ROOT, 'npm', name.slice('@universal-ai-tools/'.length));
    return existsSync(local) ? local : undefined;
  }
}

function load(): Loaded {
  const name = platformPackage();
  if (name === undefined) return { problem: `there is no native package for ${process.platform}-${process.arch}${process.platform === 'linux' && !isGlibc() ? ' without glibc' : ''} yet` };
  const folder = platformFolder();
  if (folder === undefined) return { problem: `the package ${name} is not installed; install it with the same version (npm install ${name}@${VERSION}), or install without --omit=optional` };
  const file = join(folder, 'uat.node');
  if (!existsSync(file)) return { problem: `${file} does not exist; build it with \`npm run build:napi\`` };
  try {
    const native = require(file) as NativeBinding;
    if (native.version() !== VERSION) return { problem: `${file} is of version ${native.version()}, expected ${VERSION}; install ${name}@${VERSION}` };
    return { native, from: `${name} ${VERSION}` };
  } catch (error) {
    return { problem: `${file} could not be loaded: ${(error as Error).message}` };
  }
}

function engineFolders(): string[] {
  const folder = platformFolder();
  return folder === undefined ? [] : [join(folder, 'bin')];
}

function warnOnce(message: string): void {
  if (warned) return;
  warned = true;
  process.emitWarning(message, { type: 'UniversalAiToolsWarning', code: 'UAT_FALLBACK' });
}

/** Which C library this process runs on; several times cheaper to see than in `process.report`. */
function isGlibc(): boolean {
  try {
    return !readFileSync('/proc/self/maps', 'latin1').includes('/ld-musl-');
  } catch {
    // Without /proc the attempt to load the addon tells.
    return true;
  }
}
