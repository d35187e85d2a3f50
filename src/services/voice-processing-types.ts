import type { ErrorCode } from '../errors.js';

/** What hears, and who writes down. */
export interface VoiceOptions {
  /** The model that writes down what was said: `whisper-tiny.en` unless told otherwise, or `whisper-base` for 99 languages. */
  model?: string;
  /** Threads that compute, 1 to 256; absent: as many as there are cores. The native backend's. */
  threads?: number;
  /** The network that finds speech: `silero-vad-6`, or the path of its ONNX file. */
  vadModel?: string;
  /** What tells whether somebody has finished, beside silence. Not there yet: only `false` is taken. */
  turnModel?: string | false;
  /**
   * Who writes down: a model of this machine (the native backend alone has one), or a server with OpenAI's `/v1/audio/transcriptions`.
   * `baseUrl` is such as `https://api.openai.com/v1`; without a path `/v1` is added.
   */
  transcriber?: { kind: 'local' } | { kind: 'openai'; baseUrl: string; apiKey?: string; model: string };
}

/** What can be heard: the bytes of a file, samples, or a path. */
export type AudioInput = Uint8Array | Int16Array | Float32Array | string;

/** How a recording is heard. */
export interface ProcessAudioOptions {
  /** Whether only speech is written down; default `true`. Without it a transcriber may make words up of noise. */
  enableVAD?: boolean;
  /** Samples per second of what is in no container, 4,000 to 384,000. Default 16,000 for typed arrays of samples; bytes and files need it. */
  sampleRate?: number;
  /** Channels of what is in no container, interleaved, 1 to 26; default 1. */
  channels?: number;
  /** Whether words are wanted, or only when somebody speaks; default `true`. */
  transcribe?: boolean;
  /** A code such as `de`; absent: the first utterance tells. */
  language?: string;
  /** Whether words get times of their own; default `false`. */
  wordTimestamps?: boolean;
  /** Not there yet: only `false` is taken. */
  denoise?: boolean;
  /** Texts that a local model follows side by side, 1 to 32; default 5. */
  beamSize?: number;
  /** Ends the call with `UAT_CANCELLED`. */
  signal?: AbortSignal;
  /** Is told now and then which part was heard, 0 to 1; 1 at the end. Where it throws, the call ends. */
  onProgress?: (fraction: number) => void;
}

/** How speech is looked for. */
export interface DetectSpeechOptions {
  /** As in {@link ProcessAudioOptions}. */
  sampleRate?: number;
  /** As in {@link ProcessAudioOptions}. */
  channels?: number;
  /** Speech begins at this probability, above 0, at most 1; default 0.5. It ends 0.15 below. */
  threshold?: number;
}

/** A piece of what was said, about a sentence. Times are ms from the signal's beginning. */
export interface SpeechSegment {
  startMs: number;
  endMs: number;
  /** Empty with `transcribe: false`. */
  text: string;
  /** 0 to 1; NaN where a server does not say. */
  confidence: number;
  /** Only with `wordTimestamps`. */
  words?: { word: string; startMs: number; endMs: number; confidence: number }[];
}

/** What was said, and when. */
export interface VoiceResult {
  text: string;
  /** The code of the language, such as `de`; empty where nothing was said and none was given. */
  language: string;
  segments: SpeechSegment[];
  /** How long the signal lasts. */
  durationMs: number;
  /** How much of it is speech; all of it with `enableVAD: false`. */
  speechMs: number;
  /** The audio ends before it says it does; what it holds was heard. */
  truncated: boolean;
  /** Packets that made no sense; they were heard as silence. */
  damagedPackets: number;
  /** Where the time went, in ms. The native backend counts resampling as decoding. */
  timings: { decodeMs: number; resampleMs: number; vadMs: number; transcribeMs: number; totalMs: number };
}

/** Where somebody speaks. */
export interface DetectedSpeech {
  segments: { startMs: number; endMs: number }[];
  /** How likely each frame holds speech, 0 to 1. */
  probabilities: Float32Array;
  /** What a probability is of. */
  frameMs: number;
}

/** What a live signal comes to. */
export type VoiceEvent =
  | { type: 'speech_started'; atMs: number }
  | { type: 'partial'; startMs: number; text: string; /** Characters that will not change any more. */ committed: number }
  | { type: 'final'; segment: SpeechSegment }
  | { type: 'speech_stopped'; atMs: number }
  | { type: 'error'; code: ErrorCode; message: string };

/** How a live signal is heard. */
export interface VoiceStreamOptions {
  /** Samples per second, 4,000 to 384,000; default 16,000. */
  sampleRate?: number;
  /** Interleaved, 1 to 26; default 1. */
  channels?: number;
  /** A code such as `de`; absent: the first stretch tells. */
  language?: string;
  /** How long after one partial text the next is begun, 100 to 60,000; default 400. */
  partialEveryMs?: number;
  /** A silence of this length ends a turn, 100 to 60,000; default 500. */
  endpointSilenceMs?: number;
  /** Ends the stream with `UAT_CANCELLED`. */
  signal?: AbortSignal;
}

/** A live signal. Its events can be read once. */
export interface VoiceStream extends AsyncIterable<VoiceEvent> {
  /** Samples, of any number of whole frames; they are copied. Resolves when there is room for more. */
  write(pcm: Int16Array | Float32Array): Promise<void>;
  /** The signal has ended: what is left of it is still told. Once. */
  end(): void;
  /** How far texts are behind what was written, in ms of it. */
  readonly bufferedMs: number;
}

/** A live signal over WebRTC. */
export interface WebRtcSession { answerSdp: string; sessionId: string; events: AsyncIterable<VoiceEvent>; close(): Promise<void> }
