// Starting provider.mjs and telling it what to do.

import { fork } from "node:child_process";
import { once } from "node:events";
import path from "node:path";

import { started } from "../measure/processes.mjs";

const program = path.join(import.meta.dirname, "provider.mjs");

/** A provider in a process of its own. */
export class Backend {
  #child;
  #waiting = new Map();
  #next = 1;
  /** Called with the time, in ms of `process.hrtime`, at which the client of an unfinished answer went away. */
  onGone = () => {};
  /** Called with the number of chat requests so far. */
  onAsked = () => {};

  /** `options`: port, key and cert (files, for TLS), backlog, first_ms and chunk_ms. */
  static async start(options = {}) {
    const backend = new Backend();
    await backend.#start(options);
    return backend;
  }

  async #start(options) {
    this.options = options;
    this.#child = started(fork(program, [JSON.stringify(options)]));
    this.#child.on("message", (message) => {
      if (message.gone !== undefined) this.onGone(message.gone);
      else if (message.reply === undefined) this.onAsked(message.asked);
      else this.#waiting.get(message.reply)?.(message);
    });
    const { port } = await this.#reply(0);
    this.port = port;
    this.pid = this.#child.pid;
    this.url = `${options.key === undefined ? "http" : "https"}://127.0.0.1:${port}`;
  }

  #reply(id) {
    return new Promise((resolve, reject) => {
      const ended = () => reject(new Error("the provider ended"));
      this.#child.once("exit", ended);
      this.#waiting.set(id, (message) => {
        this.#child.off("exit", ended);
        this.#waiting.delete(id);
        resolve(message);
      });
    });
  }

  async #tell(message) {
    const id = this.#next++;
    const reply = this.#reply(id);
    this.#child.send({ id, ...message });
    return reply;
  }

  /** What it does from now on. `fresh` closes the connections that are open. */
  behave(behaviour, { pace = {}, fresh = false } = {}) {
    return this.#tell({ behaviour, pace, fresh });
  }

  /** Chat requests and connections since the last `behave`. */
  seen() {
    return this.#tell({});
  }

  signal(signal) {
    this.#child.kill(signal);
  }

  /** Ends at once, as after a crash, and comes back on the same port when `again` is called. */
  async crash() {
    const ended = once(this.#child, "exit");
    this.#child.kill("SIGKILL");
    await ended;
  }

  again() {
    return this.#start({ ...this.options, port: this.port });
  }

  async stop() {
    if (this.#child.exitCode === null && this.#child.signalCode === null) await this.crash();
  }
}
