import { isObject } from '../../check.js';
import type { ChatChunk } from '../../services/fast-llm-coordinator-types.js';

/**
 * Going on with an answer that was cut: what the client has been given, the request for the rest, and the seam. The same
 * decisions as `llm_wire::openai::continuation`.
 *
 * The rest is asked for by ending the conversation with what has been said (a prefill). At temperature 0 the prefill ends
 * before the last word, which the model then says again, since tokens do not end where chunks do. At any other
 * temperature another word might come, so only the white space at the end is left out. {@link Seam} takes away what is
 * said twice.
 */

type Fields = Record<string, unknown>;

/** The most that is said again to find a seam, in characters; a longer word is continued where it was cut. */
const MAX_REPEATED = 200;
/** How many of the last chunks' ends are remembered: a word has fewer tokens. */
const REMEMBERED_ENDS = 64;

/** Where an answer is taken up again. */
export interface Cut {
  /** What the backend is told that it has said. */
  prefill: string;
  /** What it will say first, and the client has already. */
  expected: string;
  /** Tokens of the prefill, about. */
  given: number;
  /** Whether anything else than `expected` is another answer. */
  strict: boolean;
}

/** What a client has been given of one streamed answer. */
export class PartialAnswer {
  #text = '';
  /** Chunks with text so far: about as many tokens. */
  #chunks = 0;
  /** Where the last chunks ended in the text. */
  readonly #ends: number[] = [];
  /** The names that every chunk of the answer carries. */
  #head: Fields | undefined;
  /** What else than text has begun: reasoning that no text has followed, or a call, a refusal, a second choice. */
  #begun: 'nothing' | 'reasoning' | 'other' = 'nothing';

  hear(chunk: ChatChunk): void {
    const { id, model, created } = chunk as unknown as Fields;
    if (id != null) this.#head ??= { id, model, created };
    for (const { index, delta, logprobs } of chunk.choices as { index: number; delta: unknown; logprobs?: unknown }[]) {
      const { content, reasoning_content, reasoning, refusal, tool_calls: calls, function_call: call } = isObject(delta) ? delta : {};
      if (index !== 0 || logprobs != null || (Array.isArray(calls) && calls.length > 0) || call != null || said(refusal)) this.#begun = 'other';
      else if ((said(reasoning_content) || said(reasoning)) && this.#begun !== 'other') this.#begun = 'reasoning';
      if (!said(content)) continue;
      this.#text += content;
      this.#chunks += 1;
      this.#ends.push(this.#text.length);
      if (this.#ends.length > REMEMBERED_ENDS) this.#ends.shift();
      if (this.#begun === 'reasoning') this.#begun = 'nothing';
    }
  }

  get length(): number {
    return this.#text.length;
  }

  /** Whether what was given can be said in a prefill: text, and nothing after it. */
  get isText(): boolean {
    return this.#begun === 'nothing' && this.#text !== '';
  }

  /** How to go on. @param repeats The same words will come again, so the last one may be asked for anew. */
  cut(repeats: boolean): Cut {
    const trimmed = this.#text.trimEnd();
    let at = trimmed.length;
    if (repeats) {
      const before = trimmed.replace(/\S*$/, '').trimEnd().length;
      if (this.#text.length - before <= MAX_REPEATED) at = before;
    }
    const repeated = this.#ends.filter(end => end > at).length;
    return { prefill: this.#text.slice(0, at), expected: this.#text.slice(at), given: Math.max(0, this.#chunks - repeated), strict: repeats && at < trimmed.length };
  }

  /** A chunk of the rest as one of this answer; `undefined`: it has nothing left to say. */
  adopt({ choices, usage, ...rest }: ChatChunk, content: string, cut: Cut): ChatChunk | undefined {
    const adopted = choices.map(choice => {
      const { role: _, content: __, ...more } = (isObject(choice.delta) ? choice.delta : {}) as Fields;
      return { ...choice, delta: content === '' ? more : { content, ...more } };
    });
    const says = usage != null || adopted.some(({ delta, finish_reason }) => finish_reason != null || Object.values(delta).some(value => value != null));
    if (!says) return undefined;
    return { ...rest, ...this.#head, choices: adopted, ...(usage == null ? {} : { usage: summed(usage, cut) }) } as ChatChunk;
  }

  /** The chunk that ends an answer of which no token is left to be said. */
  endedByLength(): ChatChunk {
    return { ...this.#head, object: 'chat.completion.chunk', choices: [{ index: 0, delta: {}, finish_reason: 'length' }] } as unknown as ChatChunk;
  }
}

/** Counts the prefill's tokens as tokens of the answer, which to the backend were tokens of the prompt. */
function summed(usage: NonNullable<ChatChunk['usage']>, { given }: Cut): NonNullable<ChatChunk['usage']> {
  const moved = Math.min(given, usage.prompt_tokens);
  return { ...usage, prompt_tokens: usage.prompt_tokens - moved, completion_tokens: usage.completion_tokens + given };
}

/** Takes away from the rest of an answer what the client has already. */
export class Seam {
  readonly #cut: Cut;
  /** What came so far, while it is all expected. */
  #heard = '';
  #closed: boolean;

  constructor(cut: Cut) {
    this.#cut = cut;
    this.#closed = cut.expected === '';
  }

  /** The next chunk of the rest as one of `partial`'s own, `undefined` if it says nothing new; `another`: it is no rest of this answer. */
  chunk(partial: PartialAnswer, chunk: ChatChunk): ChatChunk | 'another' | undefined {
    const [choice] = chunk.choices;
    const content = choice?.delta?.content;
    const text = this.#hear(typeof content === 'string' ? content : '');
    if (text === undefined) return 'another';
    if (choice?.finish_reason != null) {
      const isWhole = this.#closed || !this.#cut.strict;
      this.#closed = true;
      if (!isWhole) return 'another';
    }
    return partial.adopt(chunk, text, this.#cut);
  }

  /** What of this text is new; `undefined`: other words than were expected. */
  #hear(text: string): string | undefined {
    if (this.#closed) return text;
    const { expected, strict } = this.#cut;
    this.#heard += text;
    if (this.#heard.length < expected.length && expected.startsWith(this.#heard)) return '';
    this.#closed = true;
    if (this.#heard.startsWith(expected)) return this.#heard.slice(expected.length);
    if (strict) return undefined;
    // White space only: what of it was said again goes, what was not is not missed.
    let same = 0;
    while (same < expected.length && this.#heard[same] === expected[same]) same += 1;
    return this.#heard.slice(same);
  }
}

/** Whether an answer to this request can be taken up again at all: one choice of text, without log probabilities. */
export function isResumable(request: Fields): boolean {
  return (request['n'] ?? 1) === 1 && request['logprobs'] !== true;
}

/** Whether the answer has to have a form other than text. */
export function hasFormat({ response_format: format }: Fields): boolean {
  return isObject(format) && format['type'] !== undefined && format['type'] !== 'text';
}

/** The request for the rest: the conversation ends with the prefill, and as many tokens fewer are asked for. `undefined`: none is left. */
export function continued(request: Fields, { prefill, given }: Cut): Fields | undefined {
  const rest: Fields = { ...request };
  for (const name of ['max_tokens', 'max_completion_tokens']) {
    const most = request[name];
    if (typeof most !== 'number') continue;
    if (most <= given) return undefined;
    rest[name] = most - given;
  }
  if (prefill !== '') rest['messages'] = withPrefill(request['messages'] as Fields[], prefill);
  return rest;
}

function withPrefill(messages: Fields[], prefill: string): Fields[] {
  const last = messages.at(-1);
  const begun = last?.['role'] === 'assistant' ? last['content'] : undefined;
  // The caller's own beginning of the answer is a part of it.
  if (typeof begun === 'string') return [...messages.slice(0, -1), { ...last, content: begun + prefill }];
  if (Array.isArray(begun)) return [...messages.slice(0, -1), { ...last, content: [...begun as unknown[], { type: 'text', text: prefill }] }];
  return [...messages, { role: 'assistant', content: prefill }];
}

function said(value: unknown): value is string {
  return typeof value === 'string' && value !== '';
}
