import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

import { describeValue, UniversalAiError } from '../../errors.js';
import type { GatewayConfig } from '../../services/fast-llm-coordinator-types.js';
import { checkRedis, hasPassword, REDIS_SECRET, REDIS_SHAPE } from './config-redis.js';
import { isObject } from './dialect.js';
import { nearestFew } from './nearest.js';

/** One place that answers, with what its requests need. Times in milliseconds. */
export interface EndpointConfig {
  name: string;
  protocol: 'openai' | 'ollama' | 'uat-engine';
  /** Absent: the local engine. */
  base_url: URL | undefined;
  /** What stands before the dialect's own path. */
  base_path: string;
  /** Sent with every request; holds the API key. */
  headers: Record<string, string>;
  connect_timeout_ms: number;
  first_token_timeout_ms: number;
  idle_timeout_ms: number;
  total_timeout_ms: number;
  max_in_flight: number | undefined;
}

/** One public model name. */
export interface ModelConfig {
  name: string;
  endpoints: { endpoint: string; model: string | undefined; weight: number }[];
}

/** The section `[engine]`. */
export interface EngineSettings {
  enabled: boolean;
  /** The model that is offered where nothing is configured. */
  model: string;
  idle_exit_s: number;
  threads: number | undefined;
  context_tokens: number | undefined;
  slots: number | undefined;
  queue: number | undefined;
  kv_type: string | undefined;
  gpu_layers: number | undefined;
  unload_after_s: number | undefined;
  memory_mb: number | undefined;
}

/** What the coordinator reads of a configuration. */
export interface Config {
  endpoints: EndpointConfig[];
  models: ModelConfig[];
  engine: EngineSettings;
  /** Whether endpoints or models were named; otherwise the engine and local servers are used. */
  configured: boolean;
}

/** Loaded when a file is read: most processes pass an object or nothing. */
const toml = (): typeof import('smol-toml') => createRequire(import.meta.url)('smol-toml') as typeof import('smol-toml');

export type Kind = 'text' | 'texts' | 'flag' | 'whole' | 'count' | 'number' | 'table' | 'tables' | readonly string[];
export type Shape = Record<string, Kind>;

const ROOT: Shape = { server: 'table', engine: 'table', endpoints: 'tables', models: 'tables', redis: 'table' };
const SERVER: Shape = { bind: 'text', allowed_origins: 'texts', max_body_mb: 'count', hold_ms: 'whole', drain_timeout_s: 'whole', max_connections: 'count' };
const KV_TYPES = ['f16', 'q8_0', 'q4_0'] as const;
const ENGINE: Shape = { enabled: 'flag', model: 'text', idle_exit_s: 'whole', threads: 'count', context_tokens: 'count', slots: 'count', queue: 'whole', kv_type: KV_TYPES, gpu_layers: 'whole', unload_after_s: 'whole', memory_mb: 'count' };
const PROTOCOLS = ['openai', 'ollama', 'uat-engine'] as const;
const ENDPOINT: Shape = {
  name: 'text', protocol: PROTOCOLS, base_url: 'text', api_key_env: 'text', api_key_file: 'text', connect_timeout_ms: 'count', first_token_timeout_ms: 'count',
  idle_timeout_ms: 'count', total_timeout_ms: 'count', max_in_flight: 'count',
};
const MODEL: Shape = { name: 'text', capabilities: 'texts', context_tokens: 'whole', max_output_tokens: 'whole', endpoints: 'tables', balance: ['peak-ewma'] };
const SERVED: Shape = { endpoint: 'text', model: 'text', weight: 'number' };

/**
 * Reads a configuration in the shapes of uat.toml and checks all of it.
 *
 * @param source An object, a path, or nothing: `UAT_CONFIG`, then `./uat.toml`, then the defaults.
 * @throws {UniversalAiError} `UAT_CONFIG` with the place of the first thing that is wrong.
 */
export function loadConfig(source: GatewayConfig | string | undefined, env: NodeJS.ProcessEnv = process.env): Config {
  const { origin, tree, isFile } = read(source, env);
  const written = urlOfRedis(tree);
  applyEnvironment(tree, env);
  const url = urlOfRedis(tree);
  if (isFile && url !== undefined && url === written && hasPassword(url)) throw refuse(origin, `at redis.url: \`redis.url\` holds a password; ${REDIS_SECRET}`, undefined, 'redis.url');
  return new Reader(origin, env).config(tree);
}

function urlOfRedis(tree: Record<string, unknown>): string | undefined {
  const { redis } = tree;
  return isObject(redis) && typeof redis['url'] === 'string' ? redis['url'] : undefined;
}

function read(source: GatewayConfig | string | undefined, env: NodeJS.ProcessEnv): { origin: string; tree: Record<string, unknown>; isFile: boolean } {
  if (isObject(source)) return { origin: 'configuration object', tree: plainCopy(source), isFile: false };
  if (source !== undefined && typeof source !== 'string') throw refuse('configuration', `expected an object, the path of a file or nothing, got ${describeValue(source)}`);
  const file = source ?? (env['UAT_CONFIG'] || (existsSync('uat.toml') ? 'uat.toml' : undefined));
  return file === undefined ? { origin: 'default', tree: {}, isFile: false } : { origin: file, tree: readToml(file), isFile: true };
}

function plainCopy(source: object): Record<string, unknown> {
  try {
    return JSON.parse(JSON.stringify(source)) as Record<string, unknown>;
  } catch (cause) {
    throw refuse('configuration object', `expected values that JSON can hold: ${(cause as Error).message}`, cause);
  }
}

function readToml(file: string): Record<string, unknown> {
  let text: string;
  try {
    text = readFileSync(file, 'utf8').replace(/^\uFEFF/, '');
  } catch (cause) {
    throw refuse(file, `cannot be read: ${(cause as Error).message}; name an existing file, or none for the defaults`, cause);
  }
  const { parse, TomlError } = toml();
  try {
    return parse(text) as Record<string, unknown>;
  } catch (cause) {
    if (!(cause instanceof TomlError)) throw cause;
    throw refuse(`${file}:${cause.line}:${cause.column}`, `not valid TOML: ${cause.message.split('\n')[0]}`, cause);
  }
}

/** Lays the variables `UAT__SECTION__KEY` over the tree; a number is a place in a list. */
function applyEnvironment(tree: Record<string, unknown>, env: NodeJS.ProcessEnv): void {
  // Sorted, so that two variables of which one contains the other have one meaning.
  for (const variable of Object.keys(env).filter(name => name.startsWith('UAT__')).sort()) {
    const segments = variable.slice('UAT__'.length).toLowerCase().split('__');
    const last = segments.pop() ?? '';
    let node: unknown = tree;
    segments.forEach((segment, index) => {
      const next = (node as Record<string, unknown>)[segment] ?? (/^\d+$/.test(segments[index + 1] ?? last) ? [] : {});
      if (typeof next !== 'object' || segment === '') throw refuse(`environment variable ${variable}`, `${segment || 'an empty part'} has no keys; write UAT__SECTION__KEY, a number for the place in a list`);
      (node as Record<string, unknown>)[segment] = next;
      node = next;
    });
    if (last === '') throw refuse(`environment variable ${variable}`, 'a part of the name is empty; write UAT__SECTION__KEY');
    (node as Record<string, unknown>)[last] = overrideValue(env[variable] ?? '');
  }
}

/** Read as TOML where it is TOML (`8`, `true`, `["a"]`), else as text. */
function overrideValue(raw: string): unknown {
  try {
    return toml().parse(`value = ${raw}`)['value'];
  } catch {
    return raw;
  }
}

/** Checks a tree of values and turns it into a {@link Config}. */
class Reader {
  readonly #origin: string;
  readonly #env: NodeJS.ProcessEnv;

  constructor(origin: string, env: NodeJS.ProcessEnv) {
    this.#origin = origin;
    this.#env = env;
  }

  config(tree: Record<string, unknown>): Config {
    this.#shape(tree, ROOT, '');
    this.#shape(tree['server'] ?? {}, SERVER, 'server');
    const engine = this.#engine(tree['engine'] ?? {});
    const endpoints = this.#list(tree['endpoints']).map((endpoint, index) => this.#endpoint(endpoint, `endpoints[${index}]`, engine.enabled));
    this.#unique(endpoints, 'endpoints');
    const models = this.#list(tree['models']).map((model, index) => this.#model(model, `models[${index}]`, endpoints));
    this.#unique(models, 'models');
    if (models.length === 0 && endpoints.length > 0) {
      throw this.#wrong('endpoints', 'endpoints are configured, but no [[models]] uses them; add [[models]] with a name and endpoints = [{ endpoint = "..." }]');
    }
    this.#redis(tree['redis'] ?? {});
    return { endpoints, models, engine, configured: endpoints.length + models.length > 0 };
  }

  /** Checked like the others; the coordinator uses nothing of it. */
  #redis(table: unknown): void {
    const secret = secretKey(table);
    if (secret !== undefined) throw this.#wrong(`redis.${secret}`, `\`${secret}\` would put a secret into the configuration; ${REDIS_SECRET}`);
    const wrong = checkRedis(this.#shape(table, REDIS_SHAPE, 'redis'));
    if (wrong !== undefined) throw this.#wrong(`redis.${wrong.key}`, `\`redis.${wrong.key}\`: ${wrong.message}`);
  }

  #engine(table: unknown): EngineSettings {
    const engine = this.#shape(table, ENGINE, 'engine') as Partial<EngineSettings>;
    for (const [key, most] of Object.entries(ENGINE_MOST)) {
      const value = engine[key as keyof typeof ENGINE_MOST] ?? 0;
      if (value > most) throw this.#wrong(`engine.${key}`, `\`engine.${key}\`: expected at most ${most}, got ${value}`);
    }
    if (engine.model === '') throw this.#wrong('engine.model', "expected a model's name, got an empty string");
    // Half a minute: a second command in a terminal then finds the model still loaded.
    return { ...ENGINE_CHOOSES, enabled: true, model: 'smollm2-135m', idle_exit_s: 30, ...engine };
  }

  #endpoint(table: unknown, path: string, engineEnabled: boolean): EndpointConfig {
    const secret = secretKey(table);
    if (secret !== undefined) {
      throw this.#wrong(`${path}.${secret}`, `\`${secret}\` would put a secret into the configuration; name the environment variable that holds it with \`api_key_env\`, or a file with \`api_key_file\``);
    }
    const endpoint = this.#shape(table, ENDPOINT, path);
    const name = this.#name(endpoint, path, 'an endpoint');
    const protocol = endpoint['protocol'] as EndpointConfig['protocol'] | undefined;
    if (protocol === undefined) throw this.#wrong(`${path}.protocol`, `endpoint \`${name}\` needs a protocol: one of ${PROTOCOLS.join(', ')}`);
    if (protocol === 'uat-engine' && !engineEnabled) throw this.#wrong(`${path}.protocol`, `endpoint \`${name}\` is the local engine, but engine.enabled is false`);
    const base_url = this.#baseUrl(endpoint['base_url'], protocol, name, path);
    const base_path = base_url?.pathname.replace(/\/+$/, '') ?? '';
    return {
      name, protocol, base_url,
      base_path: protocol !== 'ollama' && base_path === '' ? '/v1' : base_path,
      headers: this.#headers(endpoint, name, path),
      ...TIMEOUTS, max_in_flight: undefined,
      ...Object.fromEntries(Object.entries(endpoint).filter(([key]) => key.endsWith('_timeout_ms') || key === 'max_in_flight')),
    };
  }

  #baseUrl(written: unknown, protocol: EndpointConfig['protocol'], name: string, path: string): URL | undefined {
    if (protocol === 'uat-engine') {
      if (written !== undefined) throw this.#wrong(`${path}.base_url`, `endpoint \`${name}\`: the local engine has no address, it is found and started by itself; remove \`base_url\``);
      return undefined;
    }
    if (written === undefined) throw this.#wrong(path, `endpoint \`${name}\` needs a \`base_url\`, for example "http://127.0.0.1:11434"`);
    const url = URL.canParse(written as string) ? new URL(written as string) : undefined;
    // The address is not repeated: it may hold a password.
    if (url === undefined || !/^https?:$/.test(url.protocol) || url.hostname === '') throw this.#wrong(`${path}.base_url`, `endpoint \`${name}\`: expected http://HOST[:PORT][/PATH] or https://..., got something else`);
    if (url.username !== '' || url.password !== '') throw this.#wrong(`${path}.base_url`, `endpoint \`${name}\`: \`base_url\` holds a user or password; name the environment variable that holds the key with \`api_key_env\``);
    if (url.search !== '') throw this.#wrong(`${path}.base_url`, `endpoint \`${name}\`: \`base_url\` must not have a query`);
    return url;
  }

  #headers(endpoint: Record<string, unknown>, name: string, path: string): Record<string, string> {
    const { api_key_env: variable, api_key_file: file } = endpoint as { api_key_env?: string; api_key_file?: string };
    if (variable !== undefined && file !== undefined) throw this.#wrong(`${path}.api_key_file`, `endpoint \`${name}\` has both \`api_key_env\` and \`api_key_file\`: expected one`);
    if (variable === undefined && file === undefined) return {};
    const key = variable === undefined ? this.#keyFile(file as string, name, path) : this.#env[variable];
    if (key === undefined) throw this.#wrong(`${path}.api_key_env`, `endpoint \`${name}\`: the environment variable ${variable} is not set`);
    return { authorization: `Bearer ${key.trim()}` };
  }

  #keyFile(file: string, name: string, path: string): string {
    try {
      return readFileSync(file, 'utf8');
    } catch (cause) {
      throw this.#wrong(`${path}.api_key_file`, `endpoint \`${name}\`: ${file} cannot be read: ${(cause as Error).message}`);
    }
  }

  #model(table: unknown, path: string, endpoints: EndpointConfig[]): ModelConfig {
    const model = this.#shape(table, MODEL, path);
    const name = this.#name(model, path, 'a model');
    const served = this.#list(model['endpoints']).map((one, index) => this.#served(one, `${path}.endpoints[${index}]`, name, endpoints));
    if (served.length === 0) throw this.#wrong(`${path}.endpoints`, `model \`${name}\` names no endpoint: expected at least one`);
    return { name, endpoints: served };
  }

  #served(table: unknown, path: string, model: string, endpoints: EndpointConfig[]): ModelConfig['endpoints'][number] {
    const { endpoint, model: there, weight = 1 } = this.#shape(table, SERVED, path) as { endpoint?: string; model?: string; weight?: number };
    const names = endpoints.map(one => one.name);
    if (endpoint === undefined) throw this.#wrong(path, `model \`${model}\`: \`endpoint\` is missing`);
    if (!names.includes(endpoint)) throw this.#wrong(`${path}.endpoint`, `model \`${model}\` names the endpoint \`${endpoint}\`, which does not exist${meant(endpoint, names)}`);
    if (!(weight > 0)) throw this.#wrong(`${path}.weight`, `model \`${model}\`: \`weight\` must be above 0, got ${weight}`);
    return { endpoint, model: there, weight };
  }

  #name(table: Record<string, unknown>, path: string, what: string): string {
    const name = table['name'];
    if (typeof name !== 'string' || name.trim() === '') throw this.#wrong(`${path}.name`, `${what} needs a name`);
    return name;
  }

  #unique(items: { name: string }[], section: string): void {
    const seen = new Set<string>();
    items.forEach(({ name }, index) => {
      if (seen.has(name)) throw this.#wrong(`${section}[${index}].name`, `two ${section} are named \`${name}\`: names must be unique`);
      seen.add(name);
    });
  }

  #list(value: unknown): unknown[] {
    return (value ?? []) as unknown[];
  }

  /** The table, once every key is known and every value is of its kind. */
  #shape(table: unknown, shape: Shape, path: string): Record<string, unknown> {
    if (!isObject(table)) throw this.#wrong(path, `expected a table, got ${describeValue(table)}`);
    for (const [key, value] of Object.entries(table)) {
      const at = path === '' ? key : `${path}.${key}`;
      const kind = Object.hasOwn(shape, key) ? shape[key] : undefined;
      if (kind === undefined) throw this.#wrong(at, `unknown key \`${key}\`${meant(key, Object.keys(shape))}; known here: ${Object.keys(shape).join(', ')}`);
      const expected = expectation(kind, value);
      if (expected !== undefined) throw this.#wrong(at, `\`${at}\`: expected ${expected}, got ${describeValue(value)}${typeof kind === 'object' ? meant(String(value), kind) : ''}`);
    }
    return table;
  }

  #wrong(path: string, message: string): UniversalAiError {
    return refuse(this.#origin, `at ${path}: ${message}`, undefined, path);
  }
}

/** The key of a table that asks for a secret. */
function secretKey(table: unknown): string | undefined {
  return isObject(table) ? Object.keys(table).find(key => /^(api_?key|key|token|secret|password|authorization|bearer)$/i.test(key.replaceAll('-', '_'))) : undefined;
}

/** The engine's own limits. */
const U32_MAX = 2 ** 32 - 1;
const ENGINE_MOST = { threads: U32_MAX, context_tokens: U32_MAX, slots: 256, queue: 65_535, gpu_layers: U32_MAX, unload_after_s: U32_MAX, memory_mb: U32_MAX } as const;

/** What the engine chooses by itself where nothing is written. */
export const ENGINE_CHOOSES = {
  threads: undefined, context_tokens: undefined, slots: undefined, queue: undefined, kv_type: undefined, gpu_layers: undefined, unload_after_s: undefined, memory_mb: undefined,
} as const satisfies Partial<EngineSettings>;

/** A second to connect; a minute for a model that is still loading; half a minute between pieces; ten minutes in all. */
const TIMEOUTS = { connect_timeout_ms: 1_000, first_token_timeout_ms: 60_000, idle_timeout_ms: 30_000, total_timeout_ms: 600_000 };

/** The configuration of an endpoint that was found rather than configured. */
export function plainEndpoint(name: string, protocol: EndpointConfig['protocol'], baseUrl?: string): EndpointConfig {
  const base_url = baseUrl === undefined ? undefined : new URL(baseUrl);
  return { name, protocol, base_url, base_path: protocol === 'ollama' ? '' : '/v1', headers: {}, ...TIMEOUTS, max_in_flight: undefined };
}

/** What was expected, where the value is not of its kind. */
function expectation(kind: Kind, value: unknown): string | undefined {
  const expected = (ok: boolean, what: string): string | undefined => (ok ? undefined : what);
  switch (kind) {
    case 'text': return expected(typeof value === 'string', 'a string');
    case 'texts': return expected(Array.isArray(value) && value.every(one => typeof one === 'string'), 'a list of strings');
    case 'flag': return expected(typeof value === 'boolean', 'true or false');
    case 'whole': return expected(Number.isSafeInteger(value) && (value as number) >= 0, 'a whole number');
    case 'count': return expected(Number.isSafeInteger(value) && (value as number) >= 1, 'a whole number of at least 1');
    case 'number': return expected(typeof value === 'number', 'a number');
    case 'table': return expected(isObject(value), 'a table');
    case 'tables': return expected(Array.isArray(value) && value.every(isObject), 'a list of tables');
    default: return expected(kind.includes(value as string), `one of ${kind.join(', ')}`);
  }
}

function meant(word: string, known: readonly string[]): string {
  const [nearest] = nearestFew(word, known, 1);
  return nearest === undefined ? '' : `; did you mean \`${nearest}\`?`;
}

function refuse(origin: string, message: string, cause?: unknown, path?: string): UniversalAiError {
  const details = { origin, ...(path === undefined ? {} : { path }) };
  return new UniversalAiError('UAT_CONFIG', `${origin}: ${message}`, cause === undefined ? { details } : { details, cause });
}
