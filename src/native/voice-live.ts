import type { BackendLive, PreparedStream } from '../services/voice-processing-backend.js';
import type { VoiceEvent } from '../services/voice-processing-types.js';
import type { LiveSignal, VoiceProcessing } from './binding.js';
import { Cancelling } from './call.js';
import { asking, fromNative } from './errors.js';
import type { NativeBinding } from './loader.js';

/** A live signal that the addon hears. Until its models are loaded, what is written waits here. */
export class NativeLive implements BackendLive {
  readonly #opened: Promise<LiveSignal>;
  readonly #signal: AbortSignal | undefined;
  readonly #samplesPerMs: number;
  readonly #cancelling: Cancelling;
  #live: LiveSignal | undefined;
  #isLeft = false;
  /** Samples that wait here. */
  #waiting = 0;

  constructor(binding: NativeBinding, native: VoiceProcessing, { pcm, ...options }: PreparedStream, signal: AbortSignal | undefined) {
    this.#signal = signal;
    this.#cancelling = new Cancelling(binding, signal);
    this.#samplesPerMs = pcm.sampleRate * pcm.channels / 1000;
    const { language, partialEveryMs, endpointSilenceMs } = options;
    const asked = {
      ...pcm,
      ...(language === undefined ? {} : { language }),
      ...(partialEveryMs === undefined ? {} : { partialEveryMs }),
      ...(endpointSilenceMs === undefined ? {} : { endpointSilenceMs }),
    };
    this.#opened = asking(() => native.stream(asked, this.#cancelling.handle)).then(live => {
      if (this.#isLeft) live.leave();
      this.#live = live;
      return live;
    });
    // Whoever writes or reads hears of it.
    this.#opened.catch(() => this.#cancelling.release());
  }

  get bufferedMs(): number {
    return this.#waiting / this.#samplesPerMs + (this.#live?.bufferedMs ?? 0);
  }

  async write(pcm: Int16Array | Float32Array): Promise<void> {
    // The addon copies at once, but not before it is there, and it sees no memory that is shared with other threads.
    const samples = this.#live === undefined || !(pcm.buffer instanceof ArrayBuffer) ? pcm.slice() : pcm;
    if (this.#live === undefined) {
      this.#waiting += samples.length;
      await this.#opened.finally(() => { this.#waiting -= samples.length; });
    }
    await this.#asked(live => live.write(samples));
  }

  end(): void {
    if (this.#live !== undefined) this.#live.end();
    // After what waits to be written.
    else this.#opened.then(live => live.end(), () => undefined);
  }

  async next(): Promise<VoiceEvent[] | null> {
    try {
      const told = await this.#asked(live => live.next());
      if (told === null) this.#cancelling.release();
      // The addon makes objects of all members; those of other kinds are undefined.
      return told as VoiceEvent[] | null;
    } catch (error) {
      this.#cancelling.release();
      throw error;
    }
  }

  leave(): void {
    this.#isLeft = true;
    this.#cancelling.release();
    this.#live?.leave();
  }

  async #asked<T>(ask: (live: LiveSignal) => Promise<T>): Promise<T> {
    const live = this.#live ?? await this.#opened;
    try {
      return await ask(live);
    } catch (error) {
      throw fromNative(error, this.#signal);
    }
  }
}
