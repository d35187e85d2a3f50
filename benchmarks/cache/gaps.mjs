// Subscribers whose connections are killed while numbered messages come: how many are lost, and who says so.

import { setTimeout as delay } from "node:timers/promises";

import { peerModule } from "../engine/peers.mjs";
import { markdownTable } from "../measure/report.mjs";
import { Child } from "./children.mjs";
import { openService } from "./clients.mjs";
import { exactly, shown } from "../measure/goals.mjs";
import { Redis } from "./redis.mjs";

export const title = "Gaps of a subscription";

const SUBSCRIBERS = ["ours", "ioredis", "node-redis", "GLIDE"];
const CHANNEL = "bench:numbers";
/** Between two kills; node-redis and ioredis wait 50 ms before they connect again, and GLIDE longer. */
const PACE_MS = 150;
/** How far the clocks of "published" and "noticed" may be apart: a message under way, a tick of the event loop. */
const TOLERANCE_MS = 5;
/** All that try again have done so by then. */
const SETTLE_MS = 2500;

export async function run({ quick, say }) {
  const kills = quick ? 20 : 200;
  const redis = await Redis.start();
  const children = {};
  const failed = [];
  try {
    for (const name of SUBSCRIBERS) {
      try {
        children[name] = await Child.open("gaps", { name, url: redis.url });
      } catch (error) {
        if (name === "ours") throw error;
        failed.push(`Not measured: ${name}: ${error.message.split("\n")[0]}`);
      }
    }
    const published = [];
    let stop = false;
    const publisher = (async () => {
      while (!stop) {
        const from = now();
        await redis.control.publish(CHANNEL, String(published.length + 1));
        published.push([from, now()]);
        if (published.length % 4 === 0) await delay(1);
      }
    })();
    await delay(300);
    let killed = 0;
    for (let kill = 0; kill < kills; kill += 1) {
      // Neither in step with anybody's timer.
      await delay(PACE_MS * (0.7 + 0.6 * Math.random()));
      killed += await redis.control.client("KILL", "TYPE", "pubsub");
    }
    await delay(SETTLE_MS);
    stop = true;
    await publisher;
    say(`  ${killed} connections killed, ${published.length} messages published`);
    await delay(300);
    const raw = [];
    for (const [name, child] of Object.entries(children)) raw.push({ round: 1, client: name, ...judged(await child.ask("seen"), published) });
    const [ours] = raw;
    return {
      claims: [
        exactly("missing messages between which a gap was reported, %", 100, ours.lost === 0 ? NaN : (100 * ours.reported) / ours.lost),
        exactly("missing messages within the time that the gap tells, %", 100, ours.lost === 0 ? NaN : (100 * ours.in_time) / ours.lost),
        shown("messages that were missing", [ours.lost]),
        shown("gaps reported", [ours.gaps]),
        shown("the longest time that a gap told, ms", [ours.longest_since_ms]),
        shown("gaps reported though nothing was missing", [ours.idle_gaps]),
      ],
      tables: [markdownTable(["subscriber", "messages received", "missing", "of these in a reported gap", "gaps reported", "twice or out of order"], raw.map((row) => [row.client, row.received, row.lost, row.reported, row.client === "ours" ? row.gaps : "no such report", row.unordered]))],
      notes: [
        `${kills} times \`CLIENT KILL TYPE pubsub\` from outside, about every ${PACE_MS} ms, which ends the connections of all four at once. A message is missing if it was published after the first that the subscriber got.`,
        `Reported: the subscriber was told of a gap after the message before and before the message after. Within the time: published no more than \`sinceMs\` (and ${TOLERANCE_MS} ms) before it was told.`,
        "A gap without a missing message is no fault: messages may have been lost. The peers tell of a closed connection by an event of the client; none of them says of a subscription that messages may be missing.",
        ...failed,
      ],
      raw,
    };
  } finally {
    await Promise.all(Object.values(children).map((child) => child.close()));
    await redis.stop();
  }
}

/** Milliseconds on the clock that all processes share. */
function now() {
  return Number(process.hrtime.bigint()) / 1e6;
}

/** @param events Numbers as they came, and gaps as `[noticed at, sinceMs]`. @param published When each number was, from 1 on. */
function judged(events, published) {
  const result = { received: 0, lost: 0, reported: 0, in_time: 0, gaps: 0, idle_gaps: 0, unordered: 0, longest_since_ms: 0 };
  let last;
  let gaps = [];
  const close = (next) => {
    if (next > last + 1) {
      for (let number = last + 1; number < next; number += 1) {
        const [start, end] = published[number - 1];
        result.lost += 1;
        if (gaps.length > 0) result.reported += 1;
        if (gaps.some(([at, sinceMs]) => end >= at - sinceMs - TOLERANCE_MS && start <= at + TOLERANCE_MS)) result.in_time += 1;
      }
    } else result.idle_gaps += gaps.length;
    gaps = [];
  };
  for (const event of events) {
    if (typeof event === "number") {
      if (last !== undefined && event <= last) result.unordered += 1;
      else {
        if (last !== undefined) close(event);
        last = event;
      }
      result.received += 1;
    } else {
      result.gaps += 1;
      result.longest_since_ms = Math.max(result.longest_since_ms, event[1]);
      if (last !== undefined) gaps.push(event);
    }
  }
  if (last !== undefined) close(published.length + 1);
  return result;
}

export async function child({ name, url }) {
  const events = [];
  await SUBSCRIBE[name](url, (message) => events.push(Number(message)), (gap) => events.push(gap));
  return { seen: async () => events };
}

const SUBSCRIBE = {
  async ours(url, message, gap) {
    const service = await openService({ url, nearCache: false });
    void (async () => {
      for await (const event of service.subscribe(CHANNEL)) {
        if (event.type === "message") message(event.message);
        else gap([now(), event.sinceMs]);
      }
    })();
  },
  async ioredis(url, message) {
    const client = new (peerModule("ioredis").Redis)(url);
    client.on("error", () => {});
    client.on("message", (_, text) => message(text));
    await client.subscribe(CHANNEL);
  },
  async "node-redis"(url, message) {
    const client = peerModule("redis").createClient({ url });
    client.on("error", () => {});
    await client.connect();
    await client.subscribe(CHANNEL, message);
  },
  async GLIDE(url, message) {
    const { GlideClient, GlideClientConfiguration, ProtocolVersion, Logger } = peerModule("@valkey/valkey-glide");
    Logger.init("off");
    const { hostname, port } = new URL(url);
    const pubsubSubscriptions = { channelsAndPatterns: { [GlideClientConfiguration.PubSubChannelModes.Exact]: new Set([CHANNEL]) }, callback: ({ message: text }) => message(text) };
    // Kept from the collector by the callback of its own socket.
    await GlideClient.createClient({ addresses: [{ host: hostname, port: Number(port) }], protocol: ProtocolVersion.RESP3, pubsubSubscriptions });
  },
};
