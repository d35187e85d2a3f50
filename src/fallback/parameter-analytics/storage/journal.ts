/**
 * Events as lines of a file, each kept before it is acknowledged: eight hexadecimal digits of the CRC-32 of what follows, a space, JSON.
 * What a crash leaves of the last line is cut; a damaged line before it is an error that names it. The format is that of `journal.rs` of
 * the Rust core, so that a study begun there goes on here.
 */

import { closeSync, fsyncSync, ftruncateSync, mkdirSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { crc32 } from 'node:zlib';

import { UniversalAiError } from '../../../errors.js';
import { Lock } from './lock.js';

/** Digits and the space. */
const HEAD = 9;

/** What a file holds. `goodBytes`: what comes after was being written and must be cut. */
interface Contents {
  events: unknown[];
  goodBytes: number;
}

export function line(event: unknown): string {
  const json = JSON.stringify(event);
  return `${checksum(json)} ${json}\n`;
}

function checksum(json: string | Buffer): string {
  return crc32(json).toString(16).padStart(8, '0');
}

/** @throws `UAT_STORAGE` names a line that is damaged. */
export function read(bytes: Buffer, path: string): Contents {
  const contents: Contents = { events: [], goodBytes: 0 };
  for (let number = 1; contents.goodBytes < bytes.length; number++) {
    const end = bytes.indexOf('\n', contents.goodBytes) + 1;
    const content = bytes.subarray(contents.goodBytes, end === 0 ? bytes.length : end);
    const parsed = parse(content);
    if ('event' in parsed) contents.events.push(parsed.event);
    else if (contents.goodBytes + content.length === bytes.length) return contents;
    else throw new UniversalAiError('UAT_STORAGE', `${path}: line ${number} of the journal is damaged: ${parsed.problem}; restore the file from a copy`, { details: { path, line: number } });
    contents.goodBytes += content.length;
  }
  return contents;
}

function parse(content: Buffer): { event: unknown } | { problem: string } {
  if (content.at(-1) !== 0x0a) return { problem: 'it has no end' };
  const json = content.subarray(HEAD, -1);
  if (content.length <= HEAD) return { problem: 'it is too short' };
  if (content.toString('latin1', 0, HEAD) !== `${checksum(json)} `) return { problem: 'its checksum does not fit' };
  try {
    return { event: JSON.parse(json.toString()) };
  } catch (error) {
    return { problem: (error as Error).message };
  }
}

/** Where events go. After a failure nothing more is taken, since what is in memory is then more than what is kept. */
export interface Journal {
  append(events: readonly unknown[]): void;
  close(): void;
}

/** A journal of an analytics that ends with the process. */
export const NOWHERE: Journal = { append() { /* Nothing is kept. */ }, close() { /* Nothing is open. */ } };

/** A file that this process has for itself. */
export class FileJournal implements Journal {
  readonly #path: string;
  #file: number;
  readonly #lock: Lock;
  #failure: UniversalAiError | undefined;

  private constructor(path: string, file: number, lock: Lock) {
    [this.#path, this.#file, this.#lock] = [path, file, lock];
  }

  /** Opens or makes the file and reads it; what was being written last is cut. @throws `UAT_CONFLICT`: another process has it; `UAT_STORAGE`. */
  static open(path: string): { journal: FileJournal; events: unknown[] } {
    return storing(path, () => {
      mkdirSync(dirname(path), { recursive: true });
      const lock = Lock.take(path);
      let file: number | undefined;
      try {
        file = openSync(path, 'a');
        const { events, goodBytes } = read(readFileSync(path), path);
        ftruncateSync(file, goodBytes);
        if (events.length === 0) syncFolder(dirname(path));
        return { journal: new FileJournal(path, file, lock), events };
      } catch (error) {
        if (file !== undefined) closeSync(file);
        lock.release();
        throw error;
      }
    });
  }

  /** Opens one, and closes it again where `use` fails. What `use` cannot make sense of is `UAT_STORAGE`. */
  static with<T>(path: string, use: (journal: FileJournal, events: unknown[]) => T): T {
    const { journal, events } = FileJournal.open(path);
    try {
      return storing(path, () => use(journal, events), 'events that follow from one another');
    } catch (error) {
      journal.close();
      throw error;
    }
  }

  append(events: readonly unknown[]): void {
    if (this.#failure !== undefined) throw this.#failure;
    try {
      write(this.#file, events);
    } catch (cause) {
      this.#failure = new UniversalAiError('UAT_STORAGE', `${this.#path}: what happened could not be kept: ${(cause as Error).message}; make room, close and open it again`, { cause });
      throw this.#failure;
    }
  }

  /** Has these events in place of all that there are; the old ones are there until the new ones are. @throws `UAT_STORAGE`. */
  rewrite(events: readonly unknown[]): void {
    const next = `${this.#path}.next`;
    storing(next, () => {
      const file = openSync(next, 'w');
      try {
        write(file, events);
        renameSync(next, this.#path);
      } catch (error) {
        closeSync(file);
        throw error;
      }
      // From here on the old file has no name: nothing may be written to it, whatever else fails.
      closeSync(this.#file);
      this.#file = file;
      syncFolder(dirname(this.#path));
    });
  }

  close(): void {
    closeSync(this.#file);
    this.#lock.release();
  }
}

function write(file: number, events: readonly unknown[]): void {
  const bytes = Buffer.from(events.map(line).join(''));
  for (let written = 0; written < bytes.length;) written += writeSync(file, bytes, written);
  fsyncSync(file);
}

/** What the file system says against it becomes `UAT_STORAGE`. */
export function storing<T>(path: string, work: () => T, expected = 'a folder that can be written'): T {
  try {
    return work();
  } catch (cause) {
    if (cause instanceof UniversalAiError) throw cause;
    throw new UniversalAiError('UAT_STORAGE', `${path}: ${(cause as Error).message}; expected ${expected}`, { cause });
  }
}

/** A new file is kept once its folder is. */
function syncFolder(path: string): void {
  const folder = openSync(path, 'r');
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}

/** A name as that of a file: all but letters, digits, `-` and `_` as `%` and two hexadecimal digits for each byte. */
export function fileName(name: string): string {
  return [...Buffer.from(name)].map(byte => (/[A-Za-z0-9_-]/.test(String.fromCharCode(byte)) ? String.fromCharCode(byte) : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`)).join('');
}
