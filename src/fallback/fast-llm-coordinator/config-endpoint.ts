import { readFileSync } from 'node:fs';

import type { EndpointConfig } from './config.js';
import { named, secretKey, type Shape, shaped, type Wrong } from './config-shape.js';

const PROTOCOLS = ['openai', 'anthropic', 'gemini', 'ollama', 'azure', 'uat-engine'] as const;
export type Protocol = (typeof PROTOCOLS)[number];

const ENDPOINT: Shape = {
  name: 'text', protocol: PROTOCOLS, base_url: 'text', api_key_env: 'text', api_key_file: 'text', api_version: 'text', connect_timeout_ms: 'count', first_token_timeout_ms: 'count',
  idle_timeout_ms: 'count', total_timeout_ms: 'count', max_in_flight: 'count', max_queued: 'whole', queue_timeout_ms: 'count', resume: ['prefill'],
};

/**
 * A second to connect; a minute for a model that is still loading; half a minute between pieces; ten minutes in all. A
 * few times what a server bears at once may wait, for longer than a burst and shorter than most clients' own limits.
 */
const LIMITS = {
  connect_timeout_ms: 1_000, first_token_timeout_ms: 60_000, idle_timeout_ms: 30_000, total_timeout_ms: 600_000, max_in_flight: undefined, max_queued: 256, queue_timeout_ms: 10_000,
};
/** The version of Anthropic's interface that the translation was written for. */
const ANTHROPIC_VERSION = '2023-06-01';

/** Checks one of `[[endpoints]]`. */
export function readEndpoint(table: unknown, path: string, engineEnabled: boolean, env: NodeJS.ProcessEnv, wrong: Wrong): EndpointConfig {
  const secret = secretKey(table);
  if (secret !== undefined) {
    throw wrong(`${path}.${secret}`, `\`${secret}\` would put a secret into the configuration; name the environment variable that holds it with \`api_key_env\`, or a file with \`api_key_file\``);
  }
  const endpoint = shaped(table, ENDPOINT, path, wrong);
  const name = named(endpoint, path, 'an endpoint', wrong);
  const protocol = endpoint['protocol'] as Protocol | undefined;
  if (protocol === undefined) throw wrong(`${path}.protocol`, `endpoint \`${name}\` needs a protocol: one of ${PROTOCOLS.join(', ')}`);
  if (protocol === 'uat-engine' && !engineEnabled) throw wrong(`${path}.protocol`, `endpoint \`${name}\` is the local engine, but engine.enabled is false`);
  const api_version = endpoint['api_version'] as string | undefined;
  if (api_version !== undefined && protocol !== 'azure' && protocol !== 'anthropic') {
    throw wrong(`${path}.api_version`, `endpoint \`${name}\`: only azure and anthropic have an \`api_version\`, ${protocol} has none; remove it`);
  }
  if (api_version === '') throw wrong(`${path}.api_version`, `endpoint \`${name}\`: \`api_version\` is empty`);
  const base_url = baseUrl(endpoint['base_url'], protocol, name, path, wrong);
  return {
    name, protocol, base_url, api_version,
    base_path: basePath(protocol, base_url),
    headers: { ...fixedHeaders(protocol, api_version), ...keyHeader(protocol, apiKey(endpoint, name, path, env, wrong)) },
    api_key_file: endpoint['api_key_file'] as string | undefined,
    resume: endpoint['resume'] === 'prefill',
    ...LIMITS,
    ...Object.fromEntries(Object.entries(endpoint).filter(([key]) => key in LIMITS)),
  };
}

/** The configuration of an endpoint that was found rather than configured. */
export function plainEndpoint(name: string, protocol: Protocol, address?: string): EndpointConfig {
  const base_url = address === undefined ? undefined : new URL(address);
  return { name, protocol, base_url, api_version: undefined, base_path: basePath(protocol, base_url), headers: {}, api_key_file: undefined, resume: false, ...LIMITS };
}

/** The version in a path, where the base URL has no path of its own. */
const VERSIONS: Partial<Record<Protocol, string>> = { 'openai': '/v1', 'uat-engine': '/v1', 'anthropic': '/v1', 'gemini': '/v1beta' };

/** What stands before the dialect's own path. */
function basePath(protocol: Protocol, base_url: URL | undefined): string {
  const path = base_url?.pathname.replace(/\/+$/, '') ?? '';
  return path === '' ? VERSIONS[protocol] ?? '' : path;
}

function baseUrl(written: unknown, protocol: Protocol, name: string, path: string, wrong: Wrong): URL | undefined {
  if (protocol === 'uat-engine') {
    if (written !== undefined) throw wrong(`${path}.base_url`, `endpoint \`${name}\`: the local engine has no address, it is found and started by itself; remove \`base_url\``);
    return undefined;
  }
  if (written === undefined) throw wrong(path, `endpoint \`${name}\` needs a \`base_url\`, for example "http://127.0.0.1:11434"`);
  const url = URL.canParse(written as string) ? new URL(written as string) : undefined;
  // The address is not repeated: it may hold a password.
  if (url === undefined || !/^https?:$/.test(url.protocol) || url.hostname === '') throw wrong(`${path}.base_url`, `endpoint \`${name}\`: expected http://HOST[:PORT][/PATH] or https://..., got something else`);
  if (url.username !== '' || url.password !== '') throw wrong(`${path}.base_url`, `endpoint \`${name}\`: \`base_url\` holds a user or password; name the environment variable that holds the key with \`api_key_env\``);
  if (url.search !== '') throw wrong(`${path}.base_url`, `endpoint \`${name}\`: \`base_url\` must not have a query`);
  return url;
}

function apiKey(endpoint: Record<string, unknown>, name: string, path: string, env: NodeJS.ProcessEnv, wrong: Wrong): string | undefined {
  const { api_key_env: variable, api_key_file: file } = endpoint as { api_key_env?: string; api_key_file?: string };
  if (variable !== undefined && file !== undefined) throw wrong(`${path}.api_key_file`, `endpoint \`${name}\` has both \`api_key_env\` and \`api_key_file\`: expected one`);
  if (file !== undefined) {
    try {
      return readFileSync(file, 'utf8').trim();
    } catch (cause) {
      throw wrong(`${path}.api_key_file`, `endpoint \`${name}\`: ${file} cannot be read: ${(cause as Error).message}`);
    }
  }
  if (variable === undefined) return undefined;
  const key = env[variable];
  if (key === undefined) throw wrong(`${path}.api_key_env`, `endpoint \`${name}\`: the environment variable ${variable} is not set`);
  return key.trim();
}

function fixedHeaders(protocol: Protocol, api_version: string | undefined): Record<string, string> {
  return protocol === 'anthropic' ? { 'anthropic-version': api_version ?? ANTHROPIC_VERSION } : {};
}

/** The header in which a protocol wants its key. */
export function keyHeader(protocol: Protocol, key: string | undefined): Record<string, string> {
  if (key === undefined) return {};
  switch (protocol) {
    case 'anthropic': return { 'x-api-key': key };
    case 'gemini': return { 'x-goog-api-key': key };
    case 'azure': return { 'api-key': key };
    default: return { authorization: `Bearer ${key}` };
  }
}
