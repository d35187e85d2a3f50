import { Agent, type ClientRequest, type IncomingMessage, request } from 'node:http';

import { onAbort } from '../abort.js';
import { type ErrorCode, UniversalAiError } from '../errors.js';
import { ofRequest } from '../fallback/vision-resource-manager/refusal.js';
import { LONGEST_TIMER_MS } from '../timers.js';
import type { WireProblem } from './wire.js';

/** Connections that wait for the next call. */
const IDLE = 4;
/** What the daemon does at once it does within microseconds: one that takes so long, on however busy a machine, does not answer. */
export const ANSWER_MS = 5_000;
/** No answer of the daemon's is as long, in characters: whoever sends more is something else. */
const LONGEST = 2 ** 24;

/** How a call may end early. */
export interface CallOptions {
  /** How long the answer may take, in ms. */
  timeoutMs?: number;
  /** Hangs up, and makes this of the call. */
  signal?: AbortSignal;
}

/** Calls to the daemon: HTTP on a Unix socket, over connections that are kept. A call under way keeps the process alive, an idle connection does not. */
export class Connection {
  readonly socket: string;
  readonly #client: string;
  readonly #agent = new Agent({ keepAlive: true, maxFreeSockets: IDLE });

  /** @param client Tells several clients of a process apart: each holds leases of its own. */
  constructor(socket: string, client: string) {
    [this.socket, this.#client] = [socket, client];
  }

  /** @throws {UniversalAiError} What the daemon refuses with; `UAT_UPSTREAM` where it is away, or is none; `UAT_FORBIDDEN`. */
  async call<T>(method: 'GET' | 'POST' | 'DELETE', path: string, body?: object, { timeoutMs = ANSWER_MS, signal }: CallOptions = {}): Promise<T> {
    return await new Promise<T>((resolve, reject) => {
      const asked = this.open(method, path);
      // Without an error, and not by Node's own `signal`: its error would reach a connection that is idle again, where nobody listens.
      const letGo = onAbort(signal, () => asked.destroy());
      const timer = setTimeout(() => asked.destroy(this.#silent(timeoutMs)), Math.min(timeoutMs, LONGEST_TIMER_MS)).unref();
      const fail = (error: unknown): void => {
        letGo();
        clearTimeout(timer);
        reject(this.problem(error));
      };
      asked.once('error', fail);
      asked.once('response', response => this.#read(response, text => {
        letGo();
        clearTimeout(timer);
        try {
          resolve(this.#understood<T>(response.statusCode ?? 0, text));
        } catch (error) {
          reject(error);
        }
      }, fail));
      asked.end(body === undefined ? undefined : JSON.stringify(body));
    });
  }

  /** A call that is not sent yet; on a connection of its own where `alone`. */
  open(method: string, path: string, alone = false): ClientRequest {
    const headers = { 'uat-client': this.#client, host: 'uat' };
    return request({ socketPath: this.socket, method, path, headers, agent: alone ? false : this.#agent });
  }

  close(): void {
    this.#agent.destroy();
  }

  #read(response: IncomingMessage, done: (text: string) => void, fail: (error: unknown) => void): void {
    let text = '';
    response.setEncoding('utf8');
    response.on('data', (chunk: string) => {
      text += chunk;
      if (text.length > LONGEST) response.destroy(this.noDaemon('its answer has no end'));
    });
    response.once('error', fail);
    response.once('end', () => done(text));
  }

  /** @throws {UniversalAiError} */
  #understood<T>(status: number, text: string): T {
    if (status === 204) return undefined as T;
    let document: unknown;
    try {
      document = JSON.parse(text);
    } catch (cause) {
      throw this.noDaemon(`status ${status} and no JSON`, cause);
    }
    if (typeof document !== 'object' || document === null) throw this.noDaemon(`status ${status} and no object`);
    if (status < 400) return document as T;
    const { error } = document as Partial<WireProblem>;
    if (typeof error?.code !== 'string' || typeof error.message !== 'string') throw this.noDaemon(`status ${status}`);
    const { code, message, retryable, refusal } = error;
    if (refusal !== undefined) throw ofRequest(refusal);
    if (code === 'UAT_CLOSED') throw this.#away('it ends');
    throw new UniversalAiError(code as ErrorCode, message, { retryable: retryable === true });
  }

  /** What went wrong on the way, as its caller is to see it. */
  problem(error: unknown): UniversalAiError {
    if (error instanceof UniversalAiError) return error;
    const { code = '', message } = error as NodeJS.ErrnoException;
    switch (code) {
      case 'ENOENT': case 'ECONNREFUSED':
        return new UniversalAiError('UAT_UPSTREAM', `no GPU daemon answers at ${this.socket}: ${code === 'ENOENT' ? 'there is no such socket' : 'nobody listens there'}; start \`uat gpu daemon\`, or \`uat serve\` with a [gpu] section`, { retryable: true, cause: error, details: { socket: this.socket } });
      case 'EACCES': case 'EPERM':
        return new UniversalAiError('UAT_FORBIDDEN', `this user may not connect to the GPU daemon's socket ${this.socket}: ${message}`, { cause: error, details: { socket: this.socket } });
      default:
        return code.startsWith('HPE_') ? this.noDaemon('it does not speak HTTP', error) : this.#away(message, error);
    }
  }

  noDaemon(problem: string, cause?: unknown): UniversalAiError {
    return new UniversalAiError('UAT_UPSTREAM', `what listens at ${this.socket} is no GPU daemon of this version: ${problem}; check options.socketPath`, { details: { socket: this.socket }, ...(cause === undefined ? {} : { cause }) });
  }

  #silent(ms: number): UniversalAiError {
    return this.#away(`nothing came within ${ms} ms`);
  }

  /** Whether the call was carried out is not known. */
  #away(problem: string, cause?: unknown): UniversalAiError {
    return new UniversalAiError('UAT_UPSTREAM', `the GPU daemon at ${this.socket} went away during the call: ${problem}; try again when it is back`, { retryable: true, details: { socket: this.socket }, ...(cause === undefined ? {} : { cause }) });
  }
}

/** Whether the daemon may answer later: it is not there, or has gone. */
export function isAway(error: unknown): boolean {
  return error instanceof UniversalAiError && error.code === 'UAT_UPSTREAM' && error.retryable;
}
