import { type FileHandle, open } from 'node:fs/promises';

import { UniversalAiError } from '../../errors.js';

/** Something of a known length that is read at any place. */
export interface Source {
  readonly length: number;
  /** Fewer bytes at the end alone. */
  read(offset: number, length: number): Promise<Uint8Array>;
  close(): Promise<void>;
}

/** Bytes of the caller's, which are copied: they are read long after the call has begun. */
export function sourceOfBytes(bytes: Uint8Array): Source {
  // Not `slice`, which a Buffer has with another meaning.
  const copied = new Uint8Array(bytes);
  return {
    length: copied.length,
    read: async (offset, length) => copied.subarray(offset, offset + length),
    close: async () => undefined,
  };
}

/** @throws {UniversalAiError} `UAT_STORAGE`. */
export async function sourceOfFile(path: string): Promise<Source> {
  const file = await reading(0, open(path));
  let { size } = await reading(0, file.stat());
  return {
    length: size,
    async read(offset, length) {
      const bytes = Buffer.alloc(Math.max(Math.min(length, size - offset), 0));
      let read = 0;
      while (read < bytes.length) {
        const more = await readAt(file, bytes, read, offset);
        // Somebody has cut the file meanwhile.
        if (more === 0) size = offset + read;
        if (more === 0) break;
        read += more;
      }
      return bytes.subarray(0, read);
    },
    close: async () => await file.close(),
  };
}

async function readAt(file: FileHandle, bytes: Buffer, read: number, offset: number): Promise<number> {
  return (await reading(offset, file.read(bytes, read, bytes.length - read, offset + read))).bytesRead;
}

async function reading<T>(offset: number, act: Promise<T>): Promise<T> {
  try {
    return await act;
  } catch (cause) {
    throw new UniversalAiError('UAT_STORAGE', `reading the audio failed near byte ${offset}: ${(cause as Error).message}`, { retryable: true, cause });
  }
}
