// A provider that fails as told, down to the bytes: a program of its own, started with `fork` by backend.mjs. It writes
// HTTP by hand, because what it exists for no HTTP library does; and it shares nothing with the product, nor with the
// fake provider that the product is tested with.
//
// It also answers what routers ask of a worker before they use it. A trailing assistant message is continued, as servers
// of models do with `continue_final_message`.

import { once } from "node:events";
import { readFileSync } from "node:fs";
import net from "node:net";
import tls from "node:tls";
import { setTimeout as delay } from "node:timers/promises";

import { BEHAVIOURS } from "./behaviours.mjs";
import { PIECES, TEXT } from "./text.mjs";

const { port = 0, key, cert, backlog, chunk_ms = 2, first_ms = 0 } = JSON.parse(process.argv[2] ?? "{}");
let behaviour = "good";
let pace = { chunk_ms, first_ms };
/** Chat requests, and connections, that met the present behaviour. */
let asked = 0;
let connections = 0;
const open = new Set();

/** One clock for all processes of a machine, which `performance.timeOrigin` is not. */
const monotonicMs = () => Number(process.hrtime.bigint()) / 1e6;

const serve = (socket) => {
  open.add(socket);
  connections += 1;
  socket.setNoDelay?.(true);
  socket.on("error", () => {});
  let current = null;
  socket.on("close", () => {
    open.delete(socket);
    if (current !== null && !current.ended) process.send?.({ gone: monotonicMs() });
  });
  let waiting = Buffer.alloc(0);
  let isBusy = false;
  socket.on("data", async (data) => {
    waiting = Buffer.concat([waiting, data]);
    if (isBusy) return;
    isBusy = true;
    for (let request = take(); request !== null && !socket.destroyed; request = take()) await answer(socket, request, (exchange) => (current = exchange));
    isBusy = false;
  });

  function take() {
    const end = waiting.indexOf("\r\n\r\n");
    if (end < 0) return null;
    const head = waiting.subarray(0, end).toString("latin1");
    const length = Number(/\r\ncontent-length: *(\d+)/i.exec(head)?.[1] ?? 0);
    let body;
    let next = end + 4;
    if (/\r\ntransfer-encoding: *chunked/i.test(head)) {
      const whole = unchunked(waiting.subarray(next));
      if (whole === null) return null;
      body = whole.body;
      next += whole.size;
    } else {
      if (waiting.length < next + length) return null;
      body = waiting.subarray(next, next + length);
      next += length;
    }
    waiting = waiting.subarray(next);
    const [method, path] = head.split(" ", 2);
    return { method, path, body };
  }
};

/** The body of a chunked request and the bytes it took, or null while it is not complete. */
function unchunked(bytes) {
  const parts = [];
  for (let at = 0; ; ) {
    const line = bytes.indexOf("\r\n", at);
    if (line < 0) return null;
    const size = Number.parseInt(bytes.subarray(at, line).toString("latin1"), 16);
    if (bytes.length < line + 2 + size + 2) return null;
    if (size === 0) return { body: Buffer.concat(parts), size: line + 4 };
    parts.push(bytes.subarray(line + 2, line + 2 + size));
    at = line + 2 + size + 2;
  }
}

async function answer(socket, { method, path, body }, under) {
  // A router that tries HTTP/2 first, as one that also speaks gRPC.
  if (method === "PRI" || path === undefined) return socket.end("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n");
  if (method !== "POST" || !path.includes("/chat/completions")) return socket.write(about(path));
  asked += 1;
  process.send?.({ asked });
  const request = JSON.parse(body);
  const done = [...(request.messages ?? [])].at(-1);
  const begun = done?.role === "assistant" && typeof done.content === "string" && TEXT.startsWith(done.content) ? done.content : "";
  const exchange = new Exchange(socket, request, begun);
  under(exchange);
  await BEHAVIOURS[behaviour](exchange);
}

/** One answer, from its head to its end. */
class Exchange {
  constructor(socket, request, begun) {
    this.socket = socket;
    this.stream = request.stream === true;
    this.usage = request.stream_options?.include_usage === true;
    this.text = TEXT.slice(begun.length);
    this.pieces = begun === "" ? PIECES : rest(begun);
    this.pace = pace;
    this.ended = false;
  }

  /** Writes, and waits while the client is slow to read. */
  async write(data) {
    if (this.socket.destroyed) return;
    if (this.socket.write(data)) return;
    const done = new AbortController();
    await Promise.race(["drain", "close"].map((one) => once(this.socket, one, { signal: done.signal }).catch(() => {})));
    done.abort();
  }

  /** Ends with a FIN, or with a reset. */
  close(isReset = false) {
    this.ended = true;
    if (isReset) this.socket.resetAndDestroy();
    else this.socket.end();
  }

  wait(ms) {
    return delay(ms, undefined, { ref: false });
  }

  /** The promise of a provider that says nothing more. */
  silence() {
    return new Promise((resolve) => this.socket.once("close", resolve));
  }
}

/** What is left to say after a beginning, in pieces. */
function rest(begun) {
  let at = 0;
  return PIECES.flatMap((piece) => {
    const from = Math.max(at, begun.length);
    at += piece.length;
    return at > from ? [TEXT.slice(from, at)] : [];
  });
}

/** What routers ask for before they use a worker. */
function about(path) {
  const document = path.includes("/models") ? { object: "list", data: [{ id: "m", object: "model", owned_by: "bench", max_model_len: 8192 }] } : { status: "ok", model_path: "m", model_id: "m", served_model_name: "m", is_generation: true, max_model_len: 8192 };
  const text = JSON.stringify(document);
  return `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ${text.length}\r\n\r\n${text}`;
}

const server = key === undefined ? net.createServer(serve) : tls.createServer({ key: readFileSync(key), cert: readFileSync(cert) }, serve);
// A handshake that the client breaks off is what a TLS fault looks like from here.
server.on("tlsClientError", () => (connections += 1));
const listen = (at) => new Promise((resolve) => server.listen({ port: at, host: "127.0.0.1", ...(backlog === undefined ? {} : { backlog }) }, resolve));
await listen(port);
const bound = server.address().port;

process.on("message", async (message) => {
  if (message.behaviour !== undefined) {
    behaviour = message.behaviour;
    pace = { chunk_ms, first_ms, ...message.pace };
    [asked, connections] = [0, 0];
    const isDeaf = behaviour === "refuse" || behaviour === "reset on accept";
    for (const socket of open) if (isDeaf || message.fresh) socket.destroy();
    if (isDeaf && server.listening) await new Promise((resolve) => server.close(resolve));
    if (!isDeaf && !server.listening) await listen(bound);
  }
  process.send({ reply: message.id, port: bound, asked, connections });
});
process.on("disconnect", () => process.exit());
process.send({ reply: 0, port: bound, asked, connections });
