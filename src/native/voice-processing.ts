import { randomUUID } from 'node:crypto';

import type { BackendBrowser, BackendLive, Listening, PreparedAudio, PreparedProcess, PreparedStream, PreparedVoice, VoiceProcessingBackend } from '../services/voice-processing-backend.js';
import type { DetectedSpeech, VoiceEvent, VoiceResult } from '../services/voice-processing-types.js';
import type { SampleFormat, VoiceProcessing } from './binding.js';
import { attempt, whole } from './call.js';
import { asking } from './errors.js';
import type { NativeBinding } from './loader.js';
import { NativeLive } from './voice-live.js';

/** Opens the service of the Rust core, which loads its models. */
export async function openNativeVoiceProcessing(binding: NativeBinding, { threads, remote, ...models }: PreparedVoice): Promise<VoiceProcessingBackend> {
  const native = attempt(() => new binding.VoiceProcessing());
  await asking(() => native.initialize({
    ...models,
    ...(threads === undefined ? {} : { threads }),
    ...(remote === undefined ? {} : { remote: { baseUrl: remote.baseUrl, model: remote.model, ...(remote.apiKey === undefined ? {} : { apiKey: remote.apiKey }) } }),
  }));
  return new NativeVoiceProcessing(binding, native);
}

/** Converts, calls, converts back. */
class NativeVoiceProcessing implements VoiceProcessingBackend {
  readonly #binding: NativeBinding;
  readonly #native: VoiceProcessing;

  constructor(binding: NativeBinding, native: VoiceProcessing) {
    this.#binding = binding;
    this.#native = native;
  }

  async process(audio: PreparedAudio, { language, beamSize, ...options }: PreparedProcess, { signal, tell }: Listening): Promise<VoiceResult> {
    const asked = { ...options, ...(language === undefined ? {} : { language }), ...(beamSize === undefined ? {} : { beamSize }) };
    return await whole(this.#binding, { signal }, cancel => this.#native.process(source(audio), format(audio), asked, cancel, tell));
  }

  async detect(audio: PreparedAudio, threshold: number | undefined): Promise<DetectedSpeech> {
    const { bounds, probabilities, frameMs } = await asking(() => this.#native.detect(source(audio), format(audio), threshold));
    const segments: DetectedSpeech['segments'] = [];
    for (let at = 0; at + 1 < bounds.length; at += 2) segments.push({ startMs: bounds[at]!, endMs: bounds[at + 1]! });
    return { segments, probabilities, frameMs };
  }

  stream(options: PreparedStream, signal: AbortSignal | undefined): BackendLive {
    return attempt(() => new NativeLive(this.#binding, this.#native, options, signal));
  }

  async accept(offer: string, language: string | undefined): Promise<BackendBrowser> {
    // Who knows it can end the session where it is part of a URL.
    const id = randomUUID();
    const session = await asking(() => this.#native.accept(id, offer, language));
    return {
      answerSdp: session.answerSdp,
      sessionId: session.sessionId,
      next: () => asking(() => session.next()) as Promise<VoiceEvent[] | null>,
      close: () => asking(() => session.close()),
    };
  }

  async close(): Promise<void> {
    await asking(() => this.#native.close());
  }
}

/** A path, or bytes. */
function source(audio: PreparedAudio): string | Uint8Array {
  if (audio.kind === 'file') return audio.path;
  const { buffer, byteOffset, byteLength } = audio.kind === 'bytes' ? audio.bytes : audio.samples;
  const bytes = new Uint8Array(buffer, byteOffset, byteLength);
  // The addon sees no memory that is shared with other threads.
  return buffer instanceof ArrayBuffer ? bytes : Uint8Array.from(bytes);
}

function format(audio: PreparedAudio): SampleFormat {
  const { sampleRate, channels } = audio.pcm ?? { sampleRate: undefined, channels: 1 };
  return {
    channels,
    ...(sampleRate === undefined ? {} : { sampleRate }),
    ...(audio.kind === 'samples' ? { samples: audio.samples instanceof Float32Array ? 'f32' : 'i16' } : {}),
  };
}
