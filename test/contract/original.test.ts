import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterEach, beforeEach, expect, it, vi } from 'vitest';

import type { Allocation, ChatResponse, FastLLMCoordinator, LLMRouter, OptimizeResult, ParameterAnalytics, RedisService, RoutePlan, VisionResourceManager, VoiceProcessingService, VoiceResult } from '../../src/index.js';
import { eachBackend } from '../support/backends.js';
import { ROOT } from '../support/built.js';
import { RedisServer } from '../support/redis-server.js';

/** Examples are written for bundlers, whose paths have no endings. Their modules are read anew for each backend. */
async function snippet<T>(name: string): Promise<T> {
  return await import(new URL(`../../examples/original/${name}`, import.meta.url).pathname) as T;
}

eachBackend(backend => {
  let folder: string;
  // The guide's code keeps what it learns where every program of the user does.
  beforeEach(() => { vi.stubEnv('XDG_STATE_HOME', folder = mkdtempSync(join(tmpdir(), 'uat-original-'))); });
  afterEach(() => {
    vi.unstubAllEnvs();
    vi.resetModules();
    rmSync(folder, { recursive: true, force: true });
  });

  /** The guide's names are those of this configuration. */
  const named = () => vi.stubEnv('UAT_CONFIG', join(ROOT, 'examples/original/uat.toml'));

  it('runs the guide\'s code for the coordinator as it stands, with the local model', async () => {
    named();
    const { coordinator, response } = await snippet<{ coordinator: FastLLMCoordinator; response: ChatResponse }>('fast-llm-coordinator');
    expect(coordinator.backend.kind).toBe(backend);
    // A small model at this temperature may say anything.
    expect(response.content).not.toBe('');
    expect(response.routing.endpoint).toBe('local');
    await coordinator.close();
  }, 120_000);

  it('runs the guide\'s code for the router as it stands, with the local model', async () => {
    named();
    const { llmRouter, response } = await snippet<{ llmRouter: LLMRouter; response: ChatResponse & { plan: RoutePlan } }>('llm-router');
    expect(llmRouter.backend.kind).toBe(backend);
    // A small model at this temperature may say anything.
    expect(response.content).not.toBe('');
    expect(response.plan.chosen).toBe('gpt-4');
    await llmRouter.close();
  }, 120_000);

  it('runs the guide\'s code for the cache as it stands, on a real Redis', async () => {
    const server = await RedisServer.start();
    try {
      vi.stubEnv('REDIS_URL', server.url);
      const { cached, redisService, value } = await snippet<{ cached: unknown; redisService: RedisService; value: unknown }>('redis-service');
      expect(redisService.backend.kind).toBe(backend);
      expect(cached).toEqual(value);
      expect(await redisService.ttl('key')).toBeGreaterThan(290);
      expect(redisService.status()).toMatchObject({ mode: 'redis' });
      await redisService.close();
    } finally {
      await server.stop();
    }
  }, 60_000);

  it('runs the guide\'s code for parameter analytics as it stands', async () => {
    const { analytics, optimalParams } = await snippet<{ analytics: ParameterAnalytics; optimalParams: OptimizeResult }>('parameter-analytics');
    expect(analytics.backend.kind).toBe(backend);
    expect(optimalParams).toMatchObject({ source: 'prior', parameters: { temperature: expect.any(Number) as number } });
    await analytics.close();
  }, 60_000);

  it('runs the guide\'s code for GPU memory as it stands, on GPUs that are made up', async () => {
    const { VisionResourceManager: Manager } = await import('../../src/services/vision-resource-manager-rust.js');
    Manager.getInstance({ driver: 'fake' });
    const { manager, allocation } = await snippet<{ manager: VisionResourceManager; allocation: Allocation }>('vision-resource-manager');
    expect(manager.backend.kind).toBe(backend);
    expect(allocation.gpus).toMatchObject([{ index: 0, vramMb: 4096 }]);
    expect(allocation.expiresAt).toBeGreaterThan(Date.now());
    await manager.close();
  }, 60_000);

  it('runs the guide\'s code for recordings as it stands, where somebody writes them down', async () => {
    const ran = snippet<{ service: VoiceProcessingService; result: VoiceResult }>('voice-processing');
    if (backend === 'typescript') {
      expect(await ran.catch((error: unknown) => error)).toMatchObject({ code: 'UAT_ENGINE_UNAVAILABLE' });
      return;
    }
    const { service, result } = await ran;
    expect(service.backend.kind).toBe(backend);
    expect(result.text.toLowerCase()).toContain('young man');
    await service.close();
  }, 60_000);
});
