import { lookup } from 'node:dns/promises';
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';

import type { Cluster, Redis, RedisOptions } from 'ioredis';

import { UniversalAiError } from '../../errors.js';
import type { CheckedOptions } from '../../services/redis-service-backend.js';
import { badUrl, type RedisAddress } from '../../services/redis-service-url.js';
import { replyCode } from './replies.js';

/** How this service is connected by ioredis: the one place that knows its options. */

export type Client = Redis | Cluster;
type Ioredis = typeof import('ioredis');

/** The first pause before connecting again; doubled each time, and jittered, so that many processes do not come at once. */
const FIRST_RETRY_MS = 50;
const LONGEST_RETRY_MS = 2_000;
/** How long a connection that was ended may linger before it is cut. */
const DISCONNECT_MS = 100;

export interface Connections {
  /** The connection of all callers, not yet connected; connects again by itself. */
  readonly client: Client;
  /** Another connection, not yet connected; once it is lost it stays so. */
  another(): Redis;
  /** One connection with a command of any name. */
  send(connection: Client, name: string, args: (string | Buffer)[]): Promise<unknown>;
}

/** @throws {UniversalAiError} `UAT_UNSUPPORTED`: there is no ioredis; `UAT_CONFIG`: the file with the authority cannot be read, or nobody knows the hosts. */
export async function connections(address: RedisAddress, { connectTimeoutMs, commandTimeoutMs }: Pick<CheckedOptions, 'connectTimeoutMs' | 'commandTimeoutMs'>): Promise<Connections> {
  const { Cluster, Command, Redis } = await load();
  const { username, password, db, hosts, path, master } = address;
  const tls = address.tls ? await tlsOptions(address) : undefined;
  const common: RedisOptions & { replyMapping: 'resp3' } = {
    lazyConnect: true, enableOfflineQueue: false, autoResendUnfulfilledCommands: false, autoResubscribe: false, maxRetriesPerRequest: 0,
    connectTimeout: connectTimeoutMs, disconnectTimeout: DISCONNECT_MS, disableClientInfo: true, replyMapping: 'resp3',
    db, ...(username === undefined ? {} : { username }), ...(password === undefined ? {} : { password }), ...(tls === undefined ? {} : { tls }),
  };
  const shared = { enableAutoPipelining: true, retryStrategy };
  if (address.kind === 'sentinel') await knowOne(hosts, connectTimeoutMs);
  const [first] = hosts;
  const place: Omit<RedisOptions, 'replyMapping'> = path !== undefined ? { path }
    : master !== undefined ? { sentinels: hosts, name: master, sentinelRetryStrategy: retryStrategy, sentinelCommandTimeout: commandTimeoutMs, ...(tls === undefined ? {} : { sentinelTLS: tls, enableTLSForSentinelMode: true }) }
      : { host: first?.host ?? '', port: first?.port ?? 0 };
  const client: Client = address.kind === 'cluster'
    ? new Cluster(hosts, { lazyConnect: true, enableOfflineQueue: false, enableAutoPipelining: true, slotsRefreshTimeout: connectTimeoutMs, clusterRetryStrategy: retryStrategy, redisOptions: common }) as Cluster
    : new Redis({ ...common, ...place, ...shared }) as Redis;
  return {
    client,
    another: () => {
      const node = address.kind === 'cluster' ? anyNode(client as Cluster) : undefined;
      const made = new Redis({ ...common, ...place, ...node, retryStrategy: () => null, sentinelRetryStrategy: () => null }) as Redis;
      made.on('error', () => undefined); // Whoever connects it sees the rejection; an unheard event would be printed.
      return made;
    },
    send: (connection, name, args) => connection.sendCommand(new Command(name, args, { replyEncoding: null })) as Promise<unknown>,
  };
}

/** Publications and subscriptions reach every node of a cluster. */
function anyNode(cluster: Cluster): { host: string; port: number } | undefined {
  const nodes = cluster.nodes('master');
  const node = nodes[Math.floor(Math.random() * nodes.length)];
  return node === undefined ? undefined : { host: node.options.host ?? '127.0.0.1', port: node.options.port ?? 6379 };
}

/** What the first connection failed with: an error for the caller of `initialize`, or `undefined` where Redis may come yet. */
export function fatal(error: Error): UniversalAiError | undefined {
  const { code } = error as NodeJS.ErrnoException;
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN' || /ENOTFOUND|EAI_AGAIN/.test(error.message)) return badUrl('expected the name of a host that can be found');
  if (/CERT|SELF_SIGNED|UNABLE_TO_VERIFY/.test(code ?? '')) return badUrl(`expected a server whose certificate can be trusted (${code}); name its authority by ?ca=/path/ca.pem or NODE_EXTRA_CA_CERTS`);
  // A Sentinel's refusal comes as the end of another message.
  const login = error.name === 'ReplyError' ? ['NOAUTH', 'WRONGPASS', 'NOPERM'].includes(replyCode(error)) : / (NOAUTH|WRONGPASS|NOPERM) /.test(error.message);
  if (login) return new UniversalAiError('UAT_UNAUTHORIZED', `Redis refuses the login of the url: ${error.message}`, { details: { field: 'url' } });
  if (/DB index|invalid DB/i.test(error.message)) return badUrl('expected a database that the server has');
  if (/cluster support disabled/.test(error.message)) return badUrl('expected the nodes of a cluster, but this server belongs to none; use redis://');
  return undefined;
}

/** ioredis says only that no Sentinel was reached: a name that nobody knows has to be seen by ourselves. */
async function knowOne(hosts: RedisAddress['hosts'], withinMs: number): Promise<void> {
  const over = new AbortController();
  const found = Promise.any(hosts.map(({ host }) => lookup(host))).catch(() => { throw badUrl('expected the name of a host that can be found'); });
  // A slow name server is like a slow Redis: it may come yet.
  await Promise.race([found, sleep(withinMs, undefined, { signal: over.signal }).catch(() => undefined)]).finally(() => over.abort());
}

function retryStrategy(times: number): number {
  return Math.round(Math.min(FIRST_RETRY_MS * 2 ** Math.min(times - 1, 10), LONGEST_RETRY_MS) * (0.5 + Math.random() / 2));
}

async function tlsOptions({ ca, hosts }: RedisAddress): Promise<{ ca?: string; servername?: string }> {
  const host = hosts[0]?.host ?? '';
  // A certificate for several hosts is checked against the one that is connected, which Node does by itself.
  const name = hosts.length === 1 && !/^[\d.:]+$/.test(host) ? { servername: host } : {};
  if (ca === undefined) return name;
  try {
    return { ...name, ca: await readFile(ca, 'utf8') };
  } catch (cause) {
    throw new UniversalAiError('UAT_CONFIG', `url: expected ca to name a PEM file that can be read: ${(cause as NodeJS.ErrnoException).code ?? 'unreadable'}`, { details: { field: 'url', expected: 'a PEM file' } });
  }
}

async function load(): Promise<Ioredis> {
  try {
    const loaded = await import('ioredis') as Ioredis & { default?: Ioredis };
    // A CommonJS module: its names stand at the module or below `default`.
    return loaded.Redis === undefined ? loaded.default as Ioredis : loaded;
  } catch (cause) {
    throw new UniversalAiError('UAT_UNSUPPORTED', 'initialize: the TypeScript backend reaches Redis through the package ioredis, which is not installed; run npm install ioredis@6', { cause });
  }
}
