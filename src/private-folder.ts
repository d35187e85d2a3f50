import { lstatSync, statSync } from 'node:fs';
import { isAbsolute, join } from 'node:path';

/** Where the sockets of this user lie; the same place as in `crates/child-engine`. */

/** Longest path of a Unix socket, in bytes: `sun_path` of Linux without its NUL. */
export const LONGEST_SOCKET_PATH = 107;

/** Creates nothing. `$XDG_RUNTIME_DIR/uat` where that is a folder of this user, else `uat-<uid>` in the temporary folder. */
export function privateFolder(env: NodeJS.ProcessEnv, user: number): string {
  const runtime = env['XDG_RUNTIME_DIR'];
  if (runtime && isAbsolute(runtime)) {
    const meta = statSync(runtime, { throwIfNoEntry: false });
    if (meta?.isDirectory() === true && meta.uid === user) return join(runtime, 'uat');
  }
  return join(env['TMPDIR'] || '/tmp', `uat-${user}`);
}

/**
 * Why others could reach what lies in a folder that exists, and what to do about it; `undefined` where nobody can. Node cannot ask a
 * socket for its peer's user: that nobody else can enter the folder is what the trust rests on.
 */
export function whyNotPrivate(dir: string, user: number, what: string): { problem: string; remedy: string } | undefined {
  const meta = lstatSync(dir);
  if (!meta.isDirectory()) return { problem: `it is ${meta.isSymbolicLink() ? 'a symbolic link' : 'not a folder'}`, remedy: 'remove it, or point XDG_RUNTIME_DIR elsewhere' };
  if (meta.uid !== user) return { problem: `it belongs to user ${meta.uid}, expected ${user}`, remedy: 'point XDG_RUNTIME_DIR to a folder of your own' };
  const mode = meta.mode & 0o7777;
  if ((mode & 0o077) !== 0) return { problem: `its mode is ${mode.toString(8).padStart(4, '0')}, expected 0700: others could reach ${what}`, remedy: `run \`chmod 700 ${dir}\`` };
  return undefined;
}
