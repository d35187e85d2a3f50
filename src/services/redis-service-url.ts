import { UniversalAiError } from '../errors.js';

/**
 * What the URL of `RedisService` says. Read by hand, because `URL` knows neither several hosts nor a Unix socket. No
 * message shows any part of the URL: a slip of the pen may have put the password anywhere.
 */
export interface RedisAddress {
  kind: 'single' | 'sentinel' | 'cluster' | 'unix';
  tls: boolean;
  /** At least one, except for `unix`. */
  hosts: { host: string; port: number }[];
  /** Of a Unix socket. */
  path: string | undefined;
  /** Of the Sentinel's master. */
  master: string | undefined;
  username: string | undefined;
  password: string | undefined;
  db: number;
  /** A PEM file with the certificate authority to trust. */
  ca: string | undefined;
}

const SCHEMES: Record<string, { kind: RedisAddress['kind']; tls: boolean; port: number }> = {
  'redis': { kind: 'single', tls: false, port: 6379 },
  'rediss': { kind: 'single', tls: true, port: 6379 },
  'redis+sentinel': { kind: 'sentinel', tls: false, port: 26379 },
  'rediss+sentinel': { kind: 'sentinel', tls: true, port: 26379 },
  'redis+cluster': { kind: 'cluster', tls: false, port: 6379 },
  'rediss+cluster': { kind: 'cluster', tls: true, port: 6379 },
  'unix': { kind: 'unix', tls: false, port: 0 },
};

/** @throws {UniversalAiError} `UAT_CONFIG` naming `url`. */
export function parseRedisUrl(url: string): RedisAddress {
  const scheme = /^([a-zA-Z][a-zA-Z0-9+.-]*):/.exec(url)?.[1]?.toLowerCase();
  if (scheme === undefined) throw badUrl(`expected it to begin with one of ${Object.keys(SCHEMES).map(name => `${name}:`).join(' ')}`);
  const found = Object.hasOwn(SCHEMES, scheme) ? SCHEMES[scheme] : undefined;
  // What stands before the first colon is no scheme but a user where somebody left the scheme away, so that it is not shown.
  if (found === undefined) throw badUrl(`expected one of the schemes ${Object.keys(SCHEMES).join(', ')}`);
  if (url.includes('#')) throw badUrl('expected no #; write it as %23');
  const [before = '', query = ''] = splitOnce(url.slice(scheme.length + 1), '?');
  const parameters = queryOf(query);
  return found.kind === 'unix' ? unixSocket(before, parameters) : network(found, before, parameters);
}

function unixSocket(before: string, parameters: Map<string, string>): RedisAddress {
  const path = decode(before.startsWith('//') ? before.slice(2) : before, 'the path');
  if (!path.startsWith('/') || path.length < 2) throw badUrl('expected unix: to be followed by the absolute path of a socket');
  only(parameters, ['db', 'user', 'pass']);
  return {
    kind: 'unix', tls: false, hosts: [], path, master: undefined, username: parameters.get('user') || undefined, password: parameters.get('pass') || undefined,
    db: database(parameters.get('db') ?? ''), ca: undefined,
  };
}

function network({ kind, tls, port }: { kind: RedisAddress['kind']; tls: boolean; port: number }, before: string, parameters: Map<string, string>): RedisAddress {
  if (!before.startsWith('//')) throw badUrl('expected // after the scheme');
  const [authority = '', path = ''] = splitOnce(before.slice(2), '/');
  const at = authority.lastIndexOf('@');
  const [user = '', password = ''] = at === -1 ? [] : splitOnce(authority.slice(0, at), ':');
  const hosts = authority.slice(at + 1).split(',').map(place => hostAndPort(place, port));
  if (kind === 'single' && hosts.length > 1) throw badUrl('expected one host; several go with redis+cluster or redis+sentinel');
  only(parameters, tls ? ['ca'] : []);
  const parts = path === '' ? [] : path.split('/');
  const master = kind === 'sentinel' ? decode(parts.shift() ?? '', 'the name of the master') : undefined;
  if (master === '') throw badUrl('expected the name of the master after the hosts: redis+sentinel://host:26379/mymaster');
  if (parts.length > 1) throw badUrl('expected at most a database number in the path');
  const db = database(parts[0] ?? '');
  if (kind === 'cluster' && db !== 0) throw badUrl('expected no database number: a cluster has only database 0');
  return {
    kind, tls, hosts, path: undefined, master, username: decode(user, 'the user') || undefined, password: decode(password, 'the password') || undefined, db,
    ca: parameters.get('ca') || undefined,
  };
}

function hostAndPort(place: string, defaultPort: number): { host: string; port: number } {
  const [, v6, name, digits] = /^(?:\[([0-9a-fA-F:.]+)\]|([^\s:[\]]+))(?::(\d{1,5}))?$/.exec(place) ?? [];
  const host = v6 ?? decode(name ?? '', 'the host');
  const port = digits === undefined ? defaultPort : Number(digits);
  if (host === '') throw badUrl('expected a host, or host:port');
  if (port < 1 || port > 65_535) throw badUrl('expected a port from 1 to 65535');
  return { host, port };
}

function database(text: string): number {
  if (text === '') return 0;
  if (!/^\d{1,4}$/.test(text)) throw badUrl('expected the database to be a number');
  return Number(text);
}

function queryOf(query: string): Map<string, string> {
  const parameters = new Map<string, string>();
  for (const pair of query.split('&')) {
    if (pair === '') continue;
    const [name = '', value = ''] = splitOnce(pair, '=');
    parameters.set(name, decode(value, 'a parameter'));
  }
  return parameters;
}

function only(parameters: Map<string, string>, allowed: string[]): void {
  for (const name of parameters.keys()) {
    if (!allowed.includes(name)) throw badUrl(`unknown parameter after the ?; ${allowed.length === 0 ? 'this scheme has none (a ? in the password is %3F)' : `expected ${allowed.join(', ')}`}`);
  }
}

function splitOnce(text: string, by: string): [string, string] {
  const at = text.indexOf(by);
  return at === -1 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)];
}

function decode(text: string, what: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw badUrl(`expected ${what} to be percent-encoded UTF-8`);
  }
}

/** A URL that says something wrong. Never holds the URL. */
export function badUrl(expected: string): UniversalAiError {
  return new UniversalAiError('UAT_CONFIG', `url: ${expected}`, { details: { field: 'url', expected } });
}
