import type { DetectedSpeech, VoiceEvent, VoiceResult } from './voice-processing-types.js';

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

/** How a live signal is heard. */
export interface PreparedStream {
  pcm: Pcm;
  language: string | undefined;
  partialEveryMs: number | undefined;
  endpointSilenceMs: number | undefined;
}

/** A live signal that a backend hears. */
export interface BackendLive {
  /** Whole frames, which are the caller's again when this has returned its promise. Resolves when there is room for more. */
  write(pcm: Int16Array | Float32Array): Promise<void>;
  /** Once, after the last `write`. */
  end(): void;
  readonly bufferedMs: number;
  /** What came of it since the last call, at least one event; null when all was told. */
  next(): Promise<VoiceEvent[] | null>;
  /** Nobody wants to know any more. Idempotent. */
  leave(): void;
}

/** A browser that a backend hears. */
export interface BackendBrowser {
  readonly answerSdp: string;
  readonly sessionId: string;
  /** As {@link BackendLive.next}. */
  next(): Promise<VoiceEvent[] | null>;
  /** Idempotent. */
  close(): Promise<void>;
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
  /** Begins at once; what is wrong with it rejects `write` and `next`. */
  stream(options: PreparedStream, signal: AbortSignal | undefined): BackendLive;
  /** @param offer Not empty. */
  accept(offer: string, language: string | undefined): Promise<BackendBrowser>;
  /** Ends the calls and streams under way with `UAT_CLOSED`, and resolves when they have ended. */
  close(): Promise<void>;
}
