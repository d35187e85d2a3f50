// The operations of the guide's table, each through the public class of Node. A row runs in a process of its own, whose UAT_BACKEND says on which backend.
//
// `open` gets what `around.mjs` has for the row, and gives `once`, which does it once, and gives a number where the class itself says how long its part
// took, in ms; and `close`. `calls`: of a round; `beside`: how many at once where throughput is measured.

const MIB_OF_GPU = 24_576;
const MESSAGES = [{ role: "user", content: "Why is the sky blue, and what colour has it on Mars at noon? ".repeat(17).slice(0, 1_024) }];

/** A tone that comes and goes: what is heard costs the same whatever it says. */
function sound(seconds, rate, channels) {
  return Float32Array.from({ length: seconds * rate * channels }, (_, at) => {
    const time = Math.floor(at / channels) / rate;
    return 0.3 * Math.sin(2 * Math.PI * 220 * time) * Math.abs(Math.sin(time));
  });
}

const audio = {
  name: "Audio processing",
  what: "30 s of stereo at 48 kHz: to 16 kHz mono, and where somebody speaks",
  claim: 85,
  calls: 10,
  beside: 2,
  async open() {
    const { VoiceProcessingService } = await import("universal-ai-tools/services/voice-processing-rust");
    const service = new VoiceProcessingService();
    await service.initialize();
    const samples = sound(30, 48_000, 2);
    return { once: () => service.processAudio(samples, { sampleRate: 48_000, channels: 2, transcribe: false }), close: () => service.close() };
  },
};

async function leases(options) {
  const { VisionResourceManager } = await import("universal-ai-tools/services/vision-resource-manager-rust");
  const manager = VisionResourceManager.getInstance(options);
  const once = async () => {
    const allocation = await manager.allocateResources({ vramRequired: 1_024, duration: 30_000 });
    await allocation.release();
  };
  return { once, close: () => manager.close() };
}

const allocation = {
  name: "Resource allocation, across processes",
  what: "a lease of 1 GiB through the daemon, and back",
  claim: 83,
  calls: 2_000,
  beside: 16,
  open: ({ socket }) => leases({ mode: "host", socketPath: socket }),
};

const allocationHere = {
  name: "Resource allocation, in one process",
  what: "a lease of 1 GiB among 8 GPUs, and back",
  claim: 83,
  calls: 20_000,
  beside: 16,
  open: () => leases({ driver: "fake", fakeGpus: Array.from({ length: 8 }, () => ({ totalMb: MIB_OF_GPU })) }),
};

const routing = {
  name: "Request routing",
  what: "what the class adds to a chat that a server on this machine answers at once (`overheadUs`)",
  claim: 90,
  calls: 1_000,
  beside: 16,
  async open({ url }) {
    const { FastLLMCoordinator } = await import("universal-ai-tools/services/fast-llm-coordinator-rust");
    const coordinator = new FastLLMCoordinator({ engine: { enabled: false }, endpoints: [{ name: "e", protocol: "openai", base_url: `${url}/v1` }], models: [{ name: "m", endpoints: [{ endpoint: "e" }] }] });
    const once = async () => (await coordinator.route({ model: "m", messages: MESSAGES })).routing.overheadUs / 1e3;
    return { once, close: () => coordinator.close() };
  },
};

const optimisation = {
  name: "Bayesian optimisation",
  what: "ask and tell after 100 trials of six dimensions",
  claim: 83,
  calls: 10,
  beside: 1,
  async open() {
    const { ParameterAnalytics } = await import("universal-ai-tools/services/parameter-analytics-rust");
    const analytics = new ParameterAnalytics({ storage: ":memory:", seed: 1 });
    const space = Object.fromEntries(Array.from({ length: 6 }, (_, at) => [`x${at}`, { type: "float", low: 0, high: 1 }]));
    const study = await analytics.createStudy({ name: "s", space });
    const once = async () => {
      const [{ id, parameters }] = await study.ask();
      await study.tell(id, Object.values(parameters).reduce((sum, x, at) => sum + (x - at / 6) ** 2, 0));
    };
    for (let trial = 0; trial < 100; trial += 1) await once();
    return { once, close: () => analytics.close() };
  },
};

const cache = {
  name: "Cache operations",
  what: "an object of 16 KB written to Redis compressed, and read",
  claim: 90,
  calls: 1_000,
  beside: 16,
  async open({ url }) {
    const { redisService } = await import("universal-ai-tools/services/redis-service-rust");
    await redisService.initialize({ url, maxConnections: 4, enableCompression: true, nearCache: false });
    const value = { rows: Array.from({ length: 160 }, (_, at) => ({ id: at, name: `person ${at * 7919}`, mail: `p${at}@example.com`, score: at / 7, tags: ["a", "b"] })) };
    let at = 0;
    const once = async () => {
      const key = `key ${at++ % 100}`;
      await redisService.set(key, value, 300);
      await redisService.get(key);
    };
    return { once, close: () => redisService.close() };
  },
};

const selection = {
  name: "Model selection",
  what: "who of 20 models answers a prompt of 1 KB (`plan`)",
  claim: 87,
  calls: 5_000,
  beside: 1,
  async open() {
    const { LLMRouter } = await import("universal-ai-tools/services/llm-router-rust");
    const models = Array.from({ length: 20 }, (_, at) => ({ name: `m${at}`, tier: ["fast", "balanced", "strong"][at % 3], quality: at / 20, capabilities: ["chat"], context_tokens: 8_000 + at, price: { input: at, output: 2 * at }, endpoints: [{ endpoint: "e" }] }));
    const router = new LLMRouter();
    await router.initialize({ engine: { enabled: false }, endpoints: [{ name: "e", protocol: "openai", base_url: "http://127.0.0.1:9/v1" }], models });
    return { once: () => void router.plan("auto", MESSAGES), close: () => router.close() };
  },
};

export const ROWS = { audio, allocation, "allocation-here": allocationHere, routing, optimisation, cache, selection };
