// Real Redis servers for the tests: `testkit::redis` of `crates/testkit` through its program `uat-test-redis`, so that there is one way
// to start, kill and freeze them.

import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';

import { built } from './built.js';

/** What a server answers: a word, a number, a value byte for byte, nothing, or several of these. */
export type Reply = string | number | Buffer | null | Reply[];

export interface RedisServerOptions {
  /** Of the default user. */
  password?: string;
  /** With their ACL rules, for example `~app:* &app:* +@all`. */
  users?: { name: string; password: string; rules: string }[];
  tls?: boolean;
  /** For example `3mb`; what does not fit is refused. */
  maxmemory?: string;
  /** Any lines of `redis.conf`. */
  settings?: [name: string, value: string][];
}

interface Told {
  url: string;
  ca_file: string | null;
  servers: { url: string; port: number; users: Record<string, string> }[];
}

/** `uat-test-redis` of `crates/testkit`: it owns the servers, and they end when it or this process ends. */
class Program {
  readonly told: Told;
  readonly #process: ChildProcessByStdio<Writable, Readable, null>;
  /** Whom the next lines are for: answers come in the order of the requests. */
  readonly #waiting: { resolve: (answer: unknown) => void; reject: (error: Error) => void }[] = [];

  private constructor(process: ChildProcessByStdio<Writable, Readable, null>, lines: NodeJS.EventEmitter, told: Told) {
    this.#process = process;
    this.told = told;
    // A broken pipe means that it has ended: whoever waits is told so by `close`.
    process.stdin.on('error', () => lines.emit('close'));
    lines.on('line', (line: string) => {
      const { ok, error } = JSON.parse(line) as { ok?: unknown; error?: string };
      const { resolve, reject } = this.#waiting.shift()!;
      if (error === undefined) resolve(ok);
      else reject(new Error(error));
    });
    lines.on('close', () => {
      for (const { reject } of this.#waiting.splice(0)) reject(new Error('uat-test-redis has ended'));
    });
  }

  static async start(spec: object): Promise<Program> {
    const program = built('uat-test-redis');
    if (!existsSync(program)) throw new Error(`${program} is missing; run \`npm run build:rust\``);
    const process = spawn(program, [JSON.stringify(spec)], { stdio: ['pipe', 'pipe', 'inherit'] });
    const lines = createInterface({ input: process.stdout });
    const line = await Promise.race([once(lines, 'line'), once(lines, 'close')]) as [string?];
    if (line[0] === undefined) throw new Error('uat-test-redis could not start the servers; it says why above');
    return new Program(process, lines, JSON.parse(line[0]) as Told);
  }

  ask<T>(request: object): Promise<T> {
    return new Promise<unknown>((resolve, reject) => {
      if (!this.#process.stdin.writable) return reject(new Error('uat-test-redis has ended'));
      this.#waiting.push({ resolve, reject });
      this.#process.stdin.write(`${JSON.stringify(request)}\n`);
    }) as Promise<T>;
  }

  async stop(): Promise<void> {
    this.#process.stdin.end();
    if (this.#process.exitCode === null && this.#process.signalCode === null) await once(this.#process, 'exit');
  }
}

/** A real Redis server on a free port of 127.0.0.1, without persistence, to be killed, frozen and started again. */
export class RedisServer {
  readonly url: string;
  readonly port: number;
  /** By user name: the URL with which one of `users` logs in. */
  readonly userUrls: Readonly<Record<string, string>>;
  /** The authority to trust; none without TLS. */
  readonly caFile: string | undefined;
  readonly #program: Program;
  readonly #index: number;

  /** @internal */
  constructor(program: Program, index: number) {
    const { url, port, users } = program.told.servers[index]!;
    this.url = url;
    this.port = port;
    this.userUrls = users;
    this.caFile = program.told.ca_file ?? undefined;
    this.#program = program;
    this.#index = index;
  }

  static async start(options: RedisServerOptions = {}): Promise<RedisServer> {
    return new RedisServer(await Program.start({ kind: 'server', ...options }), 0);
  }

  /** Ends it with SIGKILL; its port stays reserved. */
  kill(): Promise<void> {
    return this.#ask('kill');
  }

  /** On the same port, and empty; gives the new process id. */
  restart(): Promise<number> {
    return this.#ask('restart');
  }

  /** SIGSTOP: connections stay open, and nothing is answered. */
  freeze(): Promise<void> {
    return this.#ask('freeze');
  }

  thaw(): Promise<void> {
    return this.#ask('thaw');
  }

  /** The process id; null after `kill`. */
  pid(): Promise<number | null> {
    return this.#ask('pid');
  }

  /** One command over a connection of its own, as a user who may do everything; rejects with what the server refuses. */
  async call(...words: (string | Uint8Array)[]): Promise<Reply> {
    return bytesOf(await this.#ask('call', { words: words.map(word => Buffer.from(word).toString('base64')) }));
  }

  /** As `call`, with the answer as `redis-cli` prints it: nothing for nil, one line for each element. */
  async cli(...words: string[]): Promise<string> {
    return printed(await this.call(...words));
  }

  /** Ends it, and everything that was started with it. */
  stop(): Promise<void> {
    return this.#program.stop();
  }

  #ask<T>(action: string, more: object = {}): Promise<T> {
    return this.#program.ask<T>({ do: action, server: this.#index, ...more });
  }
}

/** Three masters and a replica of each: `servers[i + 3]` begins as that of `servers[i]`. */
export class RedisCluster {
  readonly url: string;
  readonly servers: readonly RedisServer[];
  readonly #program: Program;

  private constructor(program: Program) {
    this.#program = program;
    this.url = program.told.url;
    this.servers = program.told.servers.map((_, index) => new RedisServer(program, index));
  }

  /** Takes some 2 s. */
  static async start(): Promise<RedisCluster> {
    return new RedisCluster(await Program.start({ kind: 'cluster' }));
  }

  /** Which server is the master of a key now. */
  masterOf(key: string): Promise<number> {
    return this.#program.ask({ do: 'master_of', key });
  }

  killMasterOf(key: string): Promise<number> {
    return this.#program.ask({ do: 'kill_master_of', key });
  }

  /** Until every running node serves again and says that this server is master of nothing. */
  waitForFailoverFrom(server: number): Promise<void> {
    return this.#program.ask({ do: 'wait_for_failover_from', server });
  }

  stop(): Promise<void> {
    return this.#program.stop();
  }
}

/** A master, a replica, and three sentinels that watch over them; a master counts as down after 500 ms. */
export class Sentinels {
  readonly url: string;
  /** First the one that began as master. */
  readonly servers: readonly RedisServer[];
  readonly sentinels: readonly RedisServer[];
  readonly #program: Program;

  private constructor(program: Program) {
    this.#program = program;
    this.url = program.told.url;
    const all = program.told.servers.map((_, index) => new RedisServer(program, index));
    this.servers = all.slice(0, 2);
    this.sentinels = all.slice(2);
  }

  static async start(): Promise<Sentinels> {
    return new Sentinels(await Program.start({ kind: 'sentinels' }));
  }

  /** Which of `servers` the sentinels take for the master. */
  master(): Promise<number> {
    return this.#program.ask({ do: 'master_of' });
  }

  killMaster(): Promise<number> {
    return this.#program.ask({ do: 'kill_master_of' });
  }

  /** Until every running sentinel names another master, and that one knows that it is. */
  waitForFailoverFrom(server: number): Promise<void> {
    return this.#program.ask({ do: 'wait_for_failover_from', server });
  }

  stop(): Promise<void> {
    return this.#program.stop();
  }
}

function bytesOf(reply: unknown): Reply {
  if (Array.isArray(reply)) return reply.map(bytesOf);
  if (typeof reply === 'object' && reply !== null) return Buffer.from((reply as { base64: string }).base64, 'base64');
  return reply as string | number | null;
}

function printed(reply: Reply): string {
  if (Array.isArray(reply)) return reply.map(printed).join('\n');
  return reply === null ? '' : reply.toString();
}
