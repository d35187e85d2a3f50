/** Audio, read block by block as 16 kHz mono. */

import { UniversalAiError } from '../../errors.js';
import type { PreparedAudio } from '../../services/voice-processing-backend.js';
import { containerOf, LOOKED_AT } from '../../services/voice-processing-container.js';
import { Resampler } from './resample.js';
import { shortest } from './silero.js';
import { type Source, sourceOfBytes, sourceOfFile } from './source.js';
import { type Layout, readHeader } from './wav.js';

/** Bytes that are read at a time: some tenths of a second of most files. */
const PIECE = 32 << 10;

const READS: Record<Layout['encoding'], (view: DataView, at: number) => number> = {
  u8: (view, at) => (view.getUint8(at) - 128) / 128,
  s16: (view, at) => view.getInt16(at, true) / 32_768,
  s24: (view, at) => (view.getUint16(at, true) + view.getInt8(at + 2) * 65_536) / 8_388_608,
  s32: (view, at) => view.getInt32(at, true) / 2_147_483_648,
  f32: (view, at) => view.getFloat32(at, true),
  f64: (view, at) => view.getFloat64(at, true),
};

export class Decoder {
  readonly #source: Source;
  readonly #layout: Layout;
  readonly #resampler: Resampler;
  /** Bytes of samples that were read. */
  #read = 0;
  #isEnded = false;
  /** Of its time, what went into resampling; ms. */
  resampleMs = 0;
  /** How many samples were given at 16 kHz. */
  samples = 0;

  private constructor(source: Source, layout: Layout) {
    this.#source = source;
    this.#layout = layout;
    this.#resampler = new Resampler(layout.sampleRate);
  }

  /**
   * Opens what the caller gave.
   *
   * @throws {UniversalAiError} `UAT_AUDIO_FORMAT`: what it is instead of audio that is read here; `UAT_STORAGE`.
   */
  static async open(audio: PreparedAudio): Promise<Decoder> {
    if (audio.kind === 'samples') {
      const { samples, pcm } = audio;
      const source = sourceOfBytes(new Uint8Array(samples.buffer, samples.byteOffset, samples.byteLength));
      const frame = samples.BYTES_PER_ELEMENT * pcm.channels;
      return new Decoder(source, { ...pcm, encoding: samples instanceof Float32Array ? 'f32' : 's16', frame, offset: 0, length: source.length, isTruncated: false });
    }
    const source = audio.kind === 'bytes' ? sourceOfBytes(audio.bytes) : await sourceOfFile(audio.path);
    try {
      return new Decoder(source, await layoutOf(source, audio.pcm));
    } catch (error) {
      await source.close();
      throw error;
    }
  }

  /** The audio ends before it says it does. */
  get isTruncated(): boolean {
    return this.#layout.isTruncated;
  }

  /** How much has been read, 0 to 1. */
  get progress(): number {
    return this.#layout.length === 0 ? 1 : this.#read / this.#layout.length;
  }

  /** The next samples; `undefined`: there are no more. @throws {UniversalAiError} `UAT_INVALID_INPUT`: one is not finite. */
  async nextBlock(): Promise<Float32Array | undefined> {
    const { frame, offset, length } = this.#layout;
    while (!this.#isEnded) {
      const wanted = Math.min(Math.max(PIECE - PIECE % frame, frame), length - this.#read);
      const piece = await this.#source.read(offset + this.#read, wanted);
      const mono = this.#mono(piece);
      this.#read += piece.length;
      const began = performance.now();
      let block = this.#resampler.push(mono);
      if (this.#read >= length || piece.length < wanted) {
        this.#isEnded = true;
        block = joined(block, this.#resampler.flush());
      }
      this.resampleMs += performance.now() - began;
      this.samples += block.length;
      if (block.length > 0) return block;
    }
    if (this.samples === 0) throw new UniversalAiError('UAT_AUDIO_FORMAT', 'the audio is empty: expected samples, found a header without samples');
    return undefined;
  }

  async close(): Promise<void> {
    await this.#source.close();
  }

  /** The mean of the channels, which never clips. */
  #mono(piece: Uint8Array): Float32Array {
    const { channels, frame, encoding } = this.#layout;
    const view = new DataView(piece.buffer, piece.byteOffset, piece.byteLength);
    const [read, width] = [READS[encoding], frame / channels];
    const mono = new Float32Array(Math.floor(piece.length / frame));
    for (let at = 0; at < mono.length; at++) {
      let sum = 0;
      for (let channel = 0; channel < channels; channel++) {
        const sample = Math.fround(read(view, at * frame + channel * width));
        if (!Number.isFinite(sample)) {
          throw new UniversalAiError('UAT_INVALID_INPUT', `sample ${this.#read / frame + at} of channel ${channel} is ${shortest(sample)}: expected finite samples`);
        }
        sum += sample;
      }
      mono[at] = sum / channels;
    }
    return mono;
  }
}

async function layoutOf(source: Source, pcm: PreparedAudio['pcm']): Promise<Layout> {
  const start = await source.read(0, LOOKED_AT);
  const container = containerOf(start);
  if (container === 'wav') return await readHeader(source);
  if (container !== undefined) {
    throw new UniversalAiError('UAT_AUDIO_FORMAT', `the TypeScript backend reads wav alone, and this is ${container} audio; the native backend reads it, or convert it to wav`);
  }
  if (pcm === undefined) {
    const begins = [...start.subarray(0, 8)].map(byte => byte.toString(16).padStart(2, '0')).join(' ');
    throw new UniversalAiError('UAT_AUDIO_FORMAT', `the audio begins with ${begins}, which is no known container (wav, flac, mp3, aac, m4a/mp4, ogg, webm/mkv); say sample rate and channels if it is raw 16-bit PCM`);
  }
  const frame = 2 * pcm.channels;
  const length = source.length - source.length % frame;
  return { ...pcm, encoding: 's16', frame, offset: 0, length, isTruncated: length < source.length };
}

function joined(a: Float32Array, b: Float32Array): Float32Array {
  if (b.length === 0) return a;
  const both = new Float32Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}
