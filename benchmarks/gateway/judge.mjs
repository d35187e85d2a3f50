// One request as a client makes it, and what became of it. The judge reads answers by itself and believes no gateway.

import http from "node:http";

import { TEXT } from "./text.mjs";

/** Of an answer so much is read; more is certainly not the expected one. */
const MOST_BYTES = 8 * 2 ** 20;

/** What can become of a request, the best first. */
export const OUTCOMES = {
  complete: "the right text, and a finish reason",
  typed: "an error that a program can read: a status with an error object, or an error event in the stream",
  broken: "an error without a form: a connection that ended, or a status without an error object",
  wrong: "no error, and not the right text: cut short, doubled or changed",
  hang: "nothing came to an end within the patience of the client",
};

/**
 * Sends one chat request and resolves with `{ outcome, why, prefix, ms, status }`. `prefix`: whether the text that was
 * seen is a beginning of the right one.
 */
export function ask(gateway, { stream, agent, patience_ms, prompt = "Count.", more = {} }) {
  const body = JSON.stringify({ model: gateway.model, stream, messages: [{ role: "user", content: prompt }], ...more });
  const from = performance.now();
  let text = "";
  let status = 0;
  let headers = {};
  return new Promise((resolve) => {
    const settle = (outcome) => {
      clearTimeout(patience);
      resolve({ ms: performance.now() - from, status, headers, ...outcome });
    };
    const request = http.request(`${gateway.url}/v1/chat/completions`, {
      method: "POST",
      agent,
      headers: { "content-type": "application/json", "content-length": Buffer.byteLength(body), ...gateway.headers },
    });
    const patience = setTimeout(() => {
      settle({ outcome: "hang", why: `status ${status}, ${text.length} bytes after ${patience_ms} ms`, prefix: seenSoFar(stream, text) });
      request.destroy();
    }, patience_ms);
    const broken = (error) => settle({ outcome: "broken", why: error.code ?? error.message, prefix: seenSoFar(stream, text) });
    request.on("error", broken);
    request.once("response", (response) => {
      ({ statusCode: status, headers } = response);
      response.setEncoding("utf8");
      response.on("data", (data) => {
        text += data;
        if (text.length <= MOST_BYTES) return;
        settle({ outcome: "wrong", why: `more than ${MOST_BYTES} bytes`, prefix: false });
        request.destroy();
      });
      response.on("error", broken);
      response.on("end", () => settle(status === 200 ? (stream ? ofStream(text) : ofWhole(text)) : ofError(status, text)));
    });
    request.end(body);
  });
}

function ofError(status, text) {
  const { error } = parsed(text) ?? {};
  const isTyped = status >= 400 && (typeof error === "string" || typeof (error?.message ?? error?.code) === "string");
  return { outcome: isTyped ? "typed" : "broken", why: `status ${status}: ${text.slice(0, 160)}`, prefix: true };
}

function ofWhole(text) {
  const document = parsed(text);
  if (document?.error !== undefined && document.choices === undefined) {
    return { outcome: "typed", why: `error in 200: ${text.slice(0, 160)}`, prefix: true };
  }
  const choice = document?.choices?.[0];
  const got = choice?.message?.content;
  // A body that is no JSON is an exception in every client.
  if (document === null) return { outcome: "broken", why: `no JSON: ${text.slice(0, 160)}`, prefix: true };
  if (got === TEXT && choice.finish_reason === "stop") return { outcome: "complete", prefix: true };
  return { outcome: "wrong", why: `text ${JSON.stringify(got ?? text).slice(0, 160)}, finish ${choice?.finish_reason}`, prefix: typeof got === "string" && TEXT.startsWith(got) };
}

function ofStream(text) {
  const seen = read(text);
  const prefix = TEXT.startsWith(seen.text);
  if (seen.error !== null) return { outcome: "typed", why: `error event: ${seen.error}`, prefix };
  if (seen.isGarbled) return { outcome: "broken", why: `an event that is no JSON, after ${JSON.stringify(seen.text)}`, prefix };
  if (seen.text === TEXT && seen.finish === "stop") return { outcome: "complete", prefix, isDone: seen.isDone };
  // Without any event there is nothing that a client could take for an answer.
  if (seen.events === 0) return { outcome: "broken", why: `a stream without an event: ${text.slice(0, 160)}`, prefix };
  return { outcome: "wrong", why: `text ${JSON.stringify(seen.text)}, finish ${seen.finish}, [DONE] ${seen.isDone}`, prefix };
}

const seenSoFar = (stream, text) => !stream || TEXT.startsWith(read(text.slice(0, text.lastIndexOf("\n\n") + 2)).text);

/** A stream as clients read it: events that are no JSON are remembered, and end the reading as they end theirs. */
function read(text) {
  const seen = { text: "", finish: null, isDone: false, error: null, isGarbled: false, events: 0 };
  for (const block of text.split(/\r?\n\r?\n/)) {
    const data = block.split(/\r?\n/).filter((line) => line.startsWith("data:")).map((line) => line.slice(5).trim()).join("\n");
    if (data === "") continue;
    seen.events += 1;
    if (data === "[DONE]") {
      seen.isDone = true;
      continue;
    }
    const document = parsed(data);
    if (document === null) {
      seen.isGarbled = true;
      break;
    }
    if (document.error !== undefined && document.error !== null) {
      seen.error = JSON.stringify(document.error).slice(0, 160);
      break;
    }
    for (const choice of document.choices ?? []) {
      seen.text += choice.delta?.content ?? "";
      seen.finish ??= choice.finish_reason ?? null;
    }
  }
  return seen;
}

function parsed(text) {
  try {
    const document = JSON.parse(text);
    return typeof document === "object" ? document : null;
  } catch {
    return null;
  }
}
