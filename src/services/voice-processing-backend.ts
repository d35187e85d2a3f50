import type { DetectedSpeech, VoiceResult } from './voice-processing-types.js';

/** How samples lie where there is no container. */
export interface Pcm {
  sampleRate: number;
  /** Interleaved. */
  channels: number;
}

/** What is heard, checked. */
export type PreparedAudio =
  /** A regular file, at least when it was looked at. */
  | { kind: 'file'; path: string; pcm: Pcm | undefined }
  /** A container's bytes, or 16-bit little-endian PCM where `pcm` says how it lies. */
  | { kind: 'bytes'; bytes: Uint8Array; pcm: Pcm | undefined }
  /** Whole frames. */
  | { kind: 'samples'; samples: Int16Array | Float32Array; pcm: Pcm };

/** Options that have passed the wrapper's checks. */
export interface PreparedVoice {
  model: string;
  threads: number | undefined;
  vadModel: string;
  remote: PreparedRemote | undefined;
}

export interface PreparedRemote {
  /** Of http or https. */
  baseUrl: string;
  apiKey: string | undefined;
  model: string;
}

export interface PreparedProcess {
  vad: boolean;
  transcribe: boolean;
  language: string | undefined;
  wordTimestamps: boolean;
  beamSize: number | undefined;
}

/** What a call may be ended by, and whom it tells. */
export interface Listening {
  signal: AbortSignal;
  /** At most ten times a second; never throws. */
  tell: ((fraction: number) => void) | undefined;
}

/**
 * What the native adapter and the TypeScript fallback each implement, so that the compiler tells when they drift.
 *
 * Everything throws or rejects with a `UniversalAiError`. Arguments have been checked, and nothing is called after `close`. The bytes of
 * `audio` are read, or copied, before a call returns its promise: they are the caller's again then.
 */
export interface VoiceProcessingBackend {
  process(audio: PreparedAudio, options: PreparedProcess, listening: Listening): Promise<VoiceResult>;
  /** @param threshold In its range; absent: Silero's. */
  detect(audio: PreparedAudio, threshold: number | undefined): Promise<DetectedSpeech>;
  /** Ends the calls under way with `UAT_CLOSED`, and resolves when they have ended. */
  close(): Promise<void>;
}
