import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';

import { isObject } from '../../check.js';
import { UniversalAiError } from '../../errors.js';
import { checkOptions } from '../../services/redis-service-check.js';
import type { RedisServiceBackend } from '../../services/redis-service-backend.js';
import { openTypeScriptRedisService } from '../redis-service/open.js';
import type { CacheSettings } from './config.js';
import type { RedisSettings } from './config-redis.js';
import { isStorable } from './completion.js';
import { Flights } from './flight.js';
import type { Model } from './wiring.js';

/** Raised when the form of the entries changes. The native core keeps its own entries elsewhere. */
const PREFIX = 'llm:ts1:';
/** How long connections to Redis are kept without a use: a process that has nothing more to do ends, also without `close()`. */
const IDLE_MS = 1_000;

/** A stored answer. */
export interface Stored {
  /** The model, where the router chose it. */
  model?: string;
  /** Who gave it. */
  endpoint: string;
  /** Fields of the question that it was not told. */
  dropped: string[];
  /** Without `usage` where it came from a stream that did not tell it. */
  completion: Record<string, unknown>;
}

/** The exact response cache: the same question gets the same answer, for a while. In this process, or in Redis where it is configured. */
export class ResponseCache {
  /** Questions that are being answered. */
  readonly flights: Flights;
  readonly #settings: CacheSettings;
  readonly #redis: RedisSettings | undefined;
  #store: Promise<Store> | undefined;
  #users = 0;
  #idle: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(settings: CacheSettings, redis: RedisSettings | undefined) {
    this.#settings = settings;
    this.flights = new Flights(settings.max_entry_kb * 1024);
    this.#redis = redis;
  }

  /** The answer to the same question; `undefined` also where the store cannot be asked. @param usage Whether the caller is to be told the usage. */
  async get(key: string, usage: boolean): Promise<Stored | undefined> {
    const found = await this.#use(store => store.get(PREFIX + key));
    const stored = typeof found === 'string' ? JSON.parse(found) as Stored : undefined;
    return stored === undefined || (usage && stored.completion['usage'] === undefined) ? undefined : stored;
  }

  /** Keeps an answer, if it is one that may be given again. Never rejects: the answer is there all the same. */
  async put(key: string, stored: Stored): Promise<void> {
    if (!isStorable(stored.completion) || this.#closed) return;
    const text = JSON.stringify(stored);
    if (Buffer.byteLength(text) > this.#settings.max_entry_kb * 1024) return;
    await this.#use(store => store.set(PREFIX + key, text, { ttlMs: this.#settings.ttl_s * 1000, tags: [], onlyIf: undefined }));
  }

  close(): void {
    this.#closed = true;
    this.#letGo();
  }

  /** Does something with the store; `undefined` where that fails, which is told once. */
  async #use<T>(step: (store: RedisServiceBackend) => Promise<T>): Promise<T | undefined> {
    clearTimeout(this.#idle);
    this.#users += 1;
    try {
      this.#store ??= open(this.#redis);
      return await step((await this.#store).backend);
    } catch (error) {
      warnOnce(error);
      return undefined;
    } finally {
      this.#users -= 1;
      if (this.#users === 0 && (await this.#store)?.isRemote === true) this.#idle = setTimeout(() => this.#letGo(), IDLE_MS);
    }
  }

  #letGo(): void {
    clearTimeout(this.#idle);
    const store = this.#store;
    this.#store = undefined;
    // Nobody waits for it.
    void store?.then(({ backend }) => backend.close()).catch(warnOnce);
  }
}

/** Where the answers lie: in this process, or elsewhere, over connections that keep this process running. */
interface Store {
  backend: RedisServiceBackend;
  isRemote: boolean;
}

async function open(redis: RedisSettings | undefined): Promise<Store> {
  const opened = async (options: Record<string, unknown>): Promise<Store> => {
    const checked = checkOptions(options);
    return { backend: await openTypeScriptRedisService(checked, () => undefined), isRemote: checked.address !== undefined };
  };
  try {
    return await opened(redisOptions(redis));
  } catch (error) {
    warnOnce(error);
    return await opened({});
  }
}

let warned = false;

/** The cache is a convenience: without it everything is answered as before, and the reason is told once. */
function warnOnce(error: unknown): undefined {
  if (warned) return undefined;
  warned = true;
  process.emitWarning(`the response cache cannot use its store as configured: ${(error as Error).message}`, { type: 'UniversalAiToolsWarning', code: 'UAT_CACHE' });
  return undefined;
}

/** Whether a request may be answered from the cache: it asks for one answer, and the same one each time. @param wish The caller's own. */
export function isCacheable(request: Record<string, unknown>, wish: boolean | undefined): boolean {
  if (wish === false || (request['n'] ?? 1) !== 1) return false;
  return wish === true || request['temperature'] === 0;
}

/** What tells questions apart: every parameter and message, and who would answer. SHA-256 in hex. */
export function cacheKey(asked: Record<string, unknown>, plan: readonly Model[]): string {
  const { stream: _, stream_options: __, ...request } = asked;
  const fingerprint = plan.flatMap(({ places }) => places).map(({ endpoint: { config }, model }) => [config.name, config.protocol, String(config.base_url ?? ''), config.api_version ?? '', model]);
  return createHash('sha256').update(JSON.stringify(canonical({ request, fingerprint }))).digest('hex');
}

/** The same value with the keys of every object in order. */
function canonical(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(canonical);
  if (!isObject(value)) return value;
  return Object.fromEntries(Object.keys(value).sort().map(key => [key, canonical(value[key])]));
}

/** The section `[redis]` as options of `RedisService`. */
function redisOptions(table: RedisSettings | undefined): Record<string, unknown> {
  if (table === undefined) return {};
  const variable = table['url_env'] as string | undefined;
  const file = table['url_file'] as string | undefined;
  if (variable !== undefined && process.env[variable] === undefined) throw new UniversalAiError('UAT_CONFIG', `redis.url_env: the environment variable ${variable} is not set`);
  const url = table['url'] ?? (variable === undefined ? undefined : process.env[variable]?.trim()) ?? (file === undefined ? undefined : readFileSync(file, 'utf8').trim());
  const named = {
    url, maxConnections: table['max_connections'], enableCompression: table['enable_compression'], keyPrefix: table['key_prefix'],
    connectTimeoutMs: table['connect_timeout_ms'], commandTimeoutMs: table['command_timeout_ms'], readBudgetMs: table['read_budget_ms'],
    fallback: { maxBytes: table['fallback_max_bytes'] },
    compression: given({ codec: table['codec'], minBytes: table['compress_min_bytes'], level: table['compression_level'] }),
  };
  return given({ ...named, fallback: given(named.fallback) });
}

function given(fields: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}
