import type { BackendStream } from '../../services/fast-llm-coordinator-backend.js';
import { UniversalAiError } from '../../errors.js';
import type { ChatChunk, RoutingReport } from '../../services/fast-llm-coordinator-types.js';
import { askStream, type Upstream } from './attempt.js';
import { type Call, left } from './call.js';
import { Execution, type Shared } from './execution.js';
import { Failure } from './failure.js';
import type { Journal } from './journal.js';
import { Resumption } from './resume.js';
import type { Model, Place } from './wiring.js';

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
  readonly #model: Model;
  readonly #request: Record<string, unknown>;
  readonly #shared: Shared;
  readonly #resumption: Resumption;
  #upstream: Upstream | undefined;
  /** What became of the upstream, where it is to be told after what it said before. */
  #broken: Failure | undefined;
  #over = false;

  constructor(journal: Journal, model: Model, request: Record<string, unknown>, shared: Shared) {
    this.#journal = journal;
    this.#model = model;
    this.#request = request;
    this.#shared = shared;
    this.#resumption = new Resumption(request, model);
  }

  async next(): Promise<ChatChunk[] | null> {
    let chunks = await this.#fetch();
    while (chunks !== null) {
      const { said, isAnother } = this.#heard(chunks);
      if (isAnother) this.#broken = await this.#upstream?.wrong('went on with other words than the answer had begun with');
      if (said.length > 0) return said;
      chunks = await this.#fetch();
    }
    this.#journal.ended();
    return null;
  }

  async #fetch(): Promise<ChatChunk[] | null> {
    if (this.#over) return null;
    if (this.#upstream === undefined) return await this.#open(() => this.#request, new Execution(this.#model, this.#journal, this.#shared), 'ok');
    try {
      const broken = this.#broken;
      this.#broken = undefined;
      if (broken !== undefined) throw broken;
      return await this.#upstream.next();
    } catch (error) {
      this.#journal.broke(error);
      if (!(error instanceof Failure) || error.final || error.usedUp) throw error;
      return await this.#resume(error, this.#upstream);
    }
  }

  async #open(request: (place: Place) => Record<string, unknown>, execution: Execution, well: 'ok' | 'resumed'): Promise<ChatChunk[]> {
    const { answer } = await execution.ask(request, true, ({ endpoint }, ticket, question) => askStream(endpoint, ticket, question), well);
    this.#upstream = answer.rest;
    return answer.first;
  }

  async #resume(failure: Failure, { endpoint }: Upstream): Promise<ChatChunk[]> {
    const next = this.#resumption.next(endpoint);
    if (next === undefined) throw failure;
    if ('last' in next) {
      this.#over = true;
      return [next.last];
    }
    this.#shared.counters.resumes += 1;
    try {
      return await this.#open(next.request, new Execution(this.#model, this.#journal, this.#shared, next.tried), 'resumed');
    } catch (error) {
      this.#journal.scope.signal.throwIfAborted();
      // What broke the answer is the news; why nobody went on with it stands in the attempts.
      throw error instanceof UniversalAiError ? failure : error;
    }
  }

  #heard(chunks: ChatChunk[]): { said: ChatChunk[]; isAnother: boolean } {
    const said: ChatChunk[] = [];
    // The last chunk of an answer that is over is ours.
    if (this.#over) return { said: chunks, isAnother: false };
    for (const chunk of chunks) {
      const heard = this.#resumption.chunk(chunk);
      if (heard === 'another') return { said, isAnother: true };
      if (heard !== undefined) said.push(heard);
    }
    return { said, isAnother: false };
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
