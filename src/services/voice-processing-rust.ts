import type { BackendInfo } from '../backend.js';
import { UniversalAiError } from '../errors.js';
import { openTypeScriptVoiceProcessing } from '../fallback/voice-processing/voice.js';
import { type Selected, selectBackend } from '../native/loader.js';
import { openNativeVoiceProcessing } from '../native/voice-processing.js';
import type { VoiceProcessingBackend } from './voice-processing-backend.js';
import { Progress } from './voice-processing-progress.js';
import { checkFile, checkRemote, prepareAudio, prepareDetect, prepareOffer, prepareProcess, prepareStream, prepareVoice } from './voice-processing-request.js';
import { LiveVoiceStream, VoiceEvents } from './voice-processing-stream.js';
import type { AudioInput, DetectedSpeech, DetectSpeechOptions, ProcessAudioOptions, VoiceOptions, VoiceResult, VoiceStream, VoiceStreamOptions, WebRtcSession } from './voice-processing-types.js';

export type { BackendInfo } from '../backend.js';
export { UniversalAiError, type ErrorCode, type UniversalAiErrorOptions } from '../errors.js';
export type * from './voice-processing-types.js';

type Open = { name: 'open'; backend: VoiceProcessingBackend; isRemote: boolean };
type State =
  | { name: 'new' | 'closed' }
  | { name: 'opening'; opened: Promise<VoiceProcessingBackend> }
  | Open;

/**
 * What was said, when, by a recorded signal.
 *
 * ```ts
 * const service = new VoiceProcessingService();
 * await service.initialize();
 * const { text, segments } = await service.processAudio('talk.m4a', { onProgress: done => console.log(done) });
 * ```
 *
 * A container (wav, flac, mp3, m4a, aac, ogg, webm) is recognised by its bytes; the TypeScript backend reads wav alone. Anything else is
 * 16-bit little-endian PCM where `sampleRate` says so. Every rejection is a {@link UniversalAiError}; `UAT_NOT_INITIALIZED` and
 * `UAT_CLOSED` are those of every method, and of what is heard `UAT_INVALID_INPUT`, `UAT_NOT_FOUND`, `UAT_STORAGE` and
 * `UAT_AUDIO_FORMAT`.
 */
export class VoiceProcessingService {
  #selected: Selected | undefined;
  #state: State = { name: 'new' };
  #closing: Promise<void> | undefined;

  /** Which implementation answers, and why. Decided at the first look, so that importing this module decides nothing. */
  get backend(): BackendInfo {
    return this.#select().info;
  }

  /**
   * Loads the models that are on this machine. Without the one that writes down, speech can be detected all the same.
   *
   * @throws {UniversalAiError} `UAT_MODEL_NOT_FOUND`: there is no such model, or `silero-vad-6` was not pulled; `UAT_CONFLICT`: it is
   *   initialized already; `UAT_UNSUPPORTED`: an option that is not there yet; `UAT_INVALID_INPUT` names the option;
   *   `UAT_CORRUPT_VALUE`: a model's file is damaged.
   */
  async initialize(options?: VoiceOptions): Promise<void> {
    if (this.#closing !== undefined) await this.#closing;
    const prepared = prepareVoice(options);
    if (this.#state.name === 'open' || this.#state.name === 'opening') {
      throw new UniversalAiError('UAT_CONFLICT', 'initialize: this VoiceProcessingService is initialized already; close() it first, or make another one');
    }
    const before = this.#state;
    const { native } = this.#select();
    const opened = native === undefined ? openTypeScriptVoiceProcessing(prepared) : openNativeVoiceProcessing(native, prepared);
    const opening: State = { name: 'opening', opened };
    this.#state = opening;
    const backend = await opened.catch((error: unknown) => {
      if (this.#state === opening) this.#state = before;
      throw error;
    });
    if (this.#state !== opening) throw closed();
    this.#state = { name: 'open', backend, isRemote: prepared.remote !== undefined };
  }

  /**
   * Writes down what was said in a recording.
   *
   * @throws {UniversalAiError} `UAT_MODEL_NOT_FOUND` with the command that pulls the model; `UAT_ENGINE_UNAVAILABLE`: the TypeScript
   *   backend has no model, see `transcriber`; `UAT_CANCELLED`; of a server also `UAT_UPSTREAM`, `UAT_UNAUTHORIZED`,
   *   `UAT_RATE_LIMITED` and `UAT_TIMEOUT`.
   */
  async processAudio(audio: AudioInput, options: ProcessAudioOptions = {}): Promise<VoiceResult> {
    const { process, ...listeners } = prepareProcess(options);
    const prepared = prepareAudio(audio, options);
    if (this.#open().isRemote) checkRemote(process);
    if (listeners.signal?.aborted === true) throw new UniversalAiError('UAT_CANCELLED', 'the call was cancelled by its signal', { cause: listeners.signal.reason });
    if (prepared.kind === 'file') await checkFile(prepared);
    const { backend } = this.#open();
    const progress = new Progress(listeners);
    return await progress.until(backend.process(prepared, process, progress.listening));
  }

  /** Where somebody speaks, and how likely that is frame by frame. Needs no model that transcribes. */
  async detectSpeech(audio: AudioInput, options: DetectSpeechOptions = {}): Promise<DetectedSpeech> {
    const threshold = prepareDetect(options);
    const prepared = prepareAudio(audio, options);
    this.#open();
    if (prepared.kind === 'file') await checkFile(prepared);
    return await this.#open().backend.detect(prepared, threshold);
  }

  /**
   * Hears a live signal.
   *
   * ```ts
   * const stream = service.stream({ sampleRate: 48_000 });
   * microphone.on('data', frame => void stream.write(frame).catch(onError));
   * for await (const event of stream) if (event.type === 'final') console.log(event.segment.text);
   * ```
   *
   * `write` copies, and resolves when there is room for more: who awaits it is never ahead by more than a few seconds. Leaving the loop
   * ends the stream.
   *
   * @throws {UniversalAiError} `UAT_UNSUPPORTED`: the TypeScript backend hears recordings alone; `UAT_CANCELLED`: the signal was aborted.
   *   Of `write` and the loop also `UAT_MODEL_NOT_FOUND` with the command that pulls the model, `UAT_OVERLOADED` where nobody awaits
   *   `write`, and `UAT_CLOSED` after `end()`.
   */
  stream(options?: VoiceStreamOptions): VoiceStream {
    const { stream, signal } = prepareStream(options);
    const { backend } = this.#open();
    if (signal?.aborted === true) throw new UniversalAiError('UAT_CANCELLED', 'the stream was cancelled by its signal', { cause: signal.reason });
    return new LiveVoiceStream(backend.stream(stream, signal), stream.pcm.channels);
  }

  /**
   * Hears a browser over WebRTC: its offer in, an answer out, as WHIP has it.
   *
   * ```ts
   * app.post('/whip', async (request, response) => {
   *   const { answerSdp, events } = await service.acceptWebRtc(request.body);
   *   response.status(201).type('application/sdp').send(answerSdp);
   *   for await (const event of events) if (event.type === 'final') console.log(event.segment.text);
   * });
   * ```
   *
   * The events also go to the browser's data channel, if it offers one, as JSON. They end when the browser has left and its last words
   * were written down; leaving their loop ends nothing, and of what nobody reads the newest thousand are kept. All browsers are heard at
   * one UDP port: of 127.0.0.1, a free one, unless the environment has `UAT__VOICE__WEBRTC__UDP` (`0.0.0.0:5000`) and
   * `UAT__VOICE__WEBRTC__PUBLIC_IPS` (`["203.0.113.7"]`).
   *
   * @param offerSdp At most 64 KiB, with audio that is sent as Opus.
   * @throws {UniversalAiError} `UAT_INVALID_INPUT` says what the offer lacks; `UAT_OVERLOADED`: as many are heard as may be;
   *   `UAT_MODEL_NOT_FOUND`; `UAT_CONFIG`: the port cannot be opened; `UAT_UNSUPPORTED`: on the TypeScript backend. Of the events
   *   `UAT_CLOSED` where the service was closed; a browser that vanishes is an event `error`.
   */
  async acceptWebRtc(offerSdp: string, options?: { language?: string }): Promise<WebRtcSession> {
    const { offer, language } = prepareOffer(offerSdp, options);
    const session = await this.#open().backend.accept(offer, language);
    const events = new VoiceEvents(() => session.next(), () => undefined);
    return { answerSdp: session.answerSdp, sessionId: session.sessionId, events, close: () => session.close() };
  }

  /** Ends what is under way with `UAT_CLOSED`, and lets the models go. Idempotent; `initialize` may follow. */
  close(): Promise<void> {
    this.#closing ??= this.#close().finally(() => { this.#closing = undefined; });
    return this.#closing;
  }

  async #close(): Promise<void> {
    const state = this.#state;
    this.#state = { name: 'closed' };
    // Closed while it opens: what was opened is closed then.
    const backend = state.name === 'opening' ? await state.opened.catch(() => undefined) : state.name === 'open' ? state.backend : undefined;
    await backend?.close();
  }

  #open(): Open {
    if (this.#state.name === 'open') return this.#state;
    if (this.#state.name === 'closed') throw closed();
    throw new UniversalAiError('UAT_NOT_INITIALIZED', 'this VoiceProcessingService is not initialized; await initialize() first');
  }

  #select(): Selected {
    this.#selected ??= selectBackend('VoiceProcessingService');
    return this.#selected;
  }
}

function closed(): UniversalAiError {
  return new UniversalAiError('UAT_CLOSED', 'this VoiceProcessingService was closed; call initialize() to use it again');
}
