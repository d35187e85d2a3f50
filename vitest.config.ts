import { defineConfig } from 'vitest/config';

// Three projects, because each needs more built than the one before: the addon, `dist` and `uat`; the engine, too; the tarballs.
export default defineConfig({
  test: {
    projects: [
      { test: { name: 'contract', include: ['test/contract/**/*.test.ts', 'test/fallback/**/*.test.ts', 'test/near/**/*.test.ts', 'test/native/**/*.test.ts', 'test/adapters/**/*.test.ts', 'test/scripts/**/*.test.mjs'], environment: 'node', testTimeout: 15_000 } },
      // The model answers on two cores, and the first start reads it from disk.
      { test: { name: 'e2e', include: ['test/e2e/**/*.test.ts'], environment: 'node', testTimeout: 120_000, hookTimeout: 300_000, fileParallelism: false } },
      { test: { name: 'packaging', include: ['test/packaging/**/*.test.ts'], environment: 'node', testTimeout: 180_000, hookTimeout: 300_000, fileParallelism: false } },
    ],
  },
});
