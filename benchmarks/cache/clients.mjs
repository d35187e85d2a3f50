// Our service and its peers behind the same few calls, for a process that has one of them and nothing else.

import path from "node:path";

import { peerModule } from "../engine/peers.mjs";
import { repository } from "../measure/processes.mjs";

/** What a client that waits for a slow answer may take where patience is not what is measured. */
const PATIENT_MS = 10_000;

/**
 * Opens a client by name. Each is as its documentation shows it, with its own defaults, but where `patient` is set:
 * then no time limit of a client's own may end a call that is merely slow.
 *
 * @returns {Promise<{ get(key: string): Promise<unknown>, set(key: string, value: string): Promise<unknown>, close(): unknown }>}
 */
export async function openClient(name, { url, patient = true, near = false, more = {} }) {
  return await OPENERS[name]({ url, patient, near, more });
}

/** Those that are asked for a value over a connection. */
export const OVER_REDIS = ["ours", "ioredis", "ioredis, auto-pipelining", "node-redis", "GLIDE"];

const OPENERS = { ours, ioredis: (task) => ioredis(task, false), "ioredis, auto-pipelining": (task) => ioredis(task, true), "node-redis": nodeRedis, GLIDE: glide, keyv };

/** The class that users get, on the native backend; anything else would be another product. */
export async function openService(options) {
  const { RedisService } = await import(path.join(repository, "dist", "services", "redis-service-rust.js"));
  const service = new RedisService();
  if (service.backend.kind !== "native") throw new Error(`the native backend is missing: ${JSON.stringify(service.backend)}`);
  await service.initialize(options);
  return service;
}

async function ours({ url, patient, near, more }) {
  const patience = patient ? { readBudgetMs: PATIENT_MS, commandTimeoutMs: PATIENT_MS } : {};
  const service = await openService({ url, nearCache: near, ...patience, ...more });
  if (service.status().mode !== "redis") throw new Error(`our service began in mode ${service.status().mode}: ${service.status().lastError}`);
  return { get: (key) => service.get(key), set: (key, value) => service.set(key, value), close: () => service.close(), service };
}

async function ioredis({ url, more }, enableAutoPipelining) {
  const client = new (peerModule("ioredis").Redis)(url, { enableAutoPipelining, ...more });
  // It goes on by itself; what a call was told is what counts.
  client.on("error", () => {});
  await client.ping();
  return { get: (key) => client.get(key), set: (key, value) => client.set(key, value), close: () => client.disconnect(), client };
}

async function nodeRedis({ url, near, more }) {
  const cached = near ? { RESP: 3, clientSideCache: { ttl: 0, maxEntries: 0, evictPolicy: "LRU" } } : {};
  const client = peerModule("redis").createClient({ url, ...cached, ...more });
  client.on("error", () => {});
  await client.connect();
  return { get: (key) => client.get(key), set: (key, value) => client.set(key, value), close: () => client.destroy(), client };
}

async function glide({ url, patient, near, more }) {
  const { GlideClient, ClientSideCache, ProtocolVersion, Logger } = peerModule("@valkey/valkey-glide");
  Logger.init("off");
  const { hostname, port } = new URL(url);
  const cached = near ? { clientSideCache: ClientSideCache.create(262_144, 0, { serverAssisted: true }) } : {};
  const patience = patient ? { requestTimeout: PATIENT_MS } : {};
  const client = await GlideClient.createClient({ addresses: [{ host: hostname, port: Number(port) }], protocol: ProtocolVersion.RESP3, ...patience, ...cached, ...more });
  return { get: (key) => client.get(key), set: (key, value) => client.set(key, value), close: () => client.close(), client };
}

async function keyv({ url }) {
  const { Keyv } = peerModule("keyv");
  const { default: KeyvRedis } = peerModule("@keyv/redis");
  const client = new Keyv({ store: new KeyvRedis(url) });
  client.on("error", () => {});
  await client.get("warm");
  return { get: (key) => client.get(key), set: (key, value) => client.set(key, value), close: () => client.disconnect() };
}
