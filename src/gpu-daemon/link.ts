import type { ClientRequest, IncomingMessage } from 'node:http';

import { UniversalAiError } from '../errors.js';
import { ANSWER_MS, type Connection } from './connection.js';
import { checkSocket } from './place.js';
import type { WireAttach, WireAttached, WireLeases, WireNotice } from './wire.js';

/** How soon the daemon is looked for again when it has gone, and how seldom in the end: a look is one system call where it is not there. */
const SOONEST_MS = 20;
const SELDOMEST_MS = 1_000;
/** A line may be so long, in characters; none of the daemon's is. */
const LONGEST_LINE = 1 << 16;

/** What a link needs of its owner. */
export interface LinkOwner {
  /** The leases and warm models that are held, as far as is known here. */
  held(): WireAttach;
  /** Whether a request is under way that may have been granted already. */
  asks(): boolean;
  hear(notice: WireNotice): void;
  /** The daemon has gone: its leases live on until their time is over, or it is back. */
  away(): void;
  /** The daemon that is there now does not know this lease. */
  gone(lease: number): void;
}

/**
 * The stream of events, by whose end it is known at once that the daemon has gone. It is looked for again then, and told which leases
 * and warm models are held (`POST /v1/attach`). Neither the stream nor the wait for the next look keeps the process alive.
 */
export class Link {
  readonly #connection: Connection;
  readonly #owner: LinkOwner;
  #stream: ClientRequest | undefined;
  #isUp = false;
  #connecting: Promise<void> | undefined;
  /** The daemon that was heard last. */
  #daemon: number | undefined;
  #retry: NodeJS.Timeout | undefined;
  #waitMs = SOONEST_MS;
  /** Those that wait until a daemon is there again. */
  readonly #waiting: (() => void)[] = [];
  #isClosed = false;

  constructor(connection: Connection, owner: LinkOwner) {
    [this.#connection, this.#owner] = [connection, owner];
  }

  /** Whether a daemon was ever heard. */
  get wasUp(): boolean {
    return this.#daemon !== undefined;
  }

  /**
   * The daemon is there, and knows what is held here; `undefined` where that is known already.
   *
   * @throws {UniversalAiError} It is not there, or not ours.
   */
  ready(): Promise<void> | undefined {
    if (this.#isUp) return undefined;
    return this.#connecting ??= this.#connect().catch((error: unknown) => {
      // It may live, and is no use to anybody.
      this.#stream?.destroy();
      this.#lookAgain();
      throw error;
    }).finally(() => {
      this.#connecting = undefined;
    });
  }

  /** The process of the daemon that was heard last. */
  get daemon(): number | undefined {
    return this.#daemon;
  }

  /** When a daemon is there again, or it is closed. Does not keep the process alive. */
  async back(): Promise<void> {
    if (!this.#isUp && !this.#isClosed) await new Promise<void>(resolve => this.#waiting.push(resolve));
  }

  #tellWaiting(): void {
    for (const tell of this.#waiting.splice(0)) tell();
  }

  close(): void {
    this.#isClosed = true;
    this.#tellWaiting();
    clearTimeout(this.#retry);
    this.#stream?.destroy();
  }

  async #connect(): Promise<void> {
    checkSocket(this.#connection.socket);
    const daemon = await this.#listen();
    const before = this.#daemon;
    this.#daemon = daemon;
    if (before !== undefined) await this.#resume(before);
    if (this.#stream === undefined) throw this.#connection.problem(new Error('it ended at once'));
    this.#isUp = true;
    this.#waitMs = SOONEST_MS;
    clearTimeout(this.#retry);
    this.#tellWaiting();
  }

  /** Begins the stream; the daemon's process, when its first line is there. */
  async #listen(): Promise<number> {
    return await new Promise<number>((resolve, reject) => {
      const stream = this.#connection.open('GET', '/v1/events', true);
      this.#stream = stream;
      const timer = setTimeout(() => stream.destroy(new UniversalAiError('UAT_UPSTREAM', `the GPU daemon at ${this.#connection.socket} accepts connections and did not answer within ${ANSWER_MS} ms; end it and start it again`, { retryable: true, details: { socket: this.#connection.socket } })), ANSWER_MS).unref();
      // After the first line, whoever reads the response hears of what goes wrong.
      stream.on('error', error => reject(this.#connection.problem(error)));
      let isRefused = false;
      stream.once('close', () => {
        clearTimeout(timer);
        if (!isRefused) reject(this.#connection.problem(new Error('it ended without an answer')));
        this.#lost(stream);
      });
      stream.once('response', response => {
        if (response.statusCode !== 200) {
          isRefused = true;
          void this.#refusal(response).then(reject);
          return;
        }
        this.#read(stream, response, daemon => {
          clearTimeout(timer);
          stream.socket?.unref();
          resolve(daemon);
        });
      });
      stream.end();
    });
  }

  #read(stream: ClientRequest, response: IncomingMessage, began: (daemon: number) => void): void {
    let text = '';
    response.setEncoding('utf8');
    // The close that follows tells it.
    response.on('error', () => undefined);
    response.on('data', (chunk: string) => {
      const lines = (text + chunk).split('\n');
      text = lines.pop()!;
      if (text.length > LONGEST_LINE) return void stream.destroy(this.#connection.noDaemon('a line of events without an end'));
      for (const line of lines) {
        const notice = noticeOf(line);
        if (notice === undefined) return void stream.destroy(this.#connection.noDaemon('its events are not understood'));
        if (notice.event === 'listening') began(notice.daemon);
        else if (!this.#isClosed) this.#owner.hear(notice);
      }
    });
  }

  async #refusal(response: IncomingMessage): Promise<UniversalAiError> {
    response.resume();
    // The same question as a call, whose answer is read as any other.
    return await this.#connection.call('GET', '/v1/leases').then(() => this.#connection.noDaemon(`status ${response.statusCode} for its events`), (error: unknown) => this.#connection.problem(error));
  }

  /** Tells a daemon that came back what is held, and hears what is not any longer. */
  async #resume(before: number): Promise<void> {
    const body = this.#owner.held();
    const held = [...body.leases, ...body.instances.map(({ lease }) => lease)];
    let living: ReadonlySet<number | null>;
    if (before === this.#daemon && this.#owner.asks()) {
      // To attach would give back what is just being granted.
      const { leases } = await this.#connection.call<WireLeases>('GET', '/v1/leases');
      living = new Set(leases.map(({ lease }) => lease));
    } else {
      const { leases } = await this.#connection.call<WireAttached>('POST', '/v1/attach', body);
      living = new Set(leases);
    }
    for (const lease of held) if (!living.has(lease) && !this.#isClosed) this.#owner.gone(lease);
  }

  #lost(stream: ClientRequest): void {
    if (this.#stream !== stream) return;
    this.#stream = undefined;
    // Whoever connects hears it otherwise.
    if (!this.#isUp) return;
    this.#isUp = false;
    if (this.#isClosed) return;
    this.#owner.away();
    this.#lookAgain();
  }

  #lookAgain(): void {
    if (this.#isClosed || !this.wasUp) return;
    clearTimeout(this.#retry);
    // Whoever asks hears what is wrong; here it is looked again.
    this.#retry = setTimeout(() => void this.ready()?.catch(() => undefined), this.#waitMs).unref();
    this.#waitMs = Math.min(2 * this.#waitMs, SELDOMEST_MS);
  }
}

function noticeOf(line: string): WireNotice | undefined {
  try {
    const notice: unknown = JSON.parse(line);
    return typeof notice === 'object' && notice !== null && 'event' in notice ? notice as WireNotice : undefined;
  } catch {
    return undefined;
  }
}
