import type { BackendStream } from '../../services/fast-llm-coordinator-backend.js';
import { UniversalAiError } from '../../errors.js';
import type { ChatChunk, RoutingReport } from '../../services/fast-llm-coordinator-types.js';
import { askStream, type Upstream } from './attempt.js';
import { type Call, left } from './call.js';
import type { Execution } from './execution.js';
import { Failure } from './failure.js';
import type { Journal } from './journal.js';
import { type Splice, Transcript } from './resume.js';
import type { Counters } from './stats.js';
import type { Place } from './wiring.js';

/** Where the chunks of an answer come from. */
export interface Pieces {
  next(): Promise<ChatChunk[] | null>;
  report(): RoutingReport;
  /** The consumer wants no more of it. */
  leave(): void;
}

/** An answer as its endpoints stream it: one that breaks off is continued elsewhere where that is possible. */
export class LiveStream {
  readonly #journal: Journal;
  readonly #execution: Execution;
  readonly #request: Record<string, unknown>;
  readonly #counters: Counters;
  readonly #transcript: Transcript;
  #upstream: Upstream | undefined;
  /** Since another endpoint has gone on. */
  #splice: Splice | undefined;
  #over = false;

  constructor(journal: Journal, execution: Execution, request: Record<string, unknown>, counters: Counters) {
    this.#journal = journal;
    this.#execution = execution;
    this.#request = request;
    this.#counters = counters;
    this.#transcript = new Transcript(request);
  }

  async next(): Promise<ChatChunk[] | null> {
    while (!this.#over) {
      const chunks = await this.#fetch();
      if (chunks === null) break;
      const said = this.#said(chunks);
      if (said.length > 0) return said;
    }
    this.#journal.ended();
    return null;
  }

  async #fetch(): Promise<ChatChunk[] | null> {
    if (this.#upstream === undefined) return await this.#open(() => this.#request, false);
    try {
      return await this.#upstream.next();
    } catch (error) {
      this.#journal.broke(error);
      if (!(error instanceof Failure) || error.final) throw error;
      return await this.#resume(error);
    }
  }

  async #open(request: (place: Place) => Record<string, unknown>, resuming: boolean): Promise<ChatChunk[]> {
    const { answer } = await this.#execution.ask(request, true, ({ endpoint }, ticket, question) => askStream(endpoint, ticket, question), resuming);
    this.#upstream = answer.rest;
    return answer.first;
  }

  async #resume(failure: Failure): Promise<ChatChunk[]> {
    const transcript = this.#transcript;
    const fits = ({ endpoint }: Place): boolean => transcript.fits(endpoint.config.protocol);
    this.#execution.failed(failure);
    if (!this.#execution.canResume(() => true)) throw failure;
    if (transcript.obstacle !== undefined) throw failure.because(`the answer cannot be continued elsewhere, because ${transcript.obstacle}`);
    if (!this.#execution.canResume(fits)) throw failure.because('the answer cannot be continued elsewhere, because its form was prescribed (response_format)');
    this.#splice = undefined;
    if (transcript.isFull) {
      this.#over = true;
      return transcript.end();
    }
    this.#execution.onlyThose(fits);
    const splice = transcript.splice();
    const first = await this.#open(({ endpoint }) => transcript.request(endpoint.config.protocol), true);
    this.#counters.resumes += 1;
    this.#splice = splice;
    return first;
  }

  #said(chunks: ChatChunk[]): ChatChunk[] {
    const splice = this.#splice;
    const said = splice === undefined ? chunks : chunks.flatMap(chunk => splice.chunk(chunk) ?? []);
    for (const chunk of said) this.#transcript.hear(chunk);
    return said;
  }
}

/** A streamed answer to one caller. */
export class FallbackStream implements BackendStream {
  readonly #begin: () => Call;
  readonly #open: (call: Call) => Promise<Pieces>;
  #call: Call | undefined;
  #pieces: Pieces | undefined;
  #cancelled = false;
  #routing: RoutingReport | undefined;

  constructor(begin: () => Call, open: (call: Call) => Promise<Pieces>) {
    this.#begin = begin;
    this.#open = open;
  }

  async next(): Promise<ChatChunk[] | null> {
    if (this.#cancelled) throw left();
    this.#call ??= this.#begin();
    const call = this.#call;
    return await call.guard(async () => {
      try {
        this.#pieces ??= await this.#open(call);
        const chunks = await this.#pieces.next();
        if (chunks !== null) return chunks;
        call.ended();
        this.#routing = this.#pieces.report();
        this.#pieces.leave();
        return null;
      } catch (error) {
        this.#pieces?.leave();
        throw error;
      }
    });
  }

  report(): RoutingReport {
    if (this.#routing === undefined) throw new UniversalAiError('UAT_INTERNAL', 'a stream was asked for its report before its end; please report this');
    return this.#routing;
  }

  cancel(): void {
    this.#cancelled = true;
    this.#pieces?.leave();
    this.#call?.scope.end(left());
    this.#call?.ended();
  }
}
