import { UniversalAiError } from '../errors.js';
import type { BackendLive } from './voice-processing-backend.js';
import { checkFrames } from './voice-processing-request.js';
import type { VoiceEvent, VoiceStream } from './voice-processing-types.js';

/** A live signal, as its user sees it: checks what is written, and gives events one by one. */
export class LiveVoiceStream implements VoiceStream {
  readonly #live: BackendLive;
  readonly #channels: number;
  #hasEnded = false;
  #isLeft = false;
  #unread: VoiceEvent[] = [];
  /** One look at a time, so that events stay in order. */
  #reading: Promise<unknown> = Promise.resolve();

  constructor(live: BackendLive, channels: number) {
    this.#live = live;
    this.#channels = channels;
  }

  get bufferedMs(): number {
    return this.#live.bufferedMs;
  }

  async write(pcm: Int16Array | Float32Array): Promise<void> {
    const samples = checkFrames(pcm, this.#channels);
    if (this.#hasEnded) throw ended('write');
    if (samples.length > 0) await this.#live.write(samples);
  }

  end(): void {
    if (this.#hasEnded) throw ended('end');
    this.#hasEnded = true;
    this.#live.end();
  }

  [Symbol.asyncIterator](): AsyncIterator<VoiceEvent, undefined> {
    return {
      next: () => {
        const next = this.#reading.then(() => this.#next());
        this.#reading = next.catch(() => undefined);
        return next;
      },
      return: () => {
        this.#isLeft = true;
        this.#hasEnded = true;
        this.#unread = [];
        this.#live.leave();
        return Promise.resolve({ done: true, value: undefined });
      },
    };
  }

  async #next(): Promise<IteratorResult<VoiceEvent, undefined>> {
    const told = this.#unread.shift();
    if (told !== undefined) return { done: false, value: told };
    const batch = this.#isLeft ? null : await this.#live.next();
    const [first, ...rest] = batch ?? [];
    if (first === undefined) return { done: true, value: undefined };
    this.#unread = rest;
    return { done: false, value: first };
  }
}

function ended(method: string): UniversalAiError {
  return new UniversalAiError('UAT_CLOSED', `${method}: the signal has ended; open another stream for another one`);
}
