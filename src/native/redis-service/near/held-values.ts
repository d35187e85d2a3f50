// Long values, each an object of its own: a JavaScript string costs 16 bytes more than its text, which a long text does
// not feel, and a hit on it decodes nothing.

import { getHeapStatistics } from 'node:v8';

// A quarter of what V8 may grow to: further texts are kept as bytes outside of its heap, and decoded on each hit.
const STRING_BYTES_AT_MOST = getHeapStatistics().heap_size_limit / 4;
/** V8's string header; sizes are rounded up to its alignment of 8. */
export const STRING_HEADER_BYTES = 16;
/** An `ArrayBuffer`, the view on it and what stands behind it, measured with 100,000 of 4 KiB under Node 20. */
const BUFFER_OVERHEAD_BYTES = 320;
/** A place in the list. */
const SLOT_BYTES = 8;

export const stringBytes = (units: number, wide: boolean): number => (STRING_HEADER_BYTES + units * (wide ? 2 : 1) + 7) & ~7;

export class HeldValues {
  readonly #values: (string | Uint8Array | undefined)[] = [];
  readonly #vacant: number[] = [];
  #inHeap = 0;
  #bytes = 0;

  /** Bytes of all held values and of the list. */
  get bytes(): number {
    return this.#bytes + this.#values.length * SLOT_BYTES;
  }

  /** What holding this takes, at most. */
  static bytesFor(payload: string | Uint8Array, wide: boolean): number {
    return (typeof payload === 'string' ? Math.max(stringBytes(payload.length, wide), payload.length * (wide ? 2 : 1) + BUFFER_OVERHEAD_BYTES) : payload.byteLength + BUFFER_OVERHEAD_BYTES) + SLOT_BYTES;
  }

  /** Keeps a copy: a string may be a small part of a large one, which would live as long. */
  hold(payload: string | Uint8Array, wide: boolean): number {
    let value: string | Uint8Array;
    if (typeof payload === 'string') {
      const bytes = Buffer.from(payload, wide ? 'utf16le' : 'latin1');
      const size = stringBytes(payload.length, wide);
      value = this.#inHeap + size <= STRING_BYTES_AT_MOST ? bytes.toString(wide ? 'utf16le' : 'latin1') : new Uint8Array(bytes);
      if (typeof value === 'string') this.#inHeap += size;
    } else {
      value = new Uint8Array(payload);
    }
    this.#bytes += sizeOf(value, wide);
    const handle = this.#vacant.pop() ?? this.#values.length;
    this.#values[handle] = value;
    return handle;
  }

  size(handle: number, wide: boolean): number {
    return sizeOf(this.#values[handle]!, wide);
  }

  release(handle: number, wide: boolean): void {
    const value = this.#values[handle]!;
    const size = sizeOf(value, wide);
    this.#bytes -= size;
    if (typeof value === 'string') this.#inHeap -= size;
    this.#values[handle] = undefined;
    this.#vacant.push(handle);
  }

  /** @param text Whether the value was a string. */
  read(handle: number, text: boolean, wide: boolean): string | Uint8Array {
    const value = this.#values[handle]!;
    if (typeof value === 'string') return value;
    return text ? Buffer.from(value.buffer).toString(wide ? 'utf16le' : 'latin1') : new Uint8Array(value);
  }
}

function sizeOf(value: string | Uint8Array, wide: boolean): number {
  return typeof value === 'string' ? stringBytes(value.length, wide) : value.byteLength + BUFFER_OVERHEAD_BYTES;
}
