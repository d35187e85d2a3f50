// What provider.mjs does with one request, by name. Each is a function of the exchange; see `Exchange` there.

const CREATED = 1_700_000_000;
const GIGABYTE = 2 ** 30;

const chunk = (delta, finish = null, more = {}) => ({
  id: "chatcmpl-bench", object: "chat.completion.chunk", created: CREATED, model: "m",
  choices: [{ index: 0, delta, finish_reason: finish }], ...more,
});
const event = (document) => `data: ${typeof document === "string" ? document : JSON.stringify(document)}\n\n`;
const completion = (text) => ({
  id: "chatcmpl-bench", object: "chat.completion", created: CREATED, model: "m",
  choices: [{ index: 0, message: { role: "assistant", content: text }, finish_reason: "stop" }],
  usage: { prompt_tokens: 10, completion_tokens: 20, total_tokens: 30 },
});
const failure = { error: { message: "the model has crashed", type: "server_error", code: "internal_error", param: null } };
const framed = (data) => `${Buffer.byteLength(data).toString(16)}\r\n${data}\r\n`;

async function head(exchange, { status = "200 OK", type, length, more = [] } = {}) {
  const kind = type ?? (exchange.stream ? "text/event-stream" : "application/json");
  const size = length === undefined ? "transfer-encoding: chunked" : `content-length: ${length}`;
  await exchange.write(`HTTP/1.1 ${status}\r\ncontent-type: ${kind}\r\n${more.map((line) => `${line}\r\n`).join("")}${size}\r\n\r\n`);
}

/** A response with a whole body. */
async function whole(exchange, text, { length = Buffer.byteLength(text), ...rest } = {}) {
  await head(exchange, { ...rest, length });
  await exchange.write(text);
  exchange.ended = true;
}

const say = (exchange, document) => exchange.write(framed(event(document)));

/** The head, the role and so many pieces of a stream. */
async function begin(exchange, count, { between = async () => {}, only = exchange.pieces } = {}) {
  await exchange.wait(exchange.pace.first_ms);
  await head(exchange);
  await say(exchange, chunk({ role: "assistant", content: "" }));
  for (const [index, piece] of only.slice(0, count).entries()) {
    if (index > 0) await exchange.wait(exchange.pace.chunk_ms);
    await say(exchange, chunk({ content: piece }));
    await between(index);
  }
}

const finish = (exchange) => say(exchange, chunk({}, "stop"));
const usage = (exchange) => exchange.usage && say(exchange, { ...chunk({}), choices: [], usage: completion("").usage });
async function end(exchange, isDone = true) {
  if (isDone) await say(exchange, "[DONE]");
  await exchange.write("0\r\n\r\n");
  exchange.ended = true;
}

async function good(exchange) {
  if (!exchange.stream) {
    await exchange.wait(exchange.pace.first_ms);
    return whole(exchange, JSON.stringify(completion(exchange.text)));
  }
  await begin(exchange, Infinity);
  await finish(exchange);
  await usage(exchange);
  return end(exchange);
}

/** After ten pieces, or half of a whole body, something else happens. */
const afterTen = (then) => async (exchange) => {
  if (exchange.stream) await begin(exchange, 10);
  else {
    const text = JSON.stringify(completion(exchange.text));
    await head(exchange, { length: text.length });
    await exchange.write(text.slice(0, text.length / 2));
  }
  // What was written is on its way before the connection ends: a reset would discard it.
  await exchange.wait(20);
  return then(exchange);
};

const status = (line, body = JSON.stringify(failure), more = []) => (exchange) => whole(exchange, body, { status: line, type: "application/json", more });
const close = (exchange) => exchange.close();
const silence = (exchange) => exchange.silence();

async function drip(exchange) {
  const text = exchange.stream
    ? [chunk({ role: "assistant", content: "" }), ...exchange.pieces.map((piece) => chunk({ content: piece })), chunk({}, "stop"), "[DONE]"].map(event).join("")
    : JSON.stringify(completion(exchange.text));
  await head(exchange, { length: text.length });
  for (let at = 0; at < text.length; at += 17) {
    await exchange.write(text.slice(at, at + 17));
    await exchange.wait(1);
  }
  exchange.ended = true;
}

async function gigabyte(exchange) {
  const filler = "x".repeat(2 ** 20);
  const beginning = exchange.stream ? `data: {"id":"a","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"finish_reason":null,"delta":{"content":"` : `{"id":"a","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"finish_reason":"stop","message":{"role":"assistant","content":"`;
  await head(exchange, { length: GIGABYTE });
  await exchange.write(beginning);
  for (let sent = 0; sent < GIGABYTE && !exchange.socket.destroyed; sent += filler.length) await exchange.write(filler);
  exchange.close();
}

export const BEHAVIOURS = {
  good,
  // Nobody gets this far: the listener is closed.
  refuse: close,
  "not HTTP": async (exchange) => {
    await exchange.write("SSH-2.0-OpenSSH_9.6\r\n");
    exchange.close();
  },
  "headers never end": async (exchange) => {
    await exchange.write("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n");
    for (let line = 0; !exchange.socket.destroyed && line < 1e6; line += 1) {
      await exchange.write(`x-filler-${line}: a\r\n`);
      await exchange.wait(100);
    }
  },
  "huge headers": async (exchange) => {
    await exchange.write("HTTP/1.1 200 OK\r\n");
    for (let line = 0; line < 4096; line += 1) await exchange.write(`x-filler-${line}: ${"a".repeat(1024)}\r\n`);
    await exchange.write("content-length: 0\r\n\r\n");
  },
  500: status("500 Internal Server Error"),
  503: status("503 Service Unavailable"),
  "429, seconds": status("429 Too Many Requests", undefined, ["retry-after: 1"]),
  "429, date": (exchange) => status("429 Too Many Requests", undefined, [`retry-after: ${new Date(Date.now() + 2_000).toUTCString()}`])(exchange),
  401: status("401 Unauthorized"),
  404: status("404 Not Found"),
  302: status("302 Found", "", ["location: http://127.0.0.1:1/elsewhere"]),
  "error in 200": async (exchange) => whole(exchange, JSON.stringify(failure), { type: "application/json" }),
  "wrong JSON": async (exchange) => {
    const text = '{"choices":[{"index":0,"message":{"role":"assistant","content":"t0 t1"';
    return whole(exchange, exchange.stream ? event(text) : text);
  },
  "wrong type": async (exchange) => whole(exchange, "<html><body><h1>It works!</h1></body></html>", { type: "text/html" }),
  "empty body": async (exchange) => whole(exchange, ""),
  "length too long": async (exchange) => {
    const text = JSON.stringify(completion(exchange.text)).slice(0, -40);
    await head(exchange, { length: text.length + 40, type: exchange.stream ? "text/event-stream" : undefined });
    await exchange.write(exchange.stream ? exchange.pieces.slice(0, 3).map((piece) => event(chunk({ content: piece }))).join("") : text);
    exchange.close();
  },
  "length too short": async (exchange) => {
    const text = exchange.stream ? [...exchange.pieces.map((piece) => chunk({ content: piece })), chunk({}, "stop"), "[DONE]"].map(event).join("") : JSON.stringify(completion(exchange.text));
    await head(exchange, { length: text.length >> 1 });
    await exchange.write(text);
    exchange.close();
  },
  "close before head": close,
  "reset before head": (exchange) => exchange.close(true),
  "close before content": async (exchange) => {
    await begin(exchange, 0);
    await exchange.wait(5);
    exchange.close();
  },
  "hang before head": silence,
  "hang before content": async (exchange) => {
    await begin(exchange, 0);
    return exchange.silence();
  },
  "error before content": async (exchange) => {
    if (!exchange.stream) return whole(exchange, JSON.stringify(failure));
    await head(exchange);
    await say(exchange, failure);
    return end(exchange, false);
  },
  "endless preamble": async (exchange) => {
    await head(exchange);
    // White space before a JSON document, and comments in a stream of events, both mean nothing.
    for (let count = 0; !exchange.socket.destroyed && count < 6_000; count += 1) {
      await exchange.write(framed(exchange.stream ? ": still here\n\n" : " ".repeat(64)));
      await exchange.wait(10);
    }
    exchange.close();
  },
  "cut after 10": afterTen(close),
  "reset after 10": afterTen((exchange) => exchange.close(true)),
  "stall after 10": afterTen(silence),
  "error after 10": afterTen(async (exchange) => {
    if (!exchange.stream) return exchange.close();
    await say(exchange, failure);
    return end(exchange, false);
  }),
  "end after 10": afterTen(async (exchange) => (exchange.stream ? end(exchange, false) : exchange.close())),
  "[DONE] after 10": afterTen(async (exchange) => (exchange.stream ? end(exchange, true) : exchange.close())),
  "no [DONE]": async (exchange) => {
    await begin(exchange, Infinity);
    await finish(exchange);
    return end(exchange, false);
  },
  "garbage after 10": afterTen(async (exchange) => {
    await exchange.write(framed("data: {\"choices\":[{\"delta\":{\"con\n\n\u0000\u0001 nothing of this kind \n\n"));
    for (const piece of exchange.pieces.slice(10)) await say(exchange, chunk({ content: piece }));
    await finish(exchange);
    return end(exchange);
  }),
  "a chunk twice": async (exchange) => {
    await begin(exchange, Infinity, { between: async (index) => index === 10 && say(exchange, chunk({ content: exchange.pieces[index] })) });
    await finish(exchange);
    return end(exchange);
  },
  "role and finish twice": async (exchange) => {
    await begin(exchange, Infinity, { between: async (index) => index === 10 && say(exchange, chunk({ role: "assistant", content: "" })) });
    await finish(exchange);
    await finish(exchange);
    await say(exchange, "[DONE]");
    return end(exchange);
  },
  "content after the finish": async (exchange) => {
    await begin(exchange, 15);
    await finish(exchange);
    for (const piece of exchange.pieces.slice(15)) await say(exchange, chunk({ content: piece }));
    return end(exchange);
  },
  "invalid UTF-8": async (exchange) => {
    const bad = (text) => Buffer.concat([Buffer.from(text.split("t5")[0]), Buffer.from([0xc3, 0x28, 0xff]), Buffer.from(text.split("t5")[1])]);
    if (!exchange.stream) {
      const body = bad(JSON.stringify(completion(exchange.text)));
      await head(exchange, { length: body.length });
      await exchange.write(body);
      exchange.ended = true;
      return;
    }
    const text = [...exchange.pieces.map((piece) => chunk({ content: piece })), chunk({}, "stop"), "[DONE]"].map(event).join("");
    const body = bad(text);
    await head(exchange, { length: body.length });
    await exchange.write(body);
    exchange.ended = true;
  },
  "slow drip": drip,
  "a gigabyte": gigabyte,
};
