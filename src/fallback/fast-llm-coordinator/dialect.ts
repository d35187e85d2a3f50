import { isObject } from '../../check.js';
import type { ChatChunk, EmbedResponse } from '../../services/fast-llm-coordinator-types.js';

/** What distinguishes one answer from another where the endpoint's dialect has no such fields. */
export interface AnswerIds {
  id: string;
  /** Seconds since 1970. */
  created: number;
  /** The public model name. */
  model: string;
}

/** A request in an endpoint's dialect. */
export interface Said {
  body: Record<string, unknown>;
  /** Fields of the request that the dialect lacks and that do not change what the answer means. */
  dropped: string[];
}

/** How one kind of request is said, and its whole answer understood. */
export interface Operation<T> {
  /** Below the endpoint's base URL. */
  path(model: string, stream: boolean): string;
  /**
   * @param mostTokens The longest answer that the configuration says the model gives, for a dialect that requires a limit.
   * @throws {UniversalAiError} `UAT_INVALID_INPUT`: the request cannot be said in this dialect.
   */
  request(request: Record<string, unknown>, model: string, stream: boolean, mostTokens: number | undefined): Said;
  /**
   * @param json A complete answer with status 200.
   * @param request What was asked.
   * @throws {ErrorInAnswer | NotOfTheDialect}
   */
  answer(json: unknown, ids: AnswerIds, request: Record<string, unknown>): T;
}

/** How one protocol says requests and their answers. Pure: no sockets. */
export interface Dialect {
  readonly chat: Operation<Record<string, unknown>>;
  readonly embeddings: Operation<EmbedResponse>;
  chunks(ids: AnswerIds, includeUsage: boolean): ChunkDecoder;
}

/** Turns the bytes of a streamed answer into OpenAI chunks. */
export abstract class ChunkDecoder {
  /** Whether the answer is whole, by what the dialect says. */
  whole = false;
  /** Whether the dialect said that nothing follows. */
  over = false;
  /** What follows the chunks returned so far is no answer: {@link ErrorInAnswer}, {@link NotOfTheDialect} or too long. */
  failure: Error | undefined;

  /** The chunks that these bytes complete. */
  push(bytes: Uint8Array): ChatChunk[] {
    return this.#collect(() => this.cut(bytes));
  }

  /** The bytes have ended; what an unfinished last line still held. */
  end(): ChatChunk[] {
    return this.#collect(() => this.rest());
  }

  /** The events or lines that these bytes complete. */
  protected abstract cut(bytes: Uint8Array): string[];
  /** What is left when the bytes have ended. */
  protected abstract rest(): string[];
  /** One event or line as chunks. */
  protected abstract read(text: string): ChatChunk[];

  #collect(texts: () => string[]): ChatChunk[] {
    const chunks: ChatChunk[] = [];
    try {
      for (const text of texts()) {
        if (this.over) break;
        chunks.push(...this.read(text));
      }
    } catch (error) {
      this.failure = error as Error;
    }
    return chunks;
  }
}

/** The endpoint sent an error where an answer was expected. */
export class ErrorInAnswer extends Error {
  readonly error: unknown;
  constructor(error: unknown) {
    super('an error instead of an answer');
    this.error = error;
  }
}

/** What arrived is not of the dialect. */
export class NotOfTheDialect extends Error {}

/** Longest event or line: an image in a tool result is some megabytes. */
export const MAX_EVENT_BYTES = 16 * 1024 * 1024;

export function parseObject(text: string): Record<string, unknown> {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw new NotOfTheDialect('expected a JSON object, got something else');
  }
  if (!isObject(json)) throw new NotOfTheDialect('expected a JSON object, got another JSON value');
  return json;
}

/** Whether a chunk says anything: text, reasoning, a tool call, an image, a refusal or a finish reason. */
export function hasContent(chunk: ChatChunk): boolean {
  return chunk.choices.some(({ delta, finish_reason }) => {
    if (finish_reason != null) return true;
    if (!isObject(delta)) return false;
    const { content, reasoning_content, reasoning, refusal, tool_calls, images } = delta as Record<string, unknown>;
    return [content, reasoning_content, reasoning, refusal].some(text => typeof text === 'string' && text !== '') || [tool_calls, images].some(list => Array.isArray(list) && list.length > 0);
  });
}
