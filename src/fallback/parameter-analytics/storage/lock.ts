/**
 * A file that one process has at a time, by a second file beside it with the process's id in it; Node has no `flock`. One whose process
 * is gone is taken over. Two processes that find the same one stale in the same instant are told apart by what they moved away.
 */

import { linkSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';

import { UniversalAiError } from '../../../errors.js';

/** Others may take the place of a stale one; after so many tries it is a conflict. */
const TRIES = 5;
/** Clocks of files are coarser than that of the process, in ms. */
const COARSE_MS = 2_000;

/** The locks of this process, whose id alone says nothing about whether one is held. */
const held = new Set<string>();
let made = 0;

export class Lock {
  readonly #path: string;

  private constructor(path: string) {
    this.#path = path;
  }

  /** Takes `path` for this process. @throws `UAT_CONFLICT` names the process that has it. */
  static take(path: string): Lock {
    const lock = `${path}.lock`;
    const own = `${lock}.${process.pid}.${made++}`;
    // Linked when it is written, so that nobody ever reads an empty one.
    writeFileSync(own, `${process.pid}\n`);
    try {
      for (let tries = 0; tries < TRIES; tries++) {
        if (linked(own, lock)) {
          held.add(lock);
          return new Lock(lock);
        }
        const owner = ownerOf(lock);
        if (owner === undefined) continue;
        if (isAlive(owner, lock)) throw conflict(path, owner);
        takeAway(lock, owner);
      }
      throw conflict(path, ownerOf(lock) ?? process.pid);
    } finally {
      rmSync(own, { force: true });
    }
  }

  release(): void {
    held.delete(this.#path);
    rmSync(this.#path, { force: true });
  }
}

function linked(own: string, lock: string): boolean {
  try {
    linkSync(own, lock);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

/** The id in a lock; `undefined` where it has gone meanwhile. */
function ownerOf(lock: string): number | undefined {
  try {
    return Number.parseInt(readFileSync(lock, 'utf8'), 10);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

function isAlive(owner: number, lock: string): boolean {
  // In a container each start has the same id: then a lock that this process does not hold is of a worker thread, or of a start before.
  if (owner === process.pid) return held.has(lock) || isNewerThanProcess(lock);
  try {
    process.kill(owner, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

function isNewerThanProcess(lock: string): boolean {
  const made = statSync(lock, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  return made > Date.now() - process.uptime() * 1_000 - COARSE_MS;
}

/** Moves a stale lock away; one that somebody took meanwhile goes back. */
function takeAway(lock: string, owner: number): void {
  const away = `${lock}.stale.${process.pid}.${made++}`;
  try {
    renameSync(lock, away);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
    throw error;
  }
  // One that a loss of power left empty has no number, and NaN is only itself.
  if (!Object.is(ownerOf(away), owner)) linked(away, lock);
  rmSync(away, { force: true });
}

function conflict(path: string, owner: number): UniversalAiError {
  const who = owner === process.pid ? 'this process has it open already' : `process ${owner} has it open`;
  return new UniversalAiError('UAT_CONFLICT', `${path}: ${who}; close it there first, or remove ${path}.lock if that is another program by now`, { details: { path, pid: owner } });
}
