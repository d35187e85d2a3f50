import { createHash } from 'node:crypto';
import { accessSync, constants, lstatSync, mkdirSync, realpathSync, statSync } from 'node:fs';
import { dirname, isAbsolute, join } from 'node:path';

import { UniversalAiError } from '../../errors.js';
import { VERSION } from '../../version.js';

/** File name of the engine's program. */
const PROGRAM = 'uat-engine';
/** Longest path of a Unix socket, in bytes: `sun_path` of Linux without its NUL. */
const MAX_SOCKET_PATH = 107;

/** The engine's program and the files by which its processes meet; the same names as in `crates/child-engine`. */
export interface EnginePlace {
  program: string;
  dir: string;
  socket: string;
  lock: string;
  log: string;
}

/** Why there is no engine to speak to. */
export class EngineError extends Error {
  readonly retryable: boolean;
  constructor(message: string, retryable = false) {
    super(message);
    this.retryable = retryable;
  }
}

/**
 * Costs a few `stat` calls and creates nothing.
 *
 * @param search Folders or files beside `UAT_ENGINE_PATH` and the folder of this executable.
 * @throws {EngineError} There is no program, or the socket's path is too long.
 */
export function findEngine(search: readonly string[], env: NodeJS.ProcessEnv): EnginePlace {
  const program = locate(search, env);
  const dir = privateDir(env);
  const base = join(dir, `engine-${VERSION}-${fingerprint(program)}`);
  const socket = `${base}.sock`;
  const bytes = Buffer.byteLength(socket);
  if (bytes > MAX_SOCKET_PATH) throw new EngineError(`the engine's socket path ${socket} has ${bytes} bytes, more than a Unix socket may have: set XDG_RUNTIME_DIR to a shorter private folder`);
  return { program, dir, socket, lock: `${base}.lock`, log: `${base}.log` };
}

/** `UAT_ENGINE_PATH`, else beside this executable, else the first of `search`. A wrong `UAT_ENGINE_PATH` is an error. */
function locate(search: readonly string[], env: NodeJS.ProcessEnv): string {
  const given = env['UAT_ENGINE_PATH'];
  const tried: string[] = [];
  for (const candidate of given ? [given] : [dirname(process.execPath), ...search]) {
    const file = isFolder(candidate) ? join(candidate, PROGRAM) : candidate;
    try {
      const path = realpathSync(file);
      if (!statSync(path).isFile()) throw new Error('not a file');
      accessSync(path, constants.X_OK);
      return path;
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      tried.push(`${file} (${code === 'ENOENT' ? 'no such file' : code === 'EACCES' ? 'not executable by this user' : message})`);
    }
  }
  throw new EngineError(`the local engine (${PROGRAM}) was not found; tried ${tried.join(', ')}; set UAT_ENGINE_PATH to the program`);
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

/** `$XDG_RUNTIME_DIR/uat` where that is a folder of this user, else `uat-<uid>` in the temporary folder. */
function privateDir(env: NodeJS.ProcessEnv): string {
  const runtime = env['XDG_RUNTIME_DIR'];
  if (runtime && isAbsolute(runtime)) {
    const meta = statSync(runtime, { throwIfNoEntry: false });
    if (meta?.isDirectory() === true && meta.uid === userId()) return join(runtime, 'uat');
  }
  return join(env['TMPDIR'] || '/tmp', `uat-${userId()}`);
}

/**
 * Creates the folder with mode 0700, or checks that the one that is there is a folder of this user that nobody else can
 * enter. Node cannot ask a socket for its peer's user: that nobody else can enter is what the trust rests on here.
 *
 * @throws {EngineError}
 */
export function ensurePrivate({ dir }: EnginePlace): void {
  try {
    mkdirSync(dir, { mode: 0o700 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw new EngineError(`cannot create the engine's private folder ${dir}: ${(error as Error).message}`);
  }
  const meta = lstatSync(dir);
  const refuse = (problem: string, remedy: string): EngineError => new EngineError(`${dir} cannot hold the engine's socket: ${problem}; ${remedy}`);
  if (!meta.isDirectory()) throw refuse(`it is ${meta.isSymbolicLink() ? 'a symbolic link' : 'not a folder'}`, 'remove it, or point XDG_RUNTIME_DIR elsewhere');
  if (meta.uid !== userId()) throw refuse(`it belongs to user ${meta.uid}, expected ${userId()}`, 'point XDG_RUNTIME_DIR to a folder of your own');
  const mode = meta.mode & 0o7777;
  if ((mode & 0o077) !== 0) throw refuse(`its mode is ${mode.toString(8).padStart(4, '0')}, expected 0700: others could reach the engine`, `run \`chmod 700 ${dir}\``);
}

function userId(): number {
  const id = process.geteuid?.();
  if (id === undefined) throw new UniversalAiError('UAT_UNSUPPORTED', 'the local engine needs Unix sockets, which this system does not have; configure an endpoint with another protocol');
  return id;
}

/** SHA-256 of `PATH NUL SIZE NUL MTIME`, eight digits: a rebuilt engine does not meet processes of the old one. */
function fingerprint(program: string): string {
  const { size, mtimeNs } = statSync(program, { bigint: true });
  return createHash('sha256').update(program).update(`\0${size}\0${mtimeNs}`).digest('hex').slice(0, 8);
}
