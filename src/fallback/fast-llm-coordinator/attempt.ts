import { performance } from 'node:perf_hooks';

import { isObject } from '../../check.js';
import { onAbort } from '../../abort.js';
import type { ChatChunk } from '../../services/fast-llm-coordinator-types.js';
import type { Protocol } from './config-endpoint.js';
import { type AnswerIds, type ChunkDecoder, ErrorInAnswer, hasContent, NotOfTheDialect, type Operation, parseObject } from './dialect.js';
import type { Endpoint, Ticket } from './endpoint.js';
import { EngineError } from './engine-place.js';
import { Failure, failedInside, refused, tooSlow, unhealthy, unsayable } from './failure.js';
import { type HttpAnswer, HttpError } from './http-client.js';
import { TooLongError } from './lines.js';

/** Longest whole answer, and longest body of an error, in bytes. */
const MAX_ANSWER_BYTES = 64 * 1024 * 1024;
const MAX_ERROR_BYTES = 64 * 1024;
/** Most bytes before the first content: role chunks and the like, not a flood of them. */
const MAX_PREAMBLE_BYTES = 1024 * 1024;

/** What is asked, and until when. */
export interface Question {
  request: Record<string, unknown>;
  /** As the endpoint calls it. */
  model: string;
  stream: boolean;
  /** The longest answer that the configuration says the model gives. */
  mostTokens: number | undefined;
  ids: AnswerIds;
  /** Told to the endpoint, so that its log and ours name the request alike. */
  requestId: string;
  /** Until the whole answer, or the first content of a stream, in milliseconds. */
  patienceMs: number;
  /** For how long somebody waits, the rest of a stream included, in milliseconds. */
  leftMs: number;
  /** Told what of the request the endpoint's dialect could not say. */
  said: (dropped: string[]) => void;
  /** Ends the attempt from outside; its reason is thrown. */
  signal: AbortSignal;
}

/** Asks for a whole answer. Ends the ticket, whatever happens. */
export async function askWhole<T>(endpoint: Endpoint, ticket: Ticket, question: Question, operation: Operation<T>): Promise<T> {
  const exchange = new Exchange(endpoint, ticket, question.signal);
  return await exchange.guard(async () => {
    const whole = await exchange.within(question.patienceMs, `no answer within ${question.patienceMs} ms`, async () => {
      const answer = await exchange.send(question, operation);
      const text = await readAll(answer, MAX_ANSWER_BYTES);
      return operation.answer(parseObject(text), question.ids, question.request);
    });
    const now = performance.now();
    ticket.firstContent(now);
    const counted = completionTokens(whole);
    if (counted > 0) ticket.wrote(counted);
    exchange.succeeded();
    return whole;
  });
}

/** Asks for a stream and waits for its first content. Ends the ticket when this fails; otherwise the stream does. */
export async function askStream(endpoint: Endpoint, ticket: Ticket, question: Question): Promise<{ first: ChatChunk[]; rest: Upstream }> {
  const exchange = new Exchange(endpoint, ticket, question.signal);
  return await exchange.guard(async () => {
    return await exchange.within(question.patienceMs, `no content within ${question.patienceMs} ms (first_token_timeout_ms)`, async () => {
      const answer = await exchange.send(question, endpoint.dialect.chat);
      if (/^\s*application\/json\s*(;|$)/i.test(answer.headers['content-type'] ?? '')) {
        // Some servers answer a streamed request with an error object and status 200.
        const { error } = parseObject(await readAll(answer, MAX_ERROR_BYTES));
        throw error == null ? new NotOfTheDialect('one JSON document instead of a stream') : new ErrorInAnswer(error);
      }
      const includeUsage = (question.request['stream_options'] as { include_usage?: unknown } | undefined)?.include_usage === true;
      const decoder = endpoint.dialect.chunks(question.ids, includeUsage);
      const first: ChatChunk[] = [];
      let bytes = 0;
      while (!first.some(hasContent)) {
        const piece = await answer.read();
        if (piece === null) first.push(...decoder.end());
        else first.push(...decoder.push(piece));
        bytes += piece?.length ?? 0;
        // Even after content in the same piece: none of it went out yet, so another endpoint can still answer.
        if (decoder.failure !== undefined) throw decoder.failure;
        if ((piece === null || decoder.over) && !first.some(hasContent)) throw new NotOfTheDialect('the stream ended without any content');
        if (bytes > MAX_PREAMBLE_BYTES) throw new NotOfTheDialect(`over ${MAX_PREAMBLE_BYTES} bytes came without any content`);
        if (piece === null) break;
      }
      const now = performance.now();
      ticket.firstContent(now);
      ticket.streams(now);
      exchange.heard(first);
      return { first, rest: new Upstream(exchange, answer, decoder) };
    });
  });
}

/** A streamed answer that has begun. */
export class Upstream {
  readonly #exchange: Exchange;
  readonly #answer: HttpAnswer;
  readonly #decoder: ChunkDecoder;

  constructor(exchange: Exchange, answer: HttpAnswer, decoder: ChunkDecoder) {
    this.#exchange = exchange;
    this.#answer = answer;
    this.#decoder = decoder;
  }

  /**
   * The next chunks; `null` once the answer is whole.
   *
   * @throws {Failure} It broke off, after the chunks that had come.
   */
  async next(): Promise<ChatChunk[] | null> {
    const idleMs = this.#exchange.endpoint.config.idle_timeout_ms;
    return await this.#exchange.guard(async () => {
      for (;;) {
        if (this.#decoder.failure !== undefined) throw this.#decoder.failure;
        if (this.#decoder.over) return this.#whole();
        const piece = await this.#exchange.within(idleMs, `nothing came for ${idleMs} ms in the middle of the answer (idle_timeout_ms)`, () => this.#answer.read());
        const chunks = piece === null ? this.#decoder.end() : this.#decoder.push(piece);
        this.#exchange.heard(chunks);
        if (chunks.length > 0) return chunks;
        if (piece !== null || this.#decoder.failure !== undefined) continue;
        // A finish reason is as good as [DONE], which not every server sends.
        if (this.#decoder.whole) return this.#whole();
        throw new HttpError('closed', 'the connection was closed in the middle of the answer');
      }
    });
  }

  /** What it says is wrong by what the caller knows: closes it, and gives the failure. */
  async wrong(message: string): Promise<Failure> {
    const failure = unhealthy(this.#exchange.endpoint.config.name, message);
    return await this.#exchange.guard(() => Promise.reject(failure)).catch((reason: unknown) => reason as Failure);
  }

  get endpoint(): Endpoint {
    return this.#exchange.endpoint;
  }

  #whole(): null {
    this.#answer.drain();
    this.#exchange.succeeded();
    return null;
  }
}

/** One request and its answer: turns everything that goes wrong into a {@link Failure} and closes the connection then. */
class Exchange {
  readonly endpoint: Endpoint;
  readonly #ticket: Ticket;
  readonly #connection = new AbortController();
  readonly #endsAt: number;
  /** Lets go of the call's signal. */
  readonly #release: () => void;

  constructor(endpoint: Endpoint, ticket: Ticket, outer: AbortSignal) {
    this.endpoint = endpoint;
    this.#ticket = ticket;
    this.#endsAt = performance.now() + endpoint.config.total_timeout_ms;
    this.#release = onAbort(outer, () => this.#connection.abort(outer.reason));
  }

  async send({ request, model, stream, mostTokens, requestId, leftMs, said }: Question, operation: Operation<unknown>): Promise<HttpAnswer> {
    const { config, client, headers } = this.endpoint;
    let body: string;
    try {
      const { body: document, dropped } = operation.request(request, model, stream, mostTokens);
      body = JSON.stringify(document);
      said(dropped);
    } catch (error) {
      throw unsayable(config.name, (error as Error).message);
    }
    // So that the local engine, or another `uat`, drops what nobody waits for any more.
    const deadline = config.protocol === 'uat-engine' || config.protocol === 'openai' ? { 'x-uat-timeout-ms': String(Math.max(1, Math.floor(leftMs))) } : {};
    const answer = await client.request('POST', config.base_path + operation.path(model, stream), { 'accept': accepted(config.protocol, stream), ...headers, ...deadline, 'x-request-id': requestId }, body, config.connect_timeout_ms, this.#connection.signal);
    if (answer.status === 200) return answer;
    // What a broken error body held is not needed to know what the status means.
    const told = await readAll(answer, MAX_ERROR_BYTES).catch(() => '');
    throw refused(config.name, answer.status, told, answer.headers);
  }

  /** Runs one step that must not take longer than `ms`, nor than what total_timeout_ms leaves. */
  async within<T>(ms: number, late: string, step: () => Promise<T>): Promise<T> {
    const leftMs = this.#endsAt - performance.now();
    const { name, total_timeout_ms: totalMs } = this.endpoint.config;
    const expire = leftMs < ms ? tooSlow(name, `the answer took longer than ${totalMs} ms (total_timeout_ms)`, true) : tooSlow(name, late);
    const timer = setTimeout(() => this.#connection.abort(expire), Math.max(0, Math.min(ms, leftMs)));
    try {
      this.#connection.signal.throwIfAborted();
      return await step();
    } finally {
      clearTimeout(timer);
    }
  }

  /** Runs a step; when it fails the connection is closed and the ticket ended. */
  async guard<T>(step: () => Promise<T>): Promise<T> {
    try {
      return await step();
    } catch (error) {
      const reason: unknown = this.#connection.signal.aborted ? this.#connection.signal.reason : this.#understand(error);
      this.#release();
      this.#connection.abort(reason);
      if (reason instanceof Failure) this.#ticket.failure(reason, performance.now());
      else this.#ticket.abandon(performance.now());
      throw reason;
    }
  }

  /** Counts what came of the answer. */
  heard(chunks: ChatChunk[]): void {
    for (const chunk of chunks) if (chunk.usage != null || hasContent(chunk)) this.#ticket.wrote(chunk.usage?.completion_tokens);
  }

  succeeded(): void {
    this.#release();
    this.#ticket.success(performance.now());
  }

  #understand(error: unknown): unknown {
    const { name } = this.endpoint.config;
    if (error instanceof ErrorInAnswer) return failedInside(name, error.error);
    if (error instanceof NotOfTheDialect || error instanceof TooLongError) return unhealthy(name, `the answer is not what its protocol says: ${error.message}`);
    if (error instanceof HttpError) return error.kind === 'connect-timeout' ? tooSlow(name, `${error.message} (connect_timeout_ms)`) : unhealthy(name, error.message);
    if (error instanceof EngineError) return new Failure({ code: 'UAT_ENGINE_UNAVAILABLE', message: `endpoint \`${name}\`: ${error.message}`, retryable: error.retryable, verdict: { kind: 'unhealthy' } });
    return error;
  }
}

/** As the endpoint counted them; 0 where it did not. */
function completionTokens(whole: unknown): number {
  const usage = isObject(whole) ? whole['usage'] : undefined;
  const counted = isObject(usage) ? usage['completion_tokens'] : undefined;
  return typeof counted === 'number' ? counted : 0;
}

/** Some servers answer as the request says that it can be read. */
function accepted(protocol: Protocol, stream: boolean): string {
  if (!stream) return 'application/json';
  return protocol === 'ollama' ? 'application/x-ndjson' : 'text/event-stream';
}

async function readAll(answer: HttpAnswer, limit: number): Promise<string> {
  const pieces: Uint8Array[] = [];
  let length = 0;
  for (let piece = await answer.read(); piece !== null; piece = await answer.read()) {
    length += piece.length;
    if (length > limit) throw new NotOfTheDialect(`over ${limit} bytes`);
    pieces.push(piece);
  }
  return Buffer.concat(pieces).toString('utf8');
}
