// An engine of the benchmark's own, and chats over HTTP with it or with a gateway, with the time of every event.

import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import http from "node:http";
import os from "node:os";
import path from "node:path";
import { performance } from "node:perf_hooks";
import { setTimeout as delay } from "node:timers/promises";

import { binary, start, stop } from "./processes.mjs";

/** The engine on a socket that no other program of this user knows. `to` is where to ask it; `end` ends it. */
export async function startEngine(flags = []) {
  const folder = mkdtempSync(path.join(os.tmpdir(), "uat-"));
  const socketPath = path.join(folder, "e.sock");
  const child = start(binary("uat-engine"), ["--socket", socketPath, ...flags], { stdio: ["ignore", "ignore", "inherit"] });
  const end = async () => {
    await stop(child);
    rmSync(folder, { recursive: true, force: true });
  };
  const to = { socketPath };
  const deadline = Date.now() + 20_000;
  for (;;) {
    const health = await get(to, "/health").catch(() => null);
    if (health) return { to, child, health, end };
    if (child.exitCode !== null || Date.now() > deadline) {
      await end();
      throw new Error(`uat-engine ${flags.join(" ")} did not answer; it ended with ${child.exitCode}`);
    }
    await delay(20);
  }
}

/** A JSON document of the engine or the gateway. */
export async function get(to, what) {
  const response = await new Promise((resolve, reject) => {
    http.get({ ...to, path: what, agent: false }, resolve).on("error", reject);
  });
  let text = "";
  for await (const data of response) text += data;
  if (response.statusCode !== 200) throw new Error(`${what} answered ${response.statusCode}: ${text}`);
  return JSON.parse(text);
}

/** What the engine counts once nothing is under way any more, or when patience is over: 5 s, for a busy machine. */
export async function settled(to) {
  const deadline = Date.now() + 5_000;
  for (;;) {
    const stats = await get(to, "/v1/stats");
    if (stats.active + stats.queued === 0 || Date.now() > deadline) return stats;
    await delay(20);
  }
}

/**
 * One streamed chat. Resolves however it ends: `error` is the typed error's object, or `{ cut }` where the connection
 * broke without one. Times are in ms of `performance.now()`; `times` has one for each piece of text, and `firstAt` is when
 * the first token was there, which may be the one that ends the answer.
 */
export async function chat(to, body, { signal, onText } = {}) {
  const answer = { status: 0, text: "", finish: null, usage: null, error: null, code: null, times: [], sentAt: performance.now(), firstAt: null, endedAt: 0 };
  const payload = JSON.stringify({ ...body, stream: true, stream_options: { include_usage: true } });
  try {
    const response = await new Promise((resolve, reject) => {
      const request = http.request({
        ...to, path: "/v1/chat/completions", method: "POST", agent: false, signal,
        headers: { "content-type": "application/json", "content-length": Buffer.byteLength(payload) },
      });
      request.once("response", resolve);
      // For good: an error after the response began also comes here, and without a listener it would end the process.
      request.on("error", reject);
      request.end(payload);
    });
    answer.status = response.statusCode;
    answer.code = response.headers["x-uat-code"] ?? null;
    let rest = "";
    response.setEncoding("utf8");
    for await (const data of response) {
      rest += data;
      if (answer.status !== 200) continue;
      const lines = rest.split("\n");
      rest = lines.pop();
      for (const line of lines) if (line.startsWith("data: {")) take(answer, JSON.parse(line.slice(6)), onText);
    }
    if (answer.status !== 200) answer.error = JSON.parse(rest).error;
  } catch (error) {
    answer.error ??= { cut: error.code ?? error.name, message: error.message };
  }
  answer.endedAt = performance.now();
  return answer;
}

function take(answer, event, onText) {
  if (event.error) answer.error = event.error;
  if (event.usage) answer.usage = event.usage;
  const [choice] = event.choices ?? [];
  if (choice?.finish_reason) answer.finish = choice.finish_reason;
  const text = choice?.delta?.content;
  if (text || choice?.finish_reason) answer.firstAt ??= performance.now();
  if (!text) return;
  answer.times.push(performance.now());
  answer.text += text;
  onText?.(answer);
}

/** The same, where anything but a complete answer means that nothing was measured. */
export async function answered(to, body, options) {
  const answer = await chat(to, body, options);
  if (answer.error || !answer.finish) {
    throw new Error(`expected a complete answer, got ${JSON.stringify(answer.error ?? answer.text)}`);
  }
  return answer;
}

/** Time to the first token, in ms. */
export const firstToken = ({ firstAt, sentAt }) => firstAt - sentAt;

/** Tokens per second of the prompt: all of them until the first token of the answer is there. */
export const promptRate = (answer) => answer.usage.prompt_tokens / (firstToken(answer) / 1000);

/** Tokens per second after the first one. */
export const generationRate = ({ usage, firstAt, endedAt }) => (usage.completion_tokens - 1) / ((endedAt - firstAt) / 1000);

/** Memory of a process in MiB: all that is resident, and the part of it that is not a file's. */
export function memory(pid) {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  const mib = (name) => Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)[1]) / 1024;
  return { resident_mib: mib("VmRSS"), anonymous_mib: mib("RssAnon") };
}

/** Numbers from 0 to 1 that are the same in each run: xorshift32, whose quality is plenty for making up prompts. */
export function seeded(seed) {
  let state = seed * 2_654_435_761 >>> 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state / 2 ** 32;
  };
}

/** From 0 to below `count`. */
export const below = (random, count) => Math.floor(random() * count);

/** Common words, each one token with a space before it in most vocabularies. */
const WORDS = ("time year people way day man thing woman life child world school state family student group country problem hand part " +
  "place case week company system program question work night point home water room mother area money story fact month lot " +
  "right study book eye job word business issue side kind head house service friend father power hour game line end member " +
  "law car city name team minute idea body back parent face level office door health person art war history party result " +
  "change morning reason research girl guy moment air teacher force").split(" ");

/** So many words: about as many tokens, and with different seeds no common beginning. */
export const words = (random, count) => Array.from({ length: count }, () => WORDS[below(random, WORDS.length)]).join(" ");
