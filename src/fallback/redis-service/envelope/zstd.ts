/**
 * zstd with dictionaries, by WebAssembly: the zlib of Node 20 has none. Loaded when it is first needed, since it takes
 * some milliseconds and a megabyte that a process without compressed values need not spend.
 */

import { UniversalAiError } from '../../../errors.js';

/** What we use of `@bokuweb/zstd-wasm`. */
type Zstd = Pick<typeof import('@bokuweb/zstd-wasm'), 'compress' | 'compressUsingDict' | 'createCCtx' | 'createDCtx' | 'decompressUsingDict'>;

interface Loaded { zstd: Zstd; compress: number; decompress: number }

const MAGIC = 0xFD2FB528;
/** A block takes four bytes at least and yields 128 KiB at most: what announces more is no frame. */
const MAX_RATIO = (128 << 10) / 4;
const NO_DICTIONARY = new Uint8Array(0);

let loaded: Loaded | undefined;
let loading: Promise<void> | undefined;

/** Loads zstd. To be awaited before a value is compressed with it, or one that was is read. Later calls cost nothing. */
export async function loadZstd(): Promise<void> {
  if (loaded !== undefined) return;
  loading ??= import('@bokuweb/zstd-wasm').then(async zstd => {
    await zstd.init();
    loaded = { zstd, compress: zstd.createCCtx(), decompress: zstd.createDCtx() };
  });
  try {
    await loading;
  } catch (cause) {
    // The next call tries again.
    loading = undefined;
    throw new UniversalAiError('UAT_INTERNAL', 'zstd cannot be loaded: is the package @bokuweb/zstd-wasm installed?', { cause });
  }
}

function ready(): Loaded {
  if (loaded === undefined) throw new UniversalAiError('UAT_NOT_INITIALIZED', 'zstd is not loaded: await loadZstd() first');
  return loaded;
}

/** One frame that holds `value`. */
export function zstdCompress(value: Uint8Array, level: number, dictionary?: Uint8Array): Uint8Array {
  const { zstd, compress } = ready();
  return dictionary === undefined ? zstd.compress(value, level) : zstd.compressUsingDict(compress, value, dictionary, level);
}

/** The `length` bytes that a frame holds; nothing if it holds fewer, more, or is broken. */
export function zstdDecompress(frame: Uint8Array, length: number, dictionary?: Uint8Array): Uint8Array | undefined {
  const { zstd, decompress } = ready();
  if (length > frame.length * MAX_RATIO || !isFrameOf(frame, length)) return undefined;
  try {
    // The package takes a frame's own length, checked above, or else this one; zstd writes no more than that.
    const value = zstd.decompressUsingDict(decompress, frame, dictionary ?? NO_DICTIONARY, { defaultHeapSize: length });
    return value.length === length ? value : undefined;
  } catch (error) {
    // zstd says no; what else goes wrong is not the frame's fault.
    if (error instanceof Error && error.message.startsWith('Failed to compress')) return undefined;
    throw error;
  }
}

/** Whether the bytes are one frame, whole, that states this length or none. See RFC 8878, sections 3.1.1.1 and 3.1.1.2. */
function isFrameOf(frame: Uint8Array, length: number): boolean {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  if (frame.length < 6 || view.getUint32(0, true) !== MAGIC) return false;
  const descriptor = frame[4]!;
  const single = (descriptor & 0x20) !== 0;
  const sizeBytes = [single ? 1 : 0, 2, 4, 8][descriptor >> 6]!;
  let at = 5 + (single ? 0 : 1) + [0, 1, 2, 4][descriptor & 3]!;
  if (at + sizeBytes > frame.length) return false;
  if (sizeBytes !== 0) {
    const stated = sizeBytes === 1 ? frame[at]! : sizeBytes === 2 ? view.getUint16(at, true) + 256
      : sizeBytes === 4 ? view.getUint32(at, true) : Number(view.getBigUint64(at, true));
    if (stated !== length) return false;
  }
  at += sizeBytes;
  for (;;) {
    if (at + 3 > frame.length) return false;
    const block = frame[at]! | (frame[at + 1]! << 8) | (frame[at + 2]! << 16);
    // A block of one repeated byte has one byte, whatever its length.
    at += 3 + (((block >> 1) & 3) === 1 ? 1 : block >> 3);
    if ((block & 1) !== 0) break;
  }
  return at + ((descriptor & 4) !== 0 ? 4 : 0) === frame.length;
}
