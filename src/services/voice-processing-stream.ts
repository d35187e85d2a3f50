import { UniversalAiError } from '../errors.js';
import type { BackendLive } from './voice-processing-backend.js';
import { checkFrames } from './voice-processing-request.js';
import type { VoiceEvent, VoiceStream } from './voice-processing-types.js';

/** Events, one by one. */
export class VoiceEvents implements AsyncIterable<VoiceEvent> {
  readonly #more: () => Promise<VoiceEvent[] | null>;
  readonly #leave: () => void;
  #isLeft = false;
  #unread: VoiceEvent[] = [];
  /** One look at a time, so that events stay in order. */
  #reading: Promise<unknown> = Promise.resolve();

  /** @param leave Called where a reader leaves its loop: it reads nothing any more. */
  constructor(more: () => Promise<VoiceEvent[] | null>, leave: () => void) {
    this.#more = more;
    this.#leave = leave;
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
        this.#unread = [];
        this.#leave();
        return Promise.resolve({ done: true, value: undefined });
      },
    };
  }

  async #next(): Promise<IteratorResult<VoiceEvent, undefined>> {
    const told = this.#unread.shift();
    if (told !== undefined) return { done: false, value: told };
    const batch = this.#isLeft ? null : await this.#more();
    const [first, ...rest] = batch ?? [];
    if (first === undefined) return { done: true, value: undefined };
    this.#unread = rest;
    return { done: false, value: first };
  }
}

/** A live signal, as its user sees it: checks what is written, and gives events one by one. */
export class LiveVoiceStream implements VoiceStream {
  readonly #live: BackendLive;
  readonly #channels: number;
  readonly #events: VoiceEvents;
  #hasEnded = false;

  constructor(live: BackendLive, channels: number) {
    this.#live = live;
    this.#channels = channels;
    this.#events = new VoiceEvents(() => live.next(), () => {
      this.#hasEnded = true;
      live.leave();
    });
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
    return this.#events[Symbol.asyncIterator]();
  }
}

function ended(method: string): UniversalAiError {
  return new UniversalAiError('UAT_CLOSED', `${method}: the signal has ended; open another stream for another one`);
}
