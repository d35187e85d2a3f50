/**
 * The block format of LZ4, which Node's zlib lacks. Written here because the packages that have it are native addons
 * (`lz4`, `lz4-napi`), write only the frame format or have not been released for years (`lz4js`, `lz4-wasm-nodejs`).
 * Format: https://github.com/lz4/lz4/blob/dev/doc/lz4_Block_format.md
 */

/** A shorter match would cost as much as it spares. */
const MIN_MATCH = 4;
/** The format ends each block with five literals at least, and begins no match in the last twelve bytes. */
const LAST_LITERALS = 5;
const NO_MATCH_IN_LAST = 12;
/** Two bytes hold an offset. */
const MAX_OFFSET = 0xFFFF;
const HASH_BITS = 14;

/** Thrown by {@link lz4Decompress} for bytes that are no block of the announced length. */
export class BadBlockError extends Error {}

/** The block that `value` compresses to. The greedy search of LZ4's fast mode. */
export function lz4Compress(value: Uint8Array): Uint8Array {
  // The bound that the reference implementation states.
  const out = new Uint8Array(value.length + Math.floor(value.length / 255) + 16);
  const view = new DataView(value.buffer, value.byteOffset, value.byteLength);
  const seen = new Int32Array(1 << HASH_BITS).fill(-1);
  let at = 0, literals = 0, to = 0;
  const lengthBytes = (rest: number): void => {
    for (; rest >= 255; rest -= 255) out[to++] = 255;
    out[to++] = rest;
  };
  const sequence = (end: number, offset: number, match: number): void => {
    const count = end - literals;
    const extra = match - MIN_MATCH;
    out[to++] = (Math.min(count, 15) << 4) | (offset === 0 ? 0 : Math.min(extra, 15));
    if (count >= 15) lengthBytes(count - 15);
    out.set(value.subarray(literals, end), to);
    to += count;
    if (offset === 0) return;
    out[to++] = offset & 255;
    out[to++] = offset >> 8;
    if (extra >= 15) lengthBytes(extra - 15);
  };
  while (at < value.length - NO_MATCH_IN_LAST) {
    const word = view.getInt32(at, true);
    // Knuth's multiplicative hash, as in LZ4.
    const slot = Math.imul(word, -1640531535) >>> (32 - HASH_BITS);
    const from = seen[slot]!;
    seen[slot] = at;
    if (from < 0 || at - from > MAX_OFFSET || view.getInt32(from, true) !== word) {
      // Where nothing repeats, the steps grow.
      at += 1 + ((at - literals) >> 6);
      continue;
    }
    let match = MIN_MATCH;
    while (at + match < value.length - LAST_LITERALS && value[from + match] === value[at + match]) match++;
    sequence(at, at - from, match);
    at += match;
    literals = at;
  }
  sequence(value.length, 0, MIN_MATCH);
  return out.slice(0, to);
}

/** The `length` bytes that a block holds. Throws {@link BadBlockError} if it holds fewer, more, or is broken. */
export function lz4Decompress(block: Uint8Array, length: number): Uint8Array {
  // Each byte adds at most 255 to a length, so that no memory is taken for what cannot be.
  if (length > block.length * 255) throw new BadBlockError('too few bytes for the announced length');
  const out = new Uint8Array(length);
  let at = 0, to = 0;
  const next = (): number => {
    const byte = block[at++];
    if (byte === undefined) throw new BadBlockError('cut off');
    return byte;
  };
  const longer = (nibble: number): number => {
    if (nibble < 15) return nibble;
    for (;;) {
      const byte = next();
      nibble += byte;
      if (byte < 255) return nibble;
    }
  };
  for (;;) {
    const token = next();
    const count = longer(token >> 4);
    if (at + count > block.length || to + count > length) throw new BadBlockError('literals beyond the end');
    out.set(block.subarray(at, at + count), to);
    at += count;
    to += count;
    if (at === block.length) break;
    const offset = next() | (next() << 8);
    const match = longer(token & 15) + MIN_MATCH;
    if (offset === 0 || offset > to || to + match > length) throw new BadBlockError('a match beyond the ends');
    if (offset >= match) out.copyWithin(to, to - offset, to - offset + match);
    else for (let i = 0; i < match; i++) out[to + i] = out[to + i - offset]!;
    to += match;
  }
  if (to !== length) throw new BadBlockError('shorter than announced');
  return out;
}
