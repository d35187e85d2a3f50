// Sounds for tests: recordings that lie beside the crates that were made with them, and files made of samples.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { ROOT } from './built.js';

/** 1.6 s of a reader at 16 kHz. */
export function speech(): Int16Array {
  const bytes = readFileSync(join(ROOT, 'crates/silero-vad/tests/fixtures/speech.s16'));
  return new Int16Array(Uint8Array.from(bytes).buffer);
}

/** "He was not an ill disposed young man", 3 s at 8 kHz. */
export function sentence(): Int16Array {
  const bytes = readFileSync(join(ROOT, 'examples/speech.wav')).subarray(44);
  return Int16Array.from(bytes, byte => (byte - 128) * 256);
}

export function silence(seconds: number, rate = 16_000): Int16Array {
  return new Int16Array(seconds * rate);
}

export function joined(...parts: Int16Array[]): Int16Array {
  const all = new Int16Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** As if it had been recorded at another rate: samples between those that there are, on a straight line. */
export function atRate(samples: Int16Array, from: number, to: number): Int16Array {
  return Int16Array.from({ length: Math.floor(samples.length * to / from) }, (_, at) => {
    const place = at * from / to;
    const [before, after] = [samples[Math.floor(place)]!, samples[Math.min(Math.floor(place) + 1, samples.length - 1)]!];
    return Math.round(before + (after - before) * (place % 1));
  });
}

/** Numbers from -1 to 1 as floats. */
export function floats(samples: Int16Array): Float32Array {
  return Float32Array.from(samples, sample => sample / 32_768);
}

/** The bytes under a view. */
export function bytesOf({ buffer, byteOffset, byteLength }: ArrayBufferView): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}

export type Encoding = 'u8' | 's16' | 's24' | 's32' | 'f32' | 'f64';

const WIDTHS: Record<Encoding, number> = { u8: 1, s16: 2, s24: 3, s32: 4, f32: 4, f64: 8 };

/** What a WAV file is to be; where it lies about its length, `declared` is that. */
export interface WavOptions { sampleRate?: number; channels?: number; encoding?: Encoding; extensible?: boolean; declared?: number; code?: number }

/** A WAV file of samples, each of which stands in every channel. */
export function wav(samples: Int16Array, { sampleRate = 16_000, channels = 1, encoding = 's16', extensible = false, declared, code }: WavOptions = {}): Uint8Array {
  const width = WIDTHS[encoding];
  const data = Buffer.alloc(samples.length * channels * width);
  let at = 0;
  for (const sample of samples) {
    for (let channel = 0; channel < channels; channel++) {
      if (encoding === 'u8') data.writeUInt8((sample >> 8) + 128, at);
      else if (encoding === 's16') data.writeInt16LE(sample, at);
      else if (encoding === 's24') data.writeIntLE(sample * 256, at, 3);
      else if (encoding === 's32') data.writeInt32LE(sample * 65_536, at);
      else if (encoding === 'f32') data.writeFloatLE(sample / 32_768, at);
      else data.writeDoubleLE(sample / 32_768, at);
      at += width;
    }
  }
  const format = code ?? (encoding.startsWith('f') ? 3 : 1);
  const head = Buffer.alloc(extensible ? 40 : 16);
  head.writeUInt16LE(extensible ? 0xfffe : format, 0);
  head.writeUInt16LE(channels, 2);
  head.writeUInt32LE(sampleRate, 4);
  head.writeUInt32LE(sampleRate * channels * width, 8);
  head.writeUInt16LE(channels * width, 12);
  head.writeUInt16LE(8 * width, 14);
  if (extensible) {
    head.writeUInt16LE(22, 16);
    head.writeUInt16LE(8 * width, 18);
    head.writeUInt32LE((1 << channels) - 1, 20);
    head.writeUInt16LE(format, 24);
    Buffer.from('000000001000800000aa00389b71', 'hex').copy(head, 26);
  }
  const length = declared ?? data.length;
  return Buffer.concat([Buffer.from('RIFF'), u32(Math.min(20 + head.length + length, 0xffff_ffff)), Buffer.from('WAVEfmt '), u32(head.length), head, Buffer.from('data'), u32(length), data]);
}

function u32(number: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(number >>> 0);
  return bytes;
}
