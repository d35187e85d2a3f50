import type { ChatChunk } from '../../services/fast-llm-coordinator-types.js';
import { continued, type Cut, hasFormat, isResumable, PartialAnswer, Seam } from './continuation.js';
import type { Contender } from './select.js';
import type { Model, Place } from './wiring.js';

type Fields = Record<string, unknown>;

/** How often one stream is continued without a new word in between: a fault that follows the request around is not mended by asking once more. */
const WITHOUT_PROGRESS = 2;

/** How a broken stream goes on: the rest is asked for, or as many tokens as were asked for have been given. */
export type Next = { tried: Contender['tried'][]; request: (place: Place) => Fields } | { last: ChatChunk };

/** What a stream remembers in order to be continued after it broke off. */
export class Resumption {
  readonly #request: Fields;
  readonly #model: Model;
  readonly #partial = new PartialAnswer();
  #seam: Seam | undefined;
  /** Whether the words before the cut will be said again: until a backend says others. */
  #repeats: boolean;
  #lastLength = 0;
  #withoutProgress = 0;

  constructor(request: Fields, model: Model) {
    this.#request = request;
    this.#model = model;
    this.#repeats = request['temperature'] === 0;
  }

  /** Takes a chunk of the endpoint's and gives the one for the caller; `undefined` if it says nothing new, `another` if the backend goes on with other words. */
  chunk(chunk: ChatChunk): ChatChunk | 'another' | undefined {
    const heard = this.#seam === undefined ? chunk : this.#seam.chunk(this.#partial, chunk);
    if (heard === 'another') this.#repeats = false;
    else if (heard !== undefined) this.#partial.hear(heard);
    return heard;
  }

  /** How to go on after this endpoint broke off; `undefined`: not at all. */
  next(brokeOff: Place['endpoint']): Next | undefined {
    if (!this.#partial.isText || !isResumable(this.#request)) return undefined;
    this.#withoutProgress = this.#partial.length > this.#lastLength ? 0 : this.#withoutProgress + 1;
    this.#lastLength = this.#partial.length;
    if (this.#withoutProgress > WITHOUT_PROGRESS) return undefined;
    const tried = this.#model.places.map(place => this.#mayBeAsked(place, brokeOff));
    if (tried.every(one => one === 'finished')) return undefined;
    const cut = this.#partial.cut(this.#repeats);
    const request = continued(this.#request, cut);
    if (request === undefined) return { last: this.#partial.endedByLength() };
    this.#seam = new Seam(cut);
    return { tried, request: ({ endpoint }) => ({ ...request, ...saidSo(endpoint.config.protocol, cut) }) };
  }

  /** Those that can give the rest, the one that broke off after all others. A grammar advances over what was said in our own engine only. */
  #mayBeAsked({ endpoint }: Place, brokeOff: Place['endpoint']): Contender['tried'] {
    const isEngine = endpoint.config.protocol === 'uat-engine';
    if (!(endpoint.config.resume || isEngine) || (hasFormat(this.#request) && !isEngine)) return 'finished';
    return endpoint === brokeOff ? 'briefly' : 'not-yet';
  }
}

/** What vLLM and SGLang want to be told; the local engine and the other dialects go on with a message without. */
function saidSo(protocol: Place['endpoint']['config']['protocol'], { prefill }: Cut): Fields {
  return protocol === 'openai' && prefill !== '' ? { continue_final_message: true, add_generation_prompt: false } : {};
}

export function wantsUsage(request: Fields): boolean {
  const options = request['stream_options'] as { include_usage?: unknown } | null | undefined;
  return options?.include_usage === true;
}
