import type { ChatChunk } from '../../services/fast-llm-coordinator-types.js';
import type { Protocol } from './config-endpoint.js';
import { isObject } from './dialect.js';

type Fields = Record<string, unknown>;

/** What has been said of an answer, and whether another endpoint could go on with it. */
export class Transcript {
  readonly #request: Fields;
  #text = '';
  /** Pieces of text: a server sends a token a piece, so that this is how many tokens there were, at least. */
  #pieces = 0;
  #obstacle: string | undefined;
  #head: Fields | undefined;
  #finished = false;

  constructor(request: Fields) {
    this.#request = request;
    if (typeof request['n'] === 'number' && request['n'] > 1) this.#obstacle = 'several answers (n) were asked for';
    else if (request['logprobs'] === true) this.#obstacle = 'log probabilities were asked for';
  }

  hear(chunk: ChatChunk): void {
    if (this.#head === undefined) {
      const { choices: _, usage: __, ...head } = chunk;
      this.#head = head;
    }
    for (const { index, delta, finish_reason } of chunk.choices) {
      if (finish_reason != null) this.#finished = true;
      const said = (isObject(delta) ? delta : {}) as Fields;
      if (index !== 0) this.#obstacle ??= 'it has several choices';
      if (Array.isArray(said['tool_calls']) && said['tool_calls'].length > 0) this.#obstacle ??= 'tools were called';
      if (typeof said['refusal'] === 'string' && said['refusal'] !== '') this.#obstacle ??= 'it is a refusal';
      const { content } = said;
      if (typeof content !== 'string' || content === '') {
        const thought = said['reasoning_content'] ?? said['reasoning'];
        // What was thought cannot be handed over, and thinking anew would say it twice.
        if (typeof thought === 'string' && thought !== '') this.#obstacle ??= 'it was thought about aloud';
        continue;
      }
      this.#text += content;
      this.#pieces += 1;
    }
  }

  /** Why nobody can go on with this answer. */
  get obstacle(): string | undefined {
    return this.#finished ? 'it had ended' : this.#obstacle;
  }

  /** Whether an endpoint of this protocol can go on. A grammar advances over what was said in our own engine only. */
  fits(protocol: Protocol): boolean {
    return protocol === 'uat-engine' || !isStructured(this.#request['response_format']);
  }

  /** Whether as many tokens have come as were allowed. */
  get isFull(): boolean {
    return this.#limits().some(([, left]) => left <= 0);
  }

  /** The request that asks an endpoint to go on. */
  request(protocol: Protocol): Fields {
    const sent = this.#text.trimEnd();
    const messages = [...this.#request['messages'] as Fields[]];
    const last = messages.at(-1);
    const asksSo = protocol === 'openai' || protocol === 'azure';
    // The caller's own beginning of the answer is a part of it, where the endpoint before took it as one.
    const begun = last?.['role'] === 'assistant' && typeof last['content'] === 'string' && (!asksSo || this.#request['continue_final_message'] === true);
    if (sent !== '' && begun) messages[messages.length - 1] = { ...last, content: `${last['content'] as string}${sent}` };
    else if (sent !== '') messages.push({ role: 'assistant', content: sent });
    const fields = sent !== '' && asksSo ? { continue_final_message: true, add_generation_prompt: false } : {};
    return { ...this.#request, messages, ...Object.fromEntries(this.#limits()), ...fields };
  }

  /** Makes of the next endpoint's chunks what continues the first one's. */
  splice(): Splice {
    return new Splice(this.#text.slice(this.#text.trimEnd().length), this.#head ?? {}, this.#pieces);
  }

  /** The end of an answer that had no token left. */
  end(): ChatChunk[] {
    const finish = { ...this.#head, choices: [{ index: 0, delta: {}, finish_reason: 'length' }] } as unknown as ChatChunk;
    if (!wantsUsage(this.#request)) return [finish];
    // Nobody counted the prompt of a stream that was cut.
    return [finish, { ...this.#head, choices: [], usage: { prompt_tokens: 0, completion_tokens: this.#pieces, total_tokens: this.#pieces } } as unknown as ChatChunk];
  }

  #limits(): [string, number][] {
    return ['max_tokens', 'max_completion_tokens'].flatMap(field => {
      const most = this.#request[field];
      return typeof most === 'number' ? [[field, most - this.#pieces] as [string, number]] : [];
    });
  }
}

/** The chunks of an endpoint that goes on, as those of the stream that it goes on with. */
export class Splice {
  /** White space at the end of what was said is not sent, since some refuse it, but expected again. */
  #expected: string;
  readonly #head: Fields;
  /** Tokens that were said before. */
  readonly #before: number;

  constructor(expected: string, head: Fields, before: number) {
    this.#expected = expected;
    this.#head = head;
    this.#before = before;
  }

  /** The chunk, unless it says nothing new. */
  chunk({ choices, usage, ...rest }: ChatChunk): ChatChunk | undefined {
    const kept = choices.flatMap(choice => {
      const { role: _, content, ...more } = (isObject(choice.delta) ? choice.delta : {}) as Fields;
      const fresh = typeof content === 'string' ? this.#withoutExpected(content) : '';
      const delta = { ...(fresh === '' ? {} : { content: fresh }), ...more };
      const saysSomething = choice.finish_reason != null || Object.values(delta).some(value => value != null && value !== '');
      return saysSomething ? [{ ...choice, delta }] : [];
    });
    if (kept.length === 0 && usage == null) return undefined;
    return { ...rest, ...this.#head, choices: kept, ...(usage == null ? {} : { usage: this.#summed(usage) }) } as ChatChunk;
  }

  #withoutExpected(text: string): string {
    let same = 0;
    while (same < text.length && same < this.#expected.length && text[same] === this.#expected[same]) same += 1;
    // From the first other character on nothing is expected any more.
    this.#expected = same < text.length ? '' : this.#expected.slice(same);
    return text.slice(same);
  }

  /** The prompt of the second request holds what was said before, which is counted once: as a part of the answer. */
  #summed(usage: NonNullable<ChatChunk['usage']>): NonNullable<ChatChunk['usage']> {
    const prompt_tokens = Math.max(0, usage.prompt_tokens - this.#before);
    const completion_tokens = usage.completion_tokens + this.#before;
    return { ...usage, prompt_tokens, completion_tokens, total_tokens: prompt_tokens + completion_tokens };
  }
}

export function wantsUsage(request: Fields): boolean {
  const { stream_options: options } = request;
  return isObject(options) && options['include_usage'] === true;
}

function isStructured(format: unknown): boolean {
  return isObject(format) && format['type'] !== 'text';
}
