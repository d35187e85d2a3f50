import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

import { describe, expect, it } from 'vitest';

import { loadConfig } from '../../src/fallback/fast-llm-coordinator/config.js';
import { Engine } from '../../src/fallback/fast-llm-coordinator/engine.js';
import { Wiring } from '../../src/fallback/fast-llm-coordinator/wiring.js';

/** The configuration in the environment alone. */
const environment = { UAT__ENGINE__IDLE_EXIT_S: '0', UAT__ENDPOINTS__0__NAME: 'a', UAT__ENDPOINTS__0__PROTOCOL: 'uat-engine', UAT__MODELS__0__NAME: './m.gguf', UAT__MODELS__0__ENDPOINTS__0__ENDPOINT: 'a' };

describe('a configuration', () => {
  it('may stand in environment variables', () => {
    const { endpoints, models, engine } = loadConfig({}, environment);
    expect(endpoints).toMatchObject([{ name: 'a', protocol: 'uat-engine', base_path: '/v1', total_timeout_ms: 600_000 }]);
    expect(models).toEqual([{ name: './m.gguf', endpoints: [{ endpoint: 'a', model: undefined, weight: 1 }], balance: 'peak-ewma', max_output_tokens: undefined, facts: {} }]);
    expect(engine.idle_exit_s).toBe(0);
  });

  it('names a model file absolutely to the engine, which was started somewhere else', () => {
    const config = loadConfig({}, environment);
    const { models } = new Wiring(config, new Engine(config.engine, []));
    expect(models.get('./m.gguf')?.places.map(place => place.model)).toEqual([resolve('m.gguf')]);
  });

  it.each([['http://h', '/v1'], ['http://h/', '/v1'], ['https://h/openai/v1/', '/openai/v1']])('takes the base URL %s for an OpenAI API under %s', (base_url, base_path) => {
    const { endpoints } = loadConfig({ endpoints: [{ name: 'a', protocol: 'openai', base_url }], models: [{ name: 'm', endpoints: [{ endpoint: 'a' }] }] }, {});
    expect(endpoints[0]?.base_path).toBe(base_path);
  });

  it('has a section for the cache, whose password stands in no file but may come from the environment', () => {
    const folder = mkdtempSync(join(tmpdir(), 'uat-test-'));
    const file = join(folder, 'uat.toml');
    try {
      writeFileSync(file, '[redis]\nurl = "redis://h"\nkey_prefix = "app:"\ncompression_level = 3\n');
      expect(loadConfig(file, {}).configured).toBe(false);
      loadConfig(file, { UAT__REDIS__URL: 'redis://:hunter2@h' });
      loadConfig({ redis: { url: 'redis://:hunter2@h' } }, {});
      writeFileSync(file, '[redis]\nurl = "redis://:hunter2@h"\n');
      expect(() => loadConfig(file, {})).toThrow(/at redis\.url: `redis\.url` holds a password.*url_env/);
      expect(() => loadConfig(file, {})).not.toThrow(/hunter2/);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
