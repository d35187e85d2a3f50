// What rows need outside of their process: started, and ended when they were measured.

import path from "node:path";

import { Redis, temporaryFolder } from "../cache/redis.mjs";
import { startGpuDaemon, startServer, stop } from "../measure/processes.mjs";

export const AROUND = {
  async allocation(measure) {
    const folder = temporaryFolder("gpu");
    const socket = path.join(folder, "gpu.sock");
    const daemon = await startGpuDaemon(["--fake-gpus", "8x24576", "--socket", socket, "--state", folder]);
    try {
      return await measure({ socket });
    } finally {
      await stop(daemon);
    }
  },
  async routing(measure) {
    const { child, url } = await startServer("uat-fake-provider", []);
    try {
      return await measure({ url });
    } finally {
      await stop(child);
    }
  },
  async cache(measure) {
    const redis = await Redis.start();
    try {
      return await measure({ url: redis.url });
    } finally {
      await redis.stop();
    }
  },
};
