// Stands between the tests and the gateway, and finds out what of a refused request is refused.
//
// A test sees the first refusal only. Here the field that it names is taken out and the request sent again, until it is
// accepted or names no field: so one request with every parameter tells of all that are refused.

import { createServer, request } from "node:http";

/** Refusals that one request may consist of: more than any has parameters at its top. */
const LIMIT = 40;

/** Passes requests on to `upstream`. `refusals` has one entry for each field of each path that was refused. */
export async function record(upstream) {
  const refusals = new Map();
  const dropped = new Map();
  const server = createServer(async (incoming, outgoing) => {
    const parts = [];
    for await (const part of incoming) parts.push(part);
    const body = Buffer.concat(parts);
    const { host: _, "content-length": __, ...headers } = incoming.headers;
    try {
      const answer = await ask(upstream, incoming.method, incoming.url, headers, body);
      const pathname = new URL(incoming.url, upstream).pathname;
      note(dropped, pathname, answer.headers["x-uat-dropped"]);
      outgoing.writeHead(answer.status, answer.headers);
      outgoing.end(answer.body);
      if (answer.status >= 400) await investigate(refusals, dropped, pathname, answer, (again) => ask(upstream, incoming.method, incoming.url, headers, again), body);
    } catch {
      outgoing.destroy();
    }
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const close = () => new Promise((resolve) => server.close(resolve).closeAllConnections());
  return { url: `http://127.0.0.1:${server.address().port}`, refusals, dropped, close };
}

async function investigate(refusals, dropped, pathname, first, again, body) {
  let json;
  try {
    json = JSON.parse(body.toString());
  } catch {
    return;
  }
  let answer = first;
  for (let tries = 0; tries < LIMIT && answer.status >= 400; tries += 1) {
    const { field, message } = reason(answer);
    const key = `${pathname} ${field ?? message}`;
    if (!refusals.has(key)) refusals.set(key, { path: pathname, status: answer.status, field, message, value: field && at(json, field) });
    if (field === undefined || !remove(json, field)) return;
    answer = await again(Buffer.from(JSON.stringify(json)));
    note(dropped, pathname, answer.headers["x-uat-dropped"]);
  }
}

function note(dropped, pathname, header) {
  for (const field of header?.split(", ") ?? []) dropped.set(`${pathname} ${field}`, { path: pathname, field });
}

/** What an error says: OpenAI's form names the field, Anthropic's begins its message with it. */
export function reason({ body }) {
  try {
    const { error } = JSON.parse(body.toString());
    const said = /^(?:endpoint `[^`]*`: )?`?([a-z_]\w*(?:\[\d*\]|\.\w+)*)`?: /i.exec(error.message ?? "")?.[1];
    return { field: error.param ?? said, message: error.message ?? String(error) };
  } catch {
    return { message: body.toString().slice(0, 200) };
  }
}

const steps = (field) => field.split(/[.[\]]+/).filter(Boolean);

function at(json, field) {
  return steps(field).reduce((value, step) => value?.[step], json);
}

/** Takes a field out; where an element of a list is named, the whole list. */
function remove(json, field) {
  const names = steps(field);
  while (names.length > 1 && /^\d+$/.test(names.at(-1))) names.pop();
  const last = names.pop();
  const parent = at(json, names.join("."));
  if (parent === undefined || parent === null || !(last in Object(parent))) return false;
  delete parent[last];
  return true;
}

function ask(upstream, method, url, headers, body) {
  return new Promise((resolve, reject) => {
    const outgoing = request(upstream + url, { method, headers: { ...headers, "content-length": body.length } }, async (answer) => {
      // A stream that breaks off is what the client shall see too.
      const parts = [];
      answer.on("data", (part) => parts.push(part));
      answer.once("error", reject);
      answer.once("end", () => {
        const { "transfer-encoding": _, connection: __, ...kept } = answer.headers;
        resolve({ status: answer.statusCode, headers: kept, body: Buffer.concat(parts) });
      });
    });
    outgoing.once("error", reject);
    outgoing.end(body);
  });
}
