import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createInterface } from 'node:readline';

import { built } from './built.js';

/** What the fake does with a request; the behaviours of `crates/testkit`. Those with a field `then` change another one's answer. */
export type Behaviour = { behaviour: string; then?: Behaviour; answer?: Answer; [field: string]: unknown };

/** A correct answer; `{ behaviour: 'answer', ...answer }` sends it. Left out: twenty numbered words. */
export interface Answer {
  text?: string;
  /** Pieces of the text; 0 without a text: none at all, as with most calls of tools. */
  chunks?: number;
  first_token_delay_ms?: number;
  between_chunks_ms?: number;
  reasoning?: string;
  tool_calls?: ToolCall[];
  /** The pieces of the calls' arguments take turns. */
  interleaved?: boolean;
  usage?: 'counted' | 'missing' | { given: { prompt: number; completion: number; cached?: number; reasoning?: number } } | { raw: unknown };
  /** In OpenAI's words, which the other dialects translate; empty: none is sent. */
  finish_reason?: string;
  /** What a request gets whose last message is an assistant's: the rest of the text with the last two. */
  continues?: 'never' | 'prefill' | 'vllm';
}

/** A call of a tool, its arguments in so many pieces. */
export interface ToolCall {
  name: string;
  arguments?: string;
  id?: string;
  pieces?: number;
}

/** What is right or wrong with the certificate of a fake that also speaks TLS. */
export type Certificate = 'trusted' | 'expired' | 'wrong-name' | 'self-signed';

/** A request as the fake saw it. */
export interface SeenRequest {
  path: string;
  headers: [string, string][];
  body: string;
}

/** The first header of this name, which is in lower case. */
export function header(request: SeenRequest, name: string): string | undefined {
  return request.headers.find(([key]) => key === name)?.[1];
}

/** `uat-fake-provider` of `crates/testkit`: a provider that fails as told, in a process of its own. */
export class FakeProvider {
  readonly baseUrl: string;
  /** With a certificate: where it listens with TLS, and the file of the authority behind it. */
  readonly tls: { baseUrl: string; authority: string } | undefined;
  readonly #process: ChildProcess;

  private constructor(process: ChildProcess, baseUrl: string, tls: FakeProvider['tls']) {
    this.#process = process;
    this.baseUrl = baseUrl;
    this.tls = tls;
  }

  static async start(certificate?: Certificate): Promise<FakeProvider> {
    const program = built('uat-fake-provider');
    if (!existsSync(program)) throw new Error(`${program} is missing; run \`npm run build:rust\``);
    const process = spawn(program, certificate === undefined ? [] : ['--tls', certificate], { stdio: ['ignore', 'pipe', 'inherit'] });
    const lines = createInterface({ input: process.stdout })[Symbol.asyncIterator]();
    const line = String((await lines.next()).value);
    const url = /http:\/\/\S+/.exec(line)?.[0];
    if (url === undefined) throw new Error(`the fake provider printed ${line}`);
    if (certificate === undefined) return new FakeProvider(process, url, undefined);
    const second = String((await lines.next()).value);
    const [, baseUrl, authority] = /(https:\/\/\S+) under (.+)/.exec(second) ?? [];
    if (baseUrl === undefined || authority === undefined) throw new Error(`the fake provider printed ${second}`);
    return new FakeProvider(process, url, { baseUrl, authority });
  }

  /** Forgets everything and answers every chat request so. */
  async reset(behaviour: Behaviour = { behaviour: 'answer' }): Promise<void> {
    await this.#control({ reset: true, default: behaviour });
  }

  /** The next chat requests get these, one each. */
  async enqueue(...behaviours: Behaviour[]): Promise<void> {
    await this.#control({ enqueue: behaviours });
  }

  /** From now on a request must carry this key, where its dialect has it; undefined: none is required. */
  async requireKey(key: string | undefined): Promise<void> {
    await this.#control({ key: key ?? '' });
  }

  /** Waits until at least `count` requests have been seen. */
  async requests(count: number): Promise<SeenRequest[]> {
    const { requests } = await this.#ask<{ requests: SeenRequest[] }>(`/__requests?count=${count}`);
    return requests.filter(request => !request.path.startsWith('/__'));
  }

  async requestCount(): Promise<number> {
    return (await this.#ask<{ count: number }>('/__requests')).count;
  }

  /** Waits until this many clients have gone away before their answer had ended; fails after `timeoutMs`. */
  async disconnects(count: number, timeoutMs: number): Promise<void> {
    await this.#ask(`/__disconnects?count=${count}&timeout_ms=${timeoutMs}`);
  }

  async stop(): Promise<void> {
    this.#process.kill();
    if (this.#process.exitCode === null && this.#process.signalCode === null) await once(this.#process, 'exit');
  }

  async #control(script: object): Promise<void> {
    const answer = await fetch(`${this.baseUrl}/__control`, { method: 'POST', body: JSON.stringify(script) });
    if (!answer.ok) throw new Error(`the fake refused its script: ${await answer.text()}`);
  }

  async #ask<T>(path: string): Promise<T> {
    const answer = await fetch(this.baseUrl + path);
    if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
    return (await answer.json()) as T;
  }
}
