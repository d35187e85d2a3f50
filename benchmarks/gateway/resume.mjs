// Streams of two real engines with the same model, cut or stalled at a random chunk: how many are complete, and whether
// at temperature 0 the text is the one that an uncut answer has.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import http from "node:http";
import path from "node:path";

import { binary, enginesOf, freePort, startGateway, stop } from "../measure/processes.mjs";
import { markdownTable } from "../measure/report.mjs";
import { atLeast, shown } from "../measure/goals.mjs";

export const title = "Streams cut or stalled at a random chunk, two engines with the same model";

const MODEL = "smollm2-135m";
const MAX_TOKENS = 64;
/** Shorter than the default, so that a stall is found out within the patience of a benchmark. */
const IDLE_MS = 1_500;
const FAULTS = ["end", "close", "reset", "stall"];
const SUBJECTS = ["the sea", "bread", "a clock", "winter", "bees", "a railway", "music", "rain", "glass", "a letter", "salt", "the moon", "paper", "a garden", "iron", "sleep", "a bridge", "milk", "stars", "a market"];
const FORMS = ["Write three sentences about", "Explain to a child what is special about", "List four facts about", "Tell a short story about", "Why do people care about"];

export async function run({ quick, say, setup }) {
  const count = quick ? 16 : 200;
  const folder = mkdtempSync(path.join(setup.folder, "resume-"));
  const uat = setup.uat ?? binary("uat");
  const started = [];
  try {
    const engines = [];
    for (const name of ["a", "b"]) engines.push(await engine(uat, path.join(folder, name), started));
    const cutters = [];
    for (const { url } of engines) cutters.push(await Cutter.start(url));
    started.push(...cutters.map((cutter) => () => cutter.stop()));
    const gateway = await gatewayOver(uat, folder, cutters.map(({ url }) => url));
    started.push(() => stop(gateway.child));

    const raw = [];
    for (let index = 0; index < count; index += 1) {
      const prompt = `${FORMS[index % FORMS.length]} ${SUBJECTS[Math.floor(index / FORMS.length) % SUBJECTS.length]}.`;
      // Every other one at temperature 0, where the text is known; at 0.8 another answer would be as right.
      const temperature = index % 2 === 0 ? 0 : 0.8;
      const whole = await ask(engines[0].url, `whole-${index}`, prompt, temperature);
      const after = 1 + Math.floor(fraction(index) * Math.max(1, whole.chunks - 1));
      const fault = FAULTS[Math.floor(index / 2) % FAULTS.length];
      const id = `cut-${index}`;
      const plan = { id, after, fault, left: 1 };
      for (const cutter of cutters) cutter.plan = plan;
      const got = await ask(gateway.url, id, prompt, temperature);
      const met = plan.left === 0;
      raw.push({ index, temperature, fault, after, chunks: whole.chunks, met, complete: got.complete, equal: got.text === whole.text, differs_at: differsAt(whole.text, got.text), tokens: got.usage?.completion_tokens, tokens_whole: whole.usage?.completion_tokens, error: got.error });
      if (!got.complete) say(`  ${id}: ${got.error}`);
      if (index % 20 === 19) say(`  ${index + 1} of ${count}`);
    }
    const met = raw.filter((one) => one.met);
    const greedy = met.filter((one) => one.temperature === 0 && one.complete);
    const share = (list, wanted) => (list.length === 0 ? 0 : (100 * list.filter(wanted).length) / list.length);
    const rows = FAULTS.map((fault) => {
      const of = met.filter((one) => one.fault === fault);
      const still = greedy.filter((one) => one.fault === fault);
      return [fault, of.length, of.filter((one) => one.complete).length, `${still.filter((one) => one.equal).length} of ${still.length}`];
    });
    return {
      raw,
      claims: [
        atLeast("streams complete, %", 95, [share(met, (one) => one.complete)]),
        atLeast("temperature 0: the uncut text, token for token, %", 100, [share(greedy, (one) => one.equal)]),
        shown("streams that were cut or stalled", [met.length]),
        shown("temperature 0: completion tokens counted as for the uncut text, %", [share(greedy, (one) => one.tokens === one.tokens_whole)]),
      ],
      tables: [markdownTable(["fault", "met", "complete", "temperature 0: same text"], rows)],
      notes: [
        `Two \`uat serve\` with an engine each (kv_type = "f32", which makes greedy answers depend less on what else an engine was asked), ${MODEL}, ${MAX_TOKENS} tokens at most; in front of each a proxy that ends the body properly, closes, resets or falls silent after so many events; idle_timeout_ms ${IDLE_MS}.`,
        "No peer has a mid-stream continuation that could be measured so; what they do when a stream is cut is in the parts faults and matrix.",
      ],
    };
  } finally {
    for (const end of started.reverse()) await end();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Where two texts part, with what was to come: enough to see why. */
function differsAt(whole, got) {
  if (whole === got) return undefined;
  let at = 0;
  while (at < whole.length && whole[at] === got[at]) at += 1;
  return `${at}: ${JSON.stringify(whole.slice(Math.max(0, at - 30), at + 30))} became ${JSON.stringify(got.slice(at, at + 30))}`;
}

/** The same number for the same index in each run. */
function fraction(index) {
  return ((index * 2654435761) % 2 ** 32) / 2 ** 32;
}

/** A server with an engine of its own: engines are one for each private folder. */
async function engine(uat, folder, started) {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const port = await freePort();
  const file = path.join(folder, "uat.toml");
  writeFileSync(
    file,
    `[server]\nbind = "127.0.0.1:${port}"\n[cache]\nexact = false\n[[endpoints]]\nname = "engine"\nprotocol = "uat-engine"\n[[models]]\nname = "${MODEL}"\nendpoints = [{ endpoint = "engine" }]\n[engine]\nthreads = 1\nkv_type = "f32"\n`,
  );
  const url = `http://127.0.0.1:${port}`;
  const { child } = await startGateway(uat, file, url, { XDG_RUNTIME_DIR: folder });
  started.push(async () => {
    await stop(child);
    for (const pid of enginesOf(folder)) process.kill(pid, "SIGTERM");
  });
  return { url };
}

async function gatewayOver(uat, folder, urls) {
  const port = await freePort();
  const file = path.join(folder, "gateway.toml");
  const endpoints = urls.map((url, index) => `[[endpoints]]\nname = "e${index}"\nprotocol = "openai"\nbase_url = "${url}"\nidle_timeout_ms = ${IDLE_MS}\nresume = "prefill"\n`).join("");
  const places = urls.map((_, index) => `{ endpoint = "e${index}" }`).join(", ");
  writeFileSync(file, `[server]\nbind = "127.0.0.1:${port}"\n[cache]\nexact = false\n[engine]\nenabled = false\n${endpoints}[[models]]\nname = "${MODEL}"\nendpoints = [${places}]\nbalance = "round-robin"\n`);
  return startGateway(uat, file, `http://127.0.0.1:${port}`);
}

async function ask(url, id, prompt, temperature) {
  const body = { model: MODEL, messages: [{ role: "user", content: prompt }], stream: true, temperature, max_tokens: MAX_TOKENS, stream_options: { include_usage: true } };
  const answer = { text: "", chunks: 0, complete: false };
  try {
    const response = await fetch(`${url}/v1/chat/completions`, { method: "POST", headers: { "content-type": "application/json", "x-request-id": id }, body: JSON.stringify(body), signal: AbortSignal.timeout(60_000) });
    let rest = "";
    let finish = null;
    let done = false;
    for await (const bytes of response.body.pipeThrough(new TextDecoderStream())) {
      rest += bytes;
      const events = rest.split("\n\n");
      rest = events.pop();
      for (const event of events) {
        const data = event.split("\n").find((line) => line.startsWith("data: "))?.slice(6);
        if (data === undefined) continue;
        if (data === "[DONE]") {
          done = true;
          continue;
        }
        const chunk = JSON.parse(data);
        if (chunk.error) throw new Error(chunk.error.message);
        const choice = chunk.choices?.[0];
        if (choice?.delta?.content) {
          answer.text += choice.delta.content;
          answer.chunks += 1;
        }
        finish = choice?.finish_reason ?? finish;
        answer.usage = chunk.usage ?? answer.usage;
      }
    }
    answer.complete = done && finish !== null;
    if (!answer.complete) answer.error = `ended without ${done ? "a finish reason" : "[DONE]"}`;
  } catch (error) {
    answer.error = error.message;
  }
  return answer;
}

/** Passes requests on, and harms the answer to the one that is planned. */
class Cutter {
  plan = { left: 0 };
  #server;

  static async start(target) {
    const cutter = new Cutter();
    cutter.#server = http.createServer((request, response) => cutter.#pass(target, request, response));
    await new Promise((resolve) => cutter.#server.listen(0, "127.0.0.1", resolve));
    cutter.url = `http://127.0.0.1:${cutter.#server.address().port}`;
    return cutter;
  }

  #pass(target, request, response) {
    const harmed = request.headers["x-request-id"] === this.plan.id && this.plan.left > 0 ? this.plan : null;
    const passed = http.request(`${target}${request.url}`, { method: request.method, headers: { ...request.headers, host: new URL(target).host } }, (answer) => {
      response.writeHead(answer.statusCode, { "content-type": answer.headers["content-type"] });
      let seen = 0;
      let over = false;
      answer.on("data", (bytes) => {
        if (over) return;
        if (harmed === null) {
          response.write(bytes);
          return;
        }
        // Events are whole here: the server writes each at once.
        const events = String(bytes).split(/(?<=\n\n)/);
        for (const event of events) {
          if (event.includes('"content":"') && !event.includes('"content":""')) seen += 1;
          response.write(event);
          if (seen === harmed.after) {
            over = true;
            harmed.left -= 1;
            harm(harmed.fault, response);
            if (harmed.fault !== "stall") passed.destroy();
            return;
          }
        }
      });
      answer.on("end", () => over || response.end());
      answer.on("error", () => response.destroy());
    });
    passed.on("error", () => response.destroy());
    response.on("close", () => passed.destroy());
    request.pipe(passed);
  }

  async stop() {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

function harm(fault, response) {
  // What was written goes out first: the fault comes after so many events, not before.
  if (fault === "end") response.end();
  else if (fault === "close") setImmediate(() => response.socket.end());
  else if (fault === "reset") setTimeout(() => response.socket.resetAndDestroy(), 5);
}
