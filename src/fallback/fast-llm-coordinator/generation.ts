import type { Config } from './config.js';
import { discover, engineAlone } from './discovery.js';
import type { Endpoint } from './endpoint.js';
import { Engine } from './engine.js';
import { unknownModel } from './execution.js';
import { Hold } from './hold.js';
import { nearestFew } from './nearest.js';
import { ResponseCache } from './response-cache.js';
import { isSame, type Model, Wiring } from './wiring.js';

/** What is closed with the last configuration that uses it. */
interface Held<T> {
  value: T;
  hold: Hold;
}

/**
 * One configuration, wired. A call keeps the one that it began with, so that a reload takes nothing away under it; what
 * the next configuration does not use is closed when the last such call has ended.
 */
export class Generation {
  readonly config: Config;
  readonly #engine: Held<Engine> | undefined;
  readonly #cache: Held<ResponseCache> | undefined;
  #wiring: Wiring;
  #held: Endpoint[] = [];
  #calls = 0;
  #retired = false;
  #released = false;
  #ready: Promise<void> | undefined;

  /** @param before Whose endpoints, engine and cache are kept where they are configured the same. */
  constructor(config: Config, engineSearch: string[], before?: Generation) {
    this.config = config;
    const sameEngine = before !== undefined && isSame(before.config.engine, config.engine);
    this.#engine = sameEngine ? before.#engine : engine(config, engineSearch);
    const sameCache = before !== undefined && isSame([before.config.cache, before.config.redis], [config.cache, config.redis]);
    this.#cache = sameCache ? before.#cache : cache(config);
    const known = (before?.endpoints ?? []).filter(one => one.config.protocol !== 'uat-engine' || sameEngine);
    this.#wiring = new Wiring(config.configured ? config : engineAlone(config.engine), this.#engine?.value, known, before?.wiring);
    this.#engine?.hold.take();
    this.#cache?.hold.take();
    this.#keep(this.#wiring.endpoints);
  }

  get wiring(): Wiring {
    return this.#wiring;
  }

  get endpoints(): readonly Endpoint[] {
    return this.#wiring.endpoints;
  }

  get cache(): ResponseCache | undefined {
    return this.#cache?.value;
  }

  /** @throws {UniversalAiError} `UAT_MODEL_NOT_FOUND`. */
  model(name: string): Model {
    const model = this.#wiring.models.get(name);
    if (model !== undefined) return model;
    throw unknownModel(name, nearestFew(name, [...this.#wiring.models.keys()], 3));
  }

  /** Without a configuration, looks for other local servers once; every call waits for that, the first one starts it. */
  async discovered(): Promise<void> {
    if (this.config.configured) return;
    this.#ready ??= discover(this.config.engine).then(found => {
      if (found === undefined || this.#retired) return;
      this.#wiring = new Wiring(found, this.#engine?.value, this.#wiring.endpoints, this.#wiring);
      this.#keep(this.#wiring.endpoints);
    });
    await this.#ready;
  }

  /** Whether nobody uses it any more. */
  get isClosed(): boolean {
    return this.#retired && this.#calls === 0;
  }

  /** A call begins; what is returned ends it. */
  enter(): () => void {
    this.#calls += 1;
    let inside = true;
    return () => {
      if (!inside) return;
      inside = false;
      this.#calls -= 1;
      this.#closeIfDone();
    };
  }

  /** Another configuration has taken over. */
  retire(): void {
    this.#retired = true;
    this.#closeIfDone();
  }

  /** Closes everything at once. */
  close(): void {
    this.#retired = true;
    this.#released = true;
    for (const { client } of this.#held) client.close();
    this.#engine?.value.close();
    this.#cache?.value.close();
  }

  #keep(endpoints: readonly Endpoint[]): void {
    for (const endpoint of endpoints) {
      if (this.#held.includes(endpoint)) continue;
      this.#held.push(endpoint);
      endpoint.hold.take();
    }
  }

  #closeIfDone(): void {
    if (!this.isClosed || this.#released) return;
    this.#released = true;
    for (const { hold } of this.#held.splice(0)) hold.release();
    this.#engine?.hold.release();
    this.#cache?.hold.release();
  }
}

function engine({ engine: settings }: Config, search: string[]): Held<Engine> | undefined {
  if (!settings.enabled) return undefined;
  const value = new Engine(settings, search);
  return { value, hold: new Hold(() => value.close()) };
}

function cache({ cache: settings, redis }: Config): Held<ResponseCache> | undefined {
  if (!settings.exact) return undefined;
  const value = new ResponseCache(settings, redis);
  return { value, hold: new Hold(() => value.close()) };
}
