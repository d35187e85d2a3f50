import { createHash } from 'node:crypto';
import { accessSync, constants, mkdirSync, realpathSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';

import { UniversalAiError } from '../../errors.js';
import { LONGEST_SOCKET_PATH, privateFolder, whyNotPrivate } from '../../private-folder.js';
import { VERSION } from '../../version.js';

/** File name of the engine's program. */
const PROGRAM = 'uat-engine';

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
  const dir = privateFolder(env, userId());
  const base = join(dir, `engine-${VERSION}-${fingerprint(program)}`);
  const socket = `${base}.sock`;
  const bytes = Buffer.byteLength(socket);
  if (bytes > LONGEST_SOCKET_PATH) throw new EngineError(`the engine's socket path ${socket} has ${bytes} bytes, more than a Unix socket may have: set XDG_RUNTIME_DIR to a shorter private folder`);
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

/**
 * Creates the folder with mode 0700, or checks that the one that is there is a folder of this user that nobody else can
 * enter.
 *
 * @throws {EngineError}
 */
export function ensurePrivate({ dir }: EnginePlace): void {
  try {
    mkdirSync(dir, { mode: 0o700 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw new EngineError(`cannot create the engine's private folder ${dir}: ${(error as Error).message}`);
  }
  const why = whyNotPrivate(dir, userId(), 'the engine');
  if (why !== undefined) throw new EngineError(`${dir} cannot hold the engine's socket: ${why.problem}; ${why.remedy}`);
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
