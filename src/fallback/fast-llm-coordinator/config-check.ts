import { describeValue, type UniversalAiError } from '../../errors.js';
import type { Balance, CacheSettings, Config, EndpointConfig, EngineSettings, ModelConfig } from './config.js';
import { readEndpoint } from './config-endpoint.js';
import { checkKeys, checkPrice } from './config-keys.js';
import { readFacts, readRouting } from './config-routing.js';
import { checkRedis, REDIS_SECRET, REDIS_SHAPE, type RedisSettings } from './config-redis.js';
import { meant, named, refuse, secretKey, type Shape, shaped, type Wrong } from './config-shape.js';

const ROOT: Shape = { server: 'table', engine: 'table', endpoints: 'tables', models: 'tables', keys: 'tables', limits: 'table', routing: 'table', context: 'table', context_providers: 'tables', cache: 'table', redis: 'table', parameters: 'table', gpu: 'table', telemetry: 'table' };
const SERVER: Shape = { bind: 'text', admin_bind: 'text', keys_file: 'text', state_dir: 'text', allowed_origins: 'texts', max_body_mb: 'count', hold_ms: 'whole', drain_timeout_s: 'whole', max_connections: 'count' };
const KV_TYPES = ['f32', 'f16', 'q8_0', 'q4_0'] as const;
const ENGINE: Shape = { enabled: 'flag', model: 'text', idle_exit_s: 'whole', threads: 'count', context_tokens: 'count', slots: 'count', queue: 'whole', kv_type: KV_TYPES, gpu_layers: 'whole', unload_after_s: 'whole', memory_mb: 'count' };
const BALANCES = ['peak-ewma', 'round-robin', 'least-in-flight', 'prefix-affinity', 'priority'] as const satisfies readonly Balance[];
/** Only a server asks with parameters of its own, and keeps studies. */
const TUNINGS = ['off', 'auto'] as const;
const PARAMETERS: Shape = { storage: 'text' };
const MODEL: Shape = { name: 'text', tier: 'text', quality: 'number', capabilities: 'texts', context_tokens: 'whole', max_output_tokens: 'whole', price: 'table', endpoints: 'tables', balance: BALANCES, parameters: TUNINGS };
const SERVED: Shape = { endpoint: 'text', model: 'text', weight: 'number' };
/** Only the core adds context. */
const CONTEXT: Shape = { max_tokens: 'count' };
const CONTEXT_PROVIDER: Shape = { name: 'text', kind: ['instructions', 'memory', 'passages'], text: 'text', files: 'texts', max_tokens: 'count', turns: 'count', ttl_s: 'count', top: 'count' };
/** Only a server tells; the file is shared, so the section is checked here too. */
const TELEMETRY: Shape = { otlp_endpoint: 'text', otlp_headers_env: 'text', otlp_headers_file: 'text', sample_ratio: 'number', service_name: 'text', access_log: 'text' };
const CACHE: Shape = { exact: 'flag', semantic: 'flag', ttl_s: 'count', max_entry_kb: 'count' };

/** The engine's own limits. */
const U32_MAX = 2 ** 32 - 1;
const ENGINE_MOST = { threads: U32_MAX, context_tokens: U32_MAX, slots: 256, queue: 65_535, gpu_layers: U32_MAX, unload_after_s: U32_MAX, memory_mb: U32_MAX } as const;

/** What the engine chooses by itself where nothing is written. */
export const ENGINE_CHOOSES = {
  threads: undefined, context_tokens: undefined, slots: undefined, queue: undefined, kv_type: undefined, gpu_layers: undefined, unload_after_s: undefined, memory_mb: undefined,
} as const satisfies Partial<EngineSettings>;

/** An hour: answers at temperature 0 change when the model does, which changes the key. Half a mebibyte: more than any answer of text. */
const CACHE_DEFAULTS: CacheSettings = { exact: true, ttl_s: 3_600, max_entry_kb: 512 };
/** Ten years, and more than any answer that a cache should hold. */
const CACHE_MOST = { ttl_s: 315_360_000, max_entry_kb: 65_536 } as const;

/**
 * Checks a tree of values and turns it into a {@link Config}.
 *
 * @throws {UniversalAiError} `UAT_CONFIG` with the place of the first thing that is wrong.
 */
export function checkConfig(tree: Record<string, unknown>, origin: string, env: NodeJS.ProcessEnv): Config {
  const wrong: Wrong = (path, message): UniversalAiError => refuse(origin, `at ${path}: ${message}`, undefined, path);
  shaped(tree, ROOT, '', wrong);
  shaped(tree['server'] ?? {}, SERVER, 'server', wrong);
  checkKeys(list(tree['keys']), tree['limits'] ?? {}, wrong);
  shaped(tree['context'] ?? {}, CONTEXT, 'context', wrong);
  list(tree['context_providers']).forEach((provider, index) => shaped(provider, CONTEXT_PROVIDER, `context_providers[${index}]`, wrong));
  shaped(tree['parameters'] ?? {}, PARAMETERS, 'parameters', wrong);
  shaped(tree['telemetry'] ?? {}, TELEMETRY, 'telemetry', wrong);
  const engine = readEngine(tree['engine'] ?? {}, wrong);
  const endpoints = list(tree['endpoints']).map((endpoint, index) => readEndpoint(endpoint, `endpoints[${index}]`, engine.enabled, env, wrong));
  unique(endpoints, 'endpoints', wrong);
  const models = list(tree['models']).map((model, index) => readModel(model, `models[${index}]`, endpoints, wrong));
  unique(models, 'models', wrong);
  if (models.length === 0 && endpoints.length > 0) {
    throw wrong('endpoints', 'endpoints are configured, but no [[models]] uses them; add [[models]] with a name and endpoints = [{ endpoint = "..." }]');
  }
  const routing = readRouting(tree['routing'] ?? {}, models.map(({ name }) => name), wrong);
  const cache = readCache(tree['cache'] ?? {}, wrong);
  const redis = tree['redis'] === undefined ? undefined : readRedis(tree['redis'], wrong);
  return { endpoints, models, engine, cache, redis, routing, configured: endpoints.length + models.length > 0 };
}

function readCache(table: unknown, wrong: Wrong): CacheSettings {
  const { semantic, ...cache } = shaped(table, CACHE, 'cache', wrong) as Partial<CacheSettings> & { semantic?: boolean };
  if (semantic === true) throw wrong('cache.semantic', '`cache.semantic`: a cache by meaning is not available; expected false; `cache.exact` is the cache that there is');
  for (const [key, most] of Object.entries(CACHE_MOST)) {
    const value = cache[key as keyof typeof CACHE_MOST] ?? 1;
    if (value > most) throw wrong(`cache.${key}`, `\`cache.${key}\`: expected 1 to ${most}, got ${value}`);
  }
  return { ...CACHE_DEFAULTS, ...cache };
}

function readRedis(table: unknown, wrong: Wrong): RedisSettings {
  const secret = secretKey(table);
  if (secret !== undefined) throw wrong(`redis.${secret}`, `\`${secret}\` would put a secret into the configuration; ${REDIS_SECRET}`);
  const redis = shaped(table, REDIS_SHAPE, 'redis', wrong);
  const finding = checkRedis(redis);
  if (finding !== undefined) throw wrong(`redis.${finding.key}`, `\`redis.${finding.key}\`: ${finding.message}`);
  return redis;
}

function readEngine(table: unknown, wrong: Wrong): EngineSettings {
  const engine = shaped(table, ENGINE, 'engine', wrong) as Partial<EngineSettings>;
  for (const [key, most] of Object.entries(ENGINE_MOST)) {
    const value = engine[key as keyof typeof ENGINE_MOST] ?? 0;
    if (value > most) throw wrong(`engine.${key}`, `\`engine.${key}\`: expected at most ${most}, got ${value}`);
  }
  if (engine.model === '') throw wrong('engine.model', "expected a model's name, got an empty string");
  // Half a minute: a second command in a terminal then finds the model still loaded.
  return { ...ENGINE_CHOOSES, enabled: true, model: 'smollm2-135m', idle_exit_s: 30, ...engine };
}

function readModel(table: unknown, path: string, endpoints: EndpointConfig[], wrong: Wrong): ModelConfig {
  const model = shaped(table, MODEL, path, wrong);
  const name = named(model, path, 'a model', wrong);
  checkPrice(model['price'], `${path}.price`, wrong);
  const served = list(model['endpoints']).map((one, index) => readServed(one, `${path}.endpoints[${index}]`, name, endpoints, wrong));
  if (served.length === 0) throw wrong(`${path}.endpoints`, `model \`${name}\` names no endpoint: expected at least one`);
  return { name, endpoints: served, balance: (model['balance'] as Balance | undefined) ?? 'peak-ewma', max_output_tokens: model['max_output_tokens'] as number | undefined, facts: readFacts(model, path, wrong) };
}

function readServed(table: unknown, path: string, model: string, endpoints: EndpointConfig[], wrong: Wrong): ModelConfig['endpoints'][number] {
  const { endpoint, model: there, weight = 1 } = shaped(table, SERVED, path, wrong) as { endpoint?: string; model?: string; weight?: number };
  const names = endpoints.map(one => one.name);
  if (endpoint === undefined) throw wrong(path, `model \`${model}\`: \`endpoint\` is missing`);
  if (!names.includes(endpoint)) throw wrong(`${path}.endpoint`, `model \`${model}\` names the endpoint \`${endpoint}\`, which does not exist${meant(endpoint, names)}`);
  if (!(weight > 0)) throw wrong(`${path}.weight`, `model \`${model}\`: \`weight\` must be above 0, got ${describeValue(weight)}`);
  return { endpoint, model: there, weight };
}

function unique(items: { name: string }[], section: string, wrong: Wrong): void {
  const seen = new Set<string>();
  items.forEach(({ name }, index) => {
    if (seen.has(name)) throw wrong(`${section}[${index}].name`, `two ${section} are named \`${name}\`: names must be unique`);
    seen.add(name);
  });
}

function list(value: unknown): unknown[] {
  return (value ?? []) as unknown[];
}
