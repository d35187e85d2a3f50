import type { BackendStream } from '../../services/fast-llm-coordinator-backend.js';
import { UniversalAiError } from '../../errors.js';
import type { ChatChunk, RoutingReport } from '../../services/fast-llm-coordinator-types.js';
import { askStream, type Upstream } from './attempt.js';
import { type Call, left } from './call.js';
import { askInTurn, Execution, type Shared } from './execution.js';
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

/** The model that answers, and how its answer goes on if it breaks off. */
interface Answering {
  model: Model;
  resumption: Resumption;
}

/** An answer as its endpoints stream it: one that breaks off is continued elsewhere where that is possible. */
export class LiveStream {
  readonly #journal: Journal;
  readonly #plan: readonly Model[];
  readonly #request: Record<string, unknown>;
  readonly #shared: Shared;
  #answering: Answering | undefined;
  #upstream: Upstream | undefined;
  /** What became of the upstream, where it is to be told after what it said before. */
  #broken: Failure | undefined;
  #over = false;

  constructor(journal: Journal, plan: readonly Model[], request: Record<string, unknown>, shared: Shared) {
    this.#journal = journal;
    this.#plan = plan;
    this.#request = request;
    this.#shared = shared;
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
    if (this.#upstream === undefined) {
      return await askInTurn(this.#plan, this.#journal, async model => {
        const first = await this.#open(() => this.#request, new Execution(model, this.#journal, this.#shared), 'ok');
        this.#answering = { model, resumption: new Resumption(this.#request, model) };
        return first;
      });
    }
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
    const { model, resumption } = this.#answering as Answering;
    const next = resumption.next(endpoint);
    if (next === undefined) throw failure;
    if ('last' in next) {
      this.#over = true;
      return [next.last];
    }
    this.#shared.counters.resumes += 1;
    try {
      return await this.#open(next.request, new Execution(model, this.#journal, this.#shared, next.tried), 'resumed');
    } catch (error) {
      this.#journal.scope.signal.throwIfAborted();
      // What broke the answer is the news; why nobody went on with it stands in the attempts.
      throw error instanceof UniversalAiError || error instanceof Failure ? failure : error;
    }
  }

  #heard(chunks: ChatChunk[]): { said: ChatChunk[]; isAnother: boolean } {
    const said: ChatChunk[] = [];
    // The last chunk of an answer that is over is ours.
    if (this.#over) return { said: chunks, isAnother: false };
    for (const chunk of chunks) {
      const heard = this.#answering?.resumption.chunk(chunk);
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

  /** Who answers, once there is content. */
  get model(): string {
    return this.#call?.journal.model ?? '';
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
