import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createInterface } from 'node:readline';

import { built } from './built.js';

/** What the fake does with a request; the behaviours of `crates/testkit`. */
export type Behaviour = { behaviour: string; [field: string]: unknown };

/** A request as the fake saw it. */
export interface SeenRequest {
  path: string;
  headers: [string, string][];
  body: string;
}

/** `uat-fake-provider` of `crates/testkit`: a provider that fails as told, in a process of its own. */
export class FakeProvider {
  readonly baseUrl: string;
  readonly #process: ChildProcess;

  private constructor(process: ChildProcess, baseUrl: string) {
    this.#process = process;
    this.baseUrl = baseUrl;
  }

  static async start(): Promise<FakeProvider> {
    const program = built('uat-fake-provider');
    if (!existsSync(program)) throw new Error(`${program} is missing; run \`npm run build:rust\``);
    const process = spawn(program, [], { stdio: ['ignore', 'pipe', 'inherit'] });
    const [line] = (await once(createInterface({ input: process.stdout }), 'line')) as [string];
    const url = /http:\/\/\S+/.exec(line)?.[0];
    if (url === undefined) throw new Error(`the fake provider printed ${line}`);
    return new FakeProvider(process, url);
  }

  /** Forgets everything and answers every chat request so. */
  async reset(behaviour: Behaviour = { behaviour: 'answer' }): Promise<void> {
    await this.#control({ reset: true, default: behaviour });
  }

  /** The next chat requests get these, one each. */
  async enqueue(...behaviours: Behaviour[]): Promise<void> {
    await this.#control({ enqueue: behaviours });
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
