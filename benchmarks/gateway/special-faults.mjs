// Faults that are more than a behaviour of the provider. Each is called with `{ gateway, setup, stream, requests,
// patience_ms }` and returns the answers, with `asked` (requests at the faulty backend, null where nobody can count) and
// the gateway as it ran; or `{ note }` where it cannot be tried here.

import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import net from "node:net";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";

import { Redis } from "../cache/redis.mjs";
import { Backend } from "./backend.mjs";
import { isAlive, put } from "./cell.mjs";

const FAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";

export const SPECIAL = {
  blackhole: (cell) =>
    withBackends(cell, { options: { backlog: 1 } }, async (running, backends) => {
      backends[1].signal("SIGSTOP");
      // A stopped process accepts nothing: once its queue is full, the kernel drops what comes.
      const fillers = [];
      for (let isTaken = true; isTaken && fillers.length < 16; ) {
        const filler = net.connect(backends[1].port, "127.0.0.1");
        filler.on("error", () => {});
        fillers.push(filler);
        isTaken = await Promise.race([new Promise((resolve) => filler.once("connect", () => resolve(true))), delay(200, false)]);
      }
      const answers = await put(running, cell);
      for (const filler of fillers) filler.destroy();
      return { answers, asked: null };
    }),

  untrusted: (cell) => overTls(cell, "untrusted"),
  expired: (cell) => overTls(cell, "expired"),

  async dns(cell) {
    const hosts = path.join(cell.setup.folder, `hosts-${cell.gateway.name}`);
    const local = "127.0.0.1 localhost\n";
    writeFileSync(hosts, `${local}127.0.0.1 flapping.test\n`);
    if (spawnSync("unshare", ["-m", "true"]).status !== 0) return { note: "not tried: no mount namespace" };
    // The gateway sees a hosts file of its own.
    const wrap = ["unshare", "-m", "sh", "-c", 'mount --bind "$0" /etc/hosts && exec "$@"', hosts];
    return withBackends(cell, { wrap, url: ({ port }) => `http://flapping.test:${port}` }, async (running, backends) => {
      const [gone, back] = [cell.requests / 4, (3 * cell.requests) / 4].map(Math.floor);
      const answers = await put(running, {
        ...cell,
        async during(number) {
          if (number !== gone && number !== back) return;
          writeFileSync(hosts, number === gone ? local : `${local}127.0.0.1 flapping.test\n`);
          // A connection that is open needs no name.
          if (number === gone) await backends[1].behave("good", { fresh: true });
        },
      });
      return { answers, asked: null };
    });
  },

  restart: (cell) =>
    withBackends(cell, { options: { chunk_ms: 5 } }, async (running, backends) => {
      const [down, up] = [cell.requests / 4, (3 * cell.requests) / 4].map(Math.floor);
      const answers = await put(running, {
        ...cell,
        async during(number) {
          if (number === down) await backends[1].crash();
          if (number === up) await backends[1].again();
        },
      });
      return { answers, asked: null };
    }),

  async clock(cell) {
    if (!existsSync(FAKETIME)) return { note: "not tried: no libfaketime" };
    const file = path.join(cell.setup.folder, `clock-${cell.gateway.name}`);
    writeFileSync(file, "+0");
    // The monotonic clock does not jump when somebody sets the wall clock.
    const env = { LD_PRELOAD: FAKETIME, FAKETIME_TIMESTAMP_FILE: file, FAKETIME_NO_CACHE: "1", FAKETIME_DONT_FAKE_MONOTONIC: "1", DONT_FAKE_MONOTONIC: "1" };
    return withBackends(cell, { env }, async (running, backends) => {
      if (!readFileSync(`/proc/${running.child.pid}/maps`, "utf8").includes("libfaketime")) return { note: "not reached: linked statically" };
      // A runtime may stand still under a faked clock that has not jumped yet: that is no finding about the gateway.
      const calm = await put(running, { ...cell, requests: 4, patience_ms: 5_000 });
      if (calm.some(({ outcome }) => outcome !== "complete")) return { note: "not tried: does not run with libfaketime" };
      await backends[1].behave("503");
      const [forth, back] = [cell.requests / 4, (2 * cell.requests) / 4].map(Math.floor);
      const answers = await put(running, { ...cell, during: async (number) => [forth, back].includes(number) && writeFileSync(file, number === forth ? "+3600" : "-3600") });
      return { answers, asked: (await backends[1].seen()).asked };
    });
  },

  descriptors: (cell) =>
    withBackends(cell, {}, async (running) => {
      const pids = running.pids();
      const limit = (pid, most) => spawnSync("prlimit", ["--pid", String(pid), `--nofile=${most}:`]);
      // Requests go on while a few more descriptors than now are allowed, and afterwards.
      for (const pid of pids) limit(pid, readdirSync(`/proc/${pid}/fd`).length + 4);
      const under = put(running, { ...cell, connections: 20 });
      await delay(2_000);
      for (const pid of pids) limit(pid, 20_000);
      const answers = await under;
      const after = await put(running, { ...cell, requests: 10 });
      const left = after.filter(({ outcome }) => outcome !== "complete").length;
      return { answers: [...answers, ...after], asked: null, remark: left === 0 ? undefined : `${left} of 10 afterwards not complete` };
    }),

  sigterm: (cell) =>
    withBackends(cell, { options: { chunk_ms: 40, first_ms: 400 } }, async (running, backends) => {
      let asked = 0;
      const isUnderWay = new Promise((resolve) => {
        for (const backend of backends) backend.onAsked = () => (asked += 1) === 8 && resolve();
      });
      const under = put(running, { ...cell, connections: 8, requests: 8 });
      await Promise.race([isUnderWay, delay(5_000)]);
      await delay(100);
      running.child.kill("SIGTERM");
      return { answers: await under, asked: null, isEnded: true };
    }),

  async redis(cell) {
    if (cell.gateway.name !== "uat") return { note: "n/a" };
    const redis = await Redis.start();
    try {
      return await withBackends(cell, { redis: redis.url }, async (running) => {
        const ask = (requests) => put(running, { ...cell, requests, more: { temperature: 0 } });
        const before = await ask(Math.ceil(cell.requests / 4));
        redis.freeze();
        const frozen = await ask(Math.ceil(cell.requests / 2));
        redis.thaw();
        return { answers: [...before, ...frozen, ...(await ask(Math.ceil(cell.requests / 4)))], asked: null };
      });
    } finally {
      await redis.stop();
    }
  },
};

/** Two backends and the gateway over them; `second` says what is special about the second and about the start. */
export async function withBackends({ gateway, setup, patience_gateway_ms = 1_000 }, { options = {}, url = (backend) => backend.url, env, wrap, redis }, use) {
  const backends = [await Backend.start(options.key === undefined ? { ...options, backlog: undefined } : {}), await Backend.start(options)];
  try {
    const running = await gateway.start({ ...setup, backends: [backends[0].url, url(backends[1])], patience_ms: patience_gateway_ms, env, wrap, redis });
    try {
      const result = await use(running, backends);
      running.hasDied = !isAlive(running);
      return { running, ...result };
    } finally {
      await running.stop();
    }
  } finally {
    await Promise.all(backends.map((backend) => backend.stop()));
  }
}

async function overTls(cell, kind) {
  const { key, cert, authority } = certificate(cell.setup.folder, kind);
  // The authority is trusted where the certificate's age is the question.
  const env = kind === "expired" ? { SSL_CERT_FILE: authority, NODE_EXTRA_CA_CERTS: authority, REQUESTS_CA_BUNDLE: authority } : {};
  return withBackends(cell, { options: { key, cert }, env }, async (running, backends) => {
    const answers = await put(running, cell);
    return { answers, asked: (await backends[1].seen()).connections };
  });
}

/** An authority and a certificate of it for 127.0.0.1, made once for a run. */
function certificate(folder, kind) {
  const at = (name) => path.join(folder, "tls", name);
  const files = { key: at("server.key"), cert: at(`${kind}.crt`), authority: at("authority.crt") };
  mkdirSync(at("."), { recursive: true });
  const openssl = (...args) => {
    const { status, stderr } = spawnSync("openssl", args, { cwd: at("."), encoding: "utf8" });
    if (status !== 0) throw new Error(`openssl ${args[0]}: ${stderr}`);
  };
  if (!existsSync(files.authority)) {
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", at("authority.key"), "-out", files.authority, "-days", "30", "-subj", "/CN=bench authority");
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", files.key, "-out", at("server.csr"), "-subj", "/CN=127.0.0.1");
    writeFileSync(at("index"), "");
    writeFileSync(at("serial"), "01\n");
    writeFileSync(
      at("ca.conf"),
      "[ca]\ndefault_ca=bench\n[bench]\ndatabase=index\nserial=serial\nnew_certs_dir=.\ndefault_md=sha256\npolicy=any\nunique_subject=no\nx509_extensions=leaf\n[any]\ncommonName=supplied\n[leaf]\nsubjectAltName=IP:127.0.0.1\n",
    );
  }
  if (!existsSync(files.cert)) {
    const [from, until] = kind === "expired" ? ["20200101000000Z", "20200201000000Z"] : ["20200101000000Z", "20491231000000Z"];
    openssl("ca", "-batch", "-config", "ca.conf", "-cert", files.authority, "-keyfile", at("authority.key"), "-in", "server.csr", "-out", files.cert, "-startdate", from, "-enddate", until, "-notext");
  }
  return files;
}
