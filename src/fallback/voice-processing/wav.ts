/** RIFF WAVE: where its samples lie, and what they are. http://soundfile.sapp.org/doc/WaveFormat/ */

import { UniversalAiError } from '../../errors.js';
import type { Pcm } from '../../services/voice-processing-backend.js';
import type { Source } from './source.js';

/** How a sample is written; numbers are little-endian. */
export type Encoding = 'u8' | 's16' | 's24' | 's32' | 'f32' | 'f64';

/** Samples in a source. */
export interface Layout extends Pcm {
  encoding: Encoding;
  /** Bytes of a frame. */
  frame: number;
  /** Where the first frame lies. */
  offset: number;
  /** How many bytes of frames there are. */
  length: number;
  /** The header says that there are more. */
  isTruncated: boolean;
}

const [PCM, FLOAT, EXTENSIBLE] = [1, 3, 0xfffe];
/** Codes that people have names for. */
const CODECS: Record<number, string> = { 2: 'ADPCM', 6: 'A-law', 7: 'mu-law', 17: 'ADPCM', 80: 'MPEG layer II', 85: 'MP3', 255: 'AAC' };
/** A writer that does not know yet how long it will be writes the greatest length, or none. */
const UNKNOWN_FROM = 0x7fff_ffff;
/** From below telephony's 8 kHz to twice a studio's 96 kHz; beyond it is a header's lie. */
const [LOWEST_RATE, HIGHEST_RATE] = [4_000, 384_000];
const MOST_CHANNELS = 32;

/** Reads the header. @throws {UniversalAiError} `UAT_AUDIO_FORMAT`; `UAT_INVALID_INPUT` for a number in it that no audio has. */
export async function readHeader(source: Source): Promise<Layout> {
  let at = 12;
  let format: Omit<Layout, 'offset' | 'length' | 'isTruncated'> | undefined;
  while (at + 8 <= source.length) {
    const head = await source.read(at, 8);
    if (head.length < 8) break;
    const name = Buffer.from(head.subarray(0, 4)).toString('latin1');
    const length = view(head).getUint32(4, true);
    at += 8;
    if (name === 'fmt ') format = readFormat(await source.read(at, Math.min(length, 40)), at);
    if (name === 'data') {
      if (format === undefined) throw damaged('expected a fmt chunk before the samples', at);
      const left = source.length - at;
      const isUnknown = length === 0 || length >= UNKNOWN_FROM;
      const bytes = isUnknown ? left : Math.min(length, left);
      return { ...format, offset: at, length: bytes - bytes % format.frame, isTruncated: !isUnknown && length > left };
    }
    // Chunks begin at even places.
    at += length + length % 2;
  }
  throw damaged('it ends within its header', Math.min(at, source.length));
}

function readFormat(chunk: Uint8Array, at: number): Omit<Layout, 'offset' | 'length' | 'isTruncated'> {
  if (chunk.length < 16) throw damaged('expected a fmt chunk of at least 16 bytes', at);
  const fields = view(chunk);
  const [written, channels, sampleRate, bits] = [fields.getUint16(0, true), fields.getUint16(2, true), fields.getUint32(4, true), fields.getUint16(14, true)];
  if (written === EXTENSIBLE && chunk.length < 26) throw damaged('expected a longer fmt chunk of the extensible format', at);
  // The extensible format's first two bytes of a GUID are the code that would stand in front otherwise.
  const code = written === EXTENSIBLE ? fields.getUint16(24, true) : written;
  if (code !== PCM && code !== FLOAT) throw unsupported(CODECS[code] ?? `codec ${code}`);
  if (sampleRate < LOWEST_RATE || sampleRate > HIGHEST_RATE) throw outside('sample rate', '4000 to 384000 Hz', sampleRate);
  if (channels < 1 || channels > MOST_CHANNELS) throw outside('channels', '1 to 32', channels);
  const known: Record<number, Encoding> = code === PCM ? { 8: 'u8', 16: 's16', 24: 's24', 32: 's32' } : { 32: 'f32', 64: 'f64' };
  const encoding = known[bits];
  if (encoding === undefined) throw unsupported(`${bits} bits a sample`);
  return { encoding, sampleRate, channels, frame: channels * bits / 8 };
}

function view(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function unsupported(feature: string): UniversalAiError {
  return new UniversalAiError('UAT_AUDIO_FORMAT', `wav audio with ${feature} is not supported; convert it to wav, flac, mp3, m4a (AAC-LC) or ogg/opus`);
}

function outside(field: string, expected: string, found: number): UniversalAiError {
  return new UniversalAiError('UAT_INVALID_INPUT', `${field}: expected ${expected}, got ${found}`, { details: { field } });
}

function damaged(reason: string, offset: number): UniversalAiError {
  return new UniversalAiError('UAT_AUDIO_FORMAT', `the wav audio is damaged: ${reason} (near byte ${offset})`);
}
