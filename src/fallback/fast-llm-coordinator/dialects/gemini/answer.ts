import { isObject } from '../../../../check.js';
import type { ChatChunk } from '../../../../services/fast-llm-coordinator-types.js';
import { type AnswerIds, ChunkDecoder, ErrorInAnswer, MAX_EVENT_BYTES, NotOfTheDialect } from '../../dialect.js';
import { SseDecoder } from '../../lines.js';
import { SIGNATURE_FORMAT, SIGNED_CONTENT, SIGNED_IMAGE } from './contents.js';

type Fields = Record<string, unknown>;

const FILTERED = ['SAFETY', 'RECITATION', 'LANGUAGE', 'BLOCKLIST', 'PROHIBITED_CONTENT', 'SPII', 'MODEL_ARMOR', 'IMAGE_SAFETY', 'IMAGE_PROHIBITED_CONTENT', 'IMAGE_RECITATION'];

/** What came of one candidate. */
interface Progress {
  calls: number;
  finish: 'stop' | 'length' | 'content_filter' | undefined;
}

/**
 * Translates the documents of one answer: a complete body and a chunk of a stream have the same fields. No chunk carries
 * a finish reason, because some models write one into every document: which is the last is known at the end.
 */
export class GeminiAnswer {
  readonly #ids: AnswerIds;
  readonly #includeUsage: boolean;
  readonly #choices = new Map<number, Progress>();
  #usage: unknown;

  constructor(ids: AnswerIds, includeUsage: boolean) {
    this.#ids = ids;
    this.#includeUsage = includeUsage;
  }

  /** Whether every candidate that has begun has had a finish reason; a stream that ends without it was cut. */
  get isFinished(): boolean {
    return this.#choices.size > 0 && [...this.#choices.values()].every(({ finish }) => finish !== undefined);
  }

  read(document: unknown): ChatChunk[] {
    // An error also comes alone in an array, from a stream that was not asked for as SSE.
    const answer: unknown = Array.isArray(document) ? document[0] : document;
    if (!isObject(answer)) throw new NotOfTheDialect('expected a JSON object');
    if (answer['error'] != null) throw new ErrorInAnswer(answer['error']);
    if (Array.isArray(document)) throw new NotOfTheDialect('expected a JSON object, got an array');
    this.#usage = answer['usageMetadata'] ?? this.#usage;
    const feedback = answer['promptFeedback'];
    const blocked = isObject(feedback) ? feedback['blockReason'] : undefined;
    const candidates = Array.isArray(answer['candidates']) ? answer['candidates'] : [];
    return [...(typeof blocked === 'string' ? this.#refusal(blocked) : []), ...candidates.flatMap((candidate, position) => this.#candidate(isObject(candidate) ? candidate : {}, position))];
  }

  /** The chunks that end the answer: the finish reason of every choice, then the usage if it was asked for. */
  end(): ChatChunk[] {
    if (!this.isFinished) return [];
    const ends = [...this.#choices].map(([index, { calls, finish }]) => this.#chunk([{ index, delta: {}, finish_reason: finish === 'stop' && calls > 0 ? 'tool_calls' : finish }]));
    const usage = this.#includeUsage ? usageOf(this.#usage) : undefined;
    return usage === undefined ? ends : [...ends, { ...this.#chunk([]), usage } as ChatChunk];
  }

  /** The same for a whole body, which ends where the model did, whether it says so or not. */
  endOfWhole(): ChatChunk[] {
    if (this.#choices.size === 0) throw new NotOfTheDialect('candidates: expected at least one candidate, got none');
    for (const progress of this.#choices.values()) progress.finish ??= 'stop';
    return this.end();
  }

  #refusal(reason: string): ChatChunk[] {
    const begun = this.#begun(0);
    this.#progress(0).finish = 'content_filter';
    return [...begun, this.#said(0, { refusal: `Gemini blocked the prompt: ${reason}` })];
  }

  #candidate(candidate: Fields, position: number): ChatChunk[] {
    const index = typeof candidate['index'] === 'number' ? candidate['index'] : position;
    const chunks = this.#begun(index);
    const { content, finishReason, finishMessage, logprobsResult } = candidate;
    const parts = isObject(content) && Array.isArray(content['parts']) ? content['parts'] : [];
    parts.forEach((part: unknown, place) => {
      const delta = this.#delta(index, isObject(part) ? part : {}, `candidates[${position}].content.parts[${place}]`);
      if (Object.keys(delta).length > 0) chunks.push(this.#said(index, delta));
    });
    if (isObject(logprobsResult)) chunks.push(this.#chunk([{ index, delta: {}, logprobs: logprobs(logprobsResult), finish_reason: null }]));
    if (typeof finishReason === 'string') this.#progress(index).finish = finish(finishReason, finishMessage);
    return chunks;
  }

  #delta(index: number, { text, thought, thoughtSignature, functionCall, inlineData, ...other }: Fields, at: string): Fields {
    const signature = typeof thoughtSignature === 'string' && thoughtSignature !== '' ? thoughtSignature : undefined;
    const words = typeof text === 'string' ? text : undefined;
    const signed = (detail: Fields): Fields => (signature === undefined ? {} : { reasoning_details: [{ ...detail, format: SIGNATURE_FORMAT }] });
    const encrypted = (id: string | undefined): Fields => signed({ type: 'reasoning.encrypted', data: signature, ...(id === undefined ? {} : { id }) });
    if (isObject(functionCall)) {
      const call = this.#call(index, functionCall, at);
      return { tool_calls: [call], ...encrypted(call['id'] as string) };
    }
    if (isObject(inlineData)) return { images: [image(inlineData, at)], ...encrypted(SIGNED_IMAGE) };
    if (thought === true) return { ...(words ? { reasoning_content: words } : {}), ...signed({ type: 'reasoning.text', text: words ?? '', signature }) };
    if (words !== undefined) return { ...(words === '' ? {} : { content: words }), ...encrypted(words === '' ? undefined : SIGNED_CONTENT) };
    const [kind] = Object.keys(other);
    if (kind !== undefined) throw new NotOfTheDialect(`${at}: expected a text, a thought, a function call or an image, got ${kind}`);
    return encrypted(undefined);
  }

  /** A call in OpenAI's words. An identifier that Gemini leaves out is made from the answer's, so that it is unique in a conversation. */
  #call(choice: number, { id, name, args }: Fields, at: string): Fields {
    if (typeof name !== 'string') throw new NotOfTheDialect(`${at}.functionCall.name: expected a name`);
    const progress = this.#progress(choice);
    const index = progress.calls;
    progress.calls += 1;
    const made = typeof id === 'string' && id !== '' ? id : `call_${this.#ids.id}_${choice === 0 ? '' : `${choice}_`}${index}`;
    return { index, id: made, type: 'function', function: { name, arguments: JSON.stringify(isObject(args) ? args : {}) } };
  }

  #progress(index: number): Progress {
    const progress = this.#choices.get(index) ?? { calls: 0, finish: undefined };
    this.#choices.set(index, progress);
    return progress;
  }

  #begun(index: number): ChatChunk[] {
    const isNew = !this.#choices.has(index);
    this.#progress(index);
    return isNew ? [this.#said(index, { role: 'assistant', content: '' })] : [];
  }

  #said(index: number, delta: Fields): ChatChunk {
    return this.#chunk([{ index, delta, finish_reason: null }]);
  }

  #chunk(choices: unknown[]): ChatChunk {
    const { id, created, model } = this.#ids;
    return { id, object: 'chat.completion.chunk', created, model, choices } as unknown as ChatChunk;
  }
}

/** The events of a streamed answer. It is whole when it ends after a finish reason: Gemini says no other word at the end. */
export class GeminiChunks extends ChunkDecoder {
  readonly #events = new SseDecoder(MAX_EVENT_BYTES);
  readonly #answer: GeminiAnswer;

  constructor(ids: AnswerIds, includeUsage: boolean) {
    super();
    this.#answer = new GeminiAnswer(ids, includeUsage);
  }

  override end(): ChatChunk[] {
    const chunks = [...super.end(), ...(this.failure === undefined ? this.#answer.end() : [])];
    this.over = this.whole;
    return chunks;
  }

  protected override cut(bytes: Uint8Array): string[] {
    return this.#events.push(bytes);
  }

  protected override rest(): string[] {
    return [];
  }

  protected override read(data: string): ChatChunk[] {
    let document: unknown;
    try {
      document = JSON.parse(data);
    } catch {
      throw new NotOfTheDialect('expected a JSON object, got something else');
    }
    const chunks = this.#answer.read(document);
    this.whole = this.#answer.isFinished;
    return chunks;
  }
}

/** What a `finishReason` means. An answer that is not as the model meant it must not look like one that is. */
function finish(reason: string, message: unknown): Progress['finish'] {
  if (reason === 'STOP') return 'stop';
  if (reason === 'MAX_TOKENS') return 'length';
  if (FILTERED.includes(reason)) return 'content_filter';
  throw new ErrorInAnswer({ message: `the model's answer ended with ${reason}${typeof message === 'string' ? `: ${message}` : ''}`, code: reason, type: 'upstream_error' });
}

function image({ mimeType, data }: Fields, at: string): Fields {
  if (typeof mimeType !== 'string' || !mimeType.startsWith('image/')) throw new NotOfTheDialect(`${at}.inlineData.mimeType: expected an image`);
  return { type: 'image_url', image_url: { url: `data:${mimeType};base64,${String(data ?? '')}` } };
}

function count(value: unknown): number | undefined {
  return Number.isSafeInteger(value) && (value as number) >= 0 ? value as number : undefined;
}

/** Tokens of what was embedded. */
export function promptTokens(counts: unknown): number {
  return usageOf(counts)?.prompt_tokens ?? 0;
}

function usageOf(counts: unknown): NonNullable<ChatChunk['usage']> | undefined {
  if (!isObject(counts)) return undefined;
  const [prompt, tools, candidates, thoughts, cached, total] = ['promptTokenCount', 'toolUsePromptTokenCount', 'candidatesTokenCount', 'thoughtsTokenCount', 'cachedContentTokenCount', 'totalTokenCount'].map(key => count(counts[key]));
  if (prompt === undefined && candidates === undefined) return undefined;
  const prompt_tokens = (prompt ?? 0) + (tools ?? 0);
  const completion_tokens = (candidates ?? 0) + (thoughts ?? 0);
  return {
    prompt_tokens, completion_tokens, total_tokens: total ?? prompt_tokens + completion_tokens,
    ...(cached === undefined ? {} : { prompt_tokens_details: { cached_tokens: cached } }),
    ...(thoughts === undefined ? {} : { completion_tokens_details: { reasoning_tokens: thoughts } }),
  };
}

function logprobs({ chosenCandidates, topCandidates }: Fields): Fields {
  const token = (one: unknown): Fields => {
    const { token: text, logProbability } = isObject(one) ? one : {};
    const written = typeof text === 'string' ? text : '';
    return { token: written, logprob: typeof logProbability === 'number' ? logProbability : 0, bytes: [...Buffer.from(written)] };
  };
  const chosen = Array.isArray(chosenCandidates) ? chosenCandidates : [];
  const tops = Array.isArray(topCandidates) ? topCandidates : [];
  return { content: chosen.map((one: unknown, index) => {
    const top: unknown = tops[index];
    return { ...token(one), top_logprobs: (isObject(top) && Array.isArray(top['candidates']) ? top['candidates'] : []).map(token) };
  }) };
}
