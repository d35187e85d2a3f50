import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { extname } from 'node:path';

import { isObject } from '../../check.js';
import { describeValue } from '../../errors.js';
import type { GatewayConfig } from '../../services/fast-llm-coordinator-types.js';
import type { Model as Facts, Policy } from '../llm-router/question.js';
import { checkConfig } from './config-check.js';
import type { Protocol } from './config-endpoint.js';
import { hasPassword, REDIS_SECRET, type RedisSettings } from './config-redis.js';
import { refuse } from './config-shape.js';

/** One place that answers, with what its requests need. Times in milliseconds. */
export interface EndpointConfig {
  name: string;
  protocol: Protocol;
  /** Absent: the local engine. */
  base_url: URL | undefined;
  /** Of `azure` and `anthropic`. */
  api_version: string | undefined;
  /** What stands before the dialect's own path. */
  base_path: string;
  /** Sent with every request; holds the API key. */
  headers: Record<string, string>;
  /** Read again after the key was refused. */
  api_key_file: string | undefined;
  connect_timeout_ms: number;
  first_token_timeout_ms: number;
  idle_timeout_ms: number;
  total_timeout_ms: number;
  max_in_flight: number | undefined;
  /** Requests that may wait for a place. */
  max_queued: number;
  queue_timeout_ms: number;
  /** Whether it continues an assistant's message that ends the conversation. */
  resume: boolean;
}

/** How one of a model's endpoints is chosen. */
export type Balance = 'peak-ewma' | 'round-robin' | 'least-in-flight' | 'prefix-affinity' | 'priority';

/** One public model name. */
export interface ModelConfig {
  name: string;
  endpoints: { endpoint: string; model: string | undefined; weight: number }[];
  balance: Balance;
  /** The longest answer, in tokens. */
  max_output_tokens: number | undefined;
  /** What the router chooses by. */
  facts: Omit<Facts, 'name' | 'maxOutputTokens'>;
}

/** The section `[routing]`. */
export interface RoutingSettings {
  tiers: Record<string, string[]>;
  policy: Policy;
}

/** The section `[cache]`. */
export interface CacheSettings {
  exact: boolean;
  ttl_s: number;
  /** Longer answers are not stored, in KiB. */
  max_entry_kb: number;
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
  cache: CacheSettings;
  /** The section `[redis]`, where there is one. */
  redis: RedisSettings | undefined;
  routing: RoutingSettings;
  /** Whether endpoints or models were named; otherwise the engine and local servers are used. */
  configured: boolean;
}

/** Loaded when a file is read: most processes pass an object or nothing. */
const toml = (): typeof import('smol-toml') => createRequire(import.meta.url)('smol-toml') as typeof import('smol-toml');

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
  return checkConfig(tree, origin, env);
}

function urlOfRedis(tree: Record<string, unknown>): string | undefined {
  const { redis } = tree;
  return isObject(redis) && typeof redis['url'] === 'string' ? redis['url'] : undefined;
}

function read(source: GatewayConfig | string | undefined, env: NodeJS.ProcessEnv): { origin: string; tree: Record<string, unknown>; isFile: boolean } {
  if (isObject(source)) return { origin: 'configuration object', tree: plainCopy(source), isFile: false };
  if (source !== undefined && typeof source !== 'string') throw refuse('configuration', `expected an object, the path of a file or nothing, got ${describeValue(source)}`);
  const file = source ?? (env['UAT_CONFIG'] || (existsSync('uat.toml') ? 'uat.toml' : undefined));
  return file === undefined ? { origin: 'default', tree: {}, isFile: false } : { origin: file, tree: readFile(file), isFile: true };
}

function plainCopy(source: object): Record<string, unknown> {
  try {
    return JSON.parse(JSON.stringify(source)) as Record<string, unknown>;
  } catch (cause) {
    throw refuse('configuration object', `expected values that JSON can hold: ${(cause as Error).message}`, cause);
  }
}

function readFile(file: string): Record<string, unknown> {
  let text: string;
  try {
    text = readFileSync(file, 'utf8').replace(/^\uFEFF/, '');
  } catch (cause) {
    throw refuse(file, `cannot be read: ${(cause as Error).message}; name an existing file, or none for the defaults`, cause);
  }
  const form = extname(file).toLowerCase();
  if (form === '.yaml' || form === '.yml') throw refuse(file, 'YAML is read by the native backend only: write it as TOML or JSON');
  if (form === '.json') return readJson(file, text);
  const { parse, TomlError } = toml();
  try {
    return parse(text) as Record<string, unknown>;
  } catch (cause) {
    if (!(cause instanceof TomlError)) throw cause;
    throw refuse(`${file}:${cause.line}:${cause.column}`, `not valid TOML: ${cause.message.split('\n')[0]}`, cause);
  }
}

function readJson(file: string, text: string): Record<string, unknown> {
  let tree: unknown;
  try {
    tree = text.trim() === '' ? {} : JSON.parse(text);
  } catch (cause) {
    throw refuse(file, `not valid JSON: ${(cause as Error).message}`, cause);
  }
  if (!isObject(tree)) throw refuse(file, `expected sections such as \`server\`, got ${describeValue(tree)}`);
  const { $schema: _, ...sections } = tree;
  return sections;
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
