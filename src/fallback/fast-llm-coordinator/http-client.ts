import * as http from 'node:http';
import * as https from 'node:https';

import { onAbort } from '../../abort.js';

/** Idle connections are closed before the usual server side does it (60 to 75 s). */
const POOL_IDLE_MS = 45_000;

/** After a complete answer nothing but the end of the body is due. */
const DRAIN_MS = 1_000;

/** Why a request did not get its answer from the network. */
export class HttpError extends Error {
  readonly kind: 'connect' | 'connect-timeout' | 'closed';
  constructor(kind: HttpError['kind'], message: string) {
    super(message);
    this.kind = kind;
  }
}

/** An answer whose body is pulled. */
export interface HttpAnswer {
  status: number;
  headers: http.IncomingHttpHeaders;
  /** The next piece of the body; `null` at its proper end. Rejects when the connection breaks before. */
  read(): Promise<Uint8Array | null>;
  /** Reads on to the end that is due, so that the connection can be used again; closes it when the end does not come. */
  drain(): void;
}

/** Where requests go: an address, or the path of a Unix socket that is found (and its server started) on demand. */
export type Destination = { baseUrl: URL } | { socketPath: () => Promise<string> };

/**
 * The connections of one endpoint. `node:http` rather than `fetch`: fetch can neither speak over a Unix socket nor end a
 * connection attempt by a timeout of its own, and it follows redirects, which would carry an API key elsewhere.
 */
export class HttpClient {
  readonly #destination: Destination;
  readonly #secure: boolean;
  readonly #agent: http.Agent;

  constructor(destination: Destination) {
    this.#destination = destination;
    this.#secure = 'baseUrl' in destination && destination.baseUrl.protocol === 'https:';
    const options = { keepAlive: true, timeout: POOL_IDLE_MS };
    this.#agent = this.#secure ? new https.Agent(options) : new http.Agent(options);
  }

  /**
   * Sends a request and waits for the head of the answer. Aborting the signal closes the connection at any time.
   *
   * @throws {HttpError}
   */
  async request(method: 'GET' | 'POST', path: string, headers: http.OutgoingHttpHeaders, body: string | undefined, connectTimeoutMs: number, signal: AbortSignal): Promise<HttpAnswer> {
    try {
      return await this.#once(method, path, headers, body, connectTimeoutMs, signal);
    } catch (error) {
      // The server closed an idle connection just as it was used again: it has not seen the request.
      if (error instanceof StaleConnection && !signal.aborted) return await this.#once(method, path, headers, body, connectTimeoutMs, signal);
      throw error;
    }
  }

  close(): void {
    this.#agent.destroy();
  }

  async #once(method: string, path: string, headers: http.OutgoingHttpHeaders, body: string | undefined, connectTimeoutMs: number, signal: AbortSignal): Promise<HttpAnswer> {
    const where = 'baseUrl' in this.#destination
      ? { protocol: this.#destination.baseUrl.protocol, hostname: this.#destination.baseUrl.hostname.replace(/^\[|\]$/g, ''), port: this.#destination.baseUrl.port }
      : { socketPath: await this.#destination.socketPath(), hostname: 'localhost' };
    const length = body === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
    return await new Promise<HttpAnswer>((resolve, reject) => {
      const send = this.#secure ? https.request : http.request;
      const request = send({ ...where, method, path, headers: { ...headers, ...length }, agent: this.#agent });
      let connected = false;
      let response: http.IncomingMessage | undefined;
      // Not the `signal` option of node:http: its AbortError reaches a socket that has just gone back to the pool, where
      // nobody listens, and ends the process.
      const abort = (): void => void (response ?? request).destroy();
      onAbort(signal, abort);
      request.once('socket', socket => {
        if (!socket.connecting) {
          connected = true;
          return;
        }
        const timer = setTimeout(() => request.destroy(new HttpError('connect-timeout', `no connection within ${connectTimeoutMs} ms`)), connectTimeoutMs);
        socket.once(this.#secure ? 'secureConnect' : 'connect', () => {
          connected = true;
          clearTimeout(timer);
        });
        socket.once('close', () => clearTimeout(timer));
      });
      request.on('error', (error: NodeJS.ErrnoException) => {
        if (error instanceof HttpError) reject(error);
        else if (request.reusedSocket && (error.code === 'ECONNRESET' || error.code === 'EPIPE')) reject(new StaleConnection('closed', error.message));
        else if (connected) reject(new HttpError('closed', closedMessage(error)));
        else reject(new HttpError('connect', `cannot connect: ${error.message}`));
      });
      request.once('response', arrived => {
        response = arrived;
        resolve(answer(arrived));
      });
      request.end(body);
    });
  }
}

class StaleConnection extends HttpError {}

function answer(response: http.IncomingMessage): HttpAnswer {
  // A break while nobody reads is told by the next read(); without a listener it would end the process.
  response.on('error', () => undefined);
  const pieces = response[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>;
  return {
    status: response.statusCode ?? 0,
    headers: response.headers,
    async read() {
      try {
        const { done, value } = await pieces.next();
        return done === true ? null : value;
      } catch (error) {
        throw new HttpError('closed', closedMessage(error as NodeJS.ErrnoException));
      }
    },
    drain() {
      const timer = setTimeout(() => response.destroy(), DRAIN_MS).unref();
      const rest = async (): Promise<void> => {
        while ((await pieces.next()).done !== true);
      };
      rest().catch(() => undefined).finally(() => clearTimeout(timer));
    },
  };
}

function closedMessage(error: NodeJS.ErrnoException): string {
  return error.code === 'ECONNRESET' ? 'the connection was closed before the answer was whole' : `the answer broke off: ${error.message}`;
}
