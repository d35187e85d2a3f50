import { describe, expect, it } from 'vitest';

import { eachBackend } from '../support/backends.js';
import { collect, completion, coordinators, providers, REQUEST, sendJson, sendStream, served } from '../support/chat.js';
import { errorOf } from '../support/errors.js';
import { until } from '../support/until.js';

/** Two requests that the core's threads decide on in the same moment do not see each other. */
const UNSEEN = { native: 1, typescript: 0 } as const;

eachBackend(backend => {
  const coordinator = coordinators();
  const provider = providers();
  const quick = async (): ReturnType<typeof provider> => await provider((_asked, response) => sendJson(response, completion('x')));

  /** A provider whose answers wait until they are let go. */
  async function gated(): Promise<Awaited<ReturnType<typeof provider>> & { release(): void }> {
    const waiting: (() => void)[] = [];
    let open = false;
    const made = await provider(async (_asked, response) => {
      if (!open) await new Promise<void>(resolve => waiting.push(resolve));
      sendJson(response, completion('x'));
    });
    return { ...made, release: () => { open = true; waiting.splice(0).forEach(one => one()); } };
  }

  describe('the endpoint is chosen', () => {
    it('in turn and by weight with round-robin', async () => {
      const one = coordinator(served('round-robin', { url: (await quick()).url, weight: 3 }, { url: (await quick()).url, weight: 1 }));
      const names: string[] = [];
      for (let call = 0; call < 8; call += 1) names.push((await one.route(REQUEST)).routing.endpoint);
      expect(names.join('')).toBe('aabaaaba');
    });

    it('as the first of the list with priority, as long as it can be asked', async () => {
      const a = await quick();
      const one = coordinator(served('priority', { url: a.url, weight: 1e-9 }, { url: (await quick()).url, weight: 1e9 }));
      for (let call = 0; call < 5; call += 1) expect((await one.route(REQUEST)).routing.endpoint).toBe('a');
      const failing = coordinator(served('priority', (await provider((_asked, response) => sendJson(response, {}, 503))).url, a.url));
      expect((await failing.route(REQUEST)).routing.endpoint).toBe('b');
    });

    it('as the one with the fewest requests under way with least-in-flight', async () => {
      const [a, b] = [await gated(), await gated()];
      const one = coordinator(served('least-in-flight', a.url, b.url));
      const asking = Array.from({ length: 6 }, () => one.route(REQUEST));
      await until(() => a.asked.length + b.asked.length === 6);
      expect(Math.max(a.asked.length, b.asked.length)).toBeLessThanOrEqual(3 + UNSEEN[backend]);
      [a, b].forEach(({ release }) => release());
      await Promise.all(asking);
    });

    it('by the beginning of the conversation with prefix-affinity', async () => {
      const places = await Promise.all(Array.from({ length: 4 }, quick));
      const one = coordinator(served('prefix-affinity', ...places.map(({ url }) => url)));
      const seen = new Set<string>();
      for (let topic = 0; topic < 16; topic += 1) {
        const begin = [{ role: 'system' as const, content: 'Be brief.' }, { role: 'user' as const, content: `Topic ${topic}` }];
        const first = (await one.route({ model: 'm', messages: begin })).routing.endpoint;
        const later = (await one.route({ model: 'm', messages: [...begin, { role: 'assistant', content: 'x' }, { role: 'user', content: `More ${topic}` }] })).routing.endpoint;
        expect(later).toBe(first);
        seen.add(first);
      }
      expect(seen.size).toBeGreaterThan(2);
    });

    it('elsewhere with prefix-affinity when one has more than its share of the load', async () => {
      const places = await Promise.all([gated(), gated()]);
      const one = coordinator(served('prefix-affinity', ...places.map(({ url }) => url)));
      const asking = Array.from({ length: 8 }, () => one.route(REQUEST));
      await until(() => places.reduce((sum, { asked }) => sum + asked.length, 0) === 8);
      expect(Math.max(...places.map(({ asked }) => asked.length))).toBeLessThanOrEqual(5 + UNSEEN[backend]);
      places.forEach(({ release }) => release());
      await Promise.all(asking);
    });
  });

  describe('an endpoint at max_in_flight', () => {
    it('lets others wait, in the order in which they came', async () => {
      const order: string[] = [];
      let release = (): void => undefined;
      const a = await provider(async ({ body }, response, index) => {
        order.push(String(body['user']));
        if (index === 0) await new Promise<void>(resolve => { release = resolve; });
        sendJson(response, completion('x'));
      });
      const one = coordinator(served('peak-ewma', { url: a.url, max_in_flight: 1 }));
      const asking = [one.route({ ...REQUEST, user: '0' })];
      await until(() => a.asked.length === 1);
      for (let call = 1; call < 4; call += 1) {
        asking.push(one.route({ ...REQUEST, user: String(call) }));
        await until(() => one.stats().inFlight === call + 1);
      }
      expect(a.asked).toHaveLength(1);
      release();
      await Promise.all(asking);
      expect(order).toEqual(['0', '1', '2', '3']);
      expect(one.health()[0]).toMatchObject({ state: 'healthy', inFlight: 0 });
    });

    it('refuses whom the queue has no room for, at once', async () => {
      const a = await gated();
      const one = coordinator(served('peak-ewma', { url: a.url, max_in_flight: 1, max_queued: 1 }));
      const asking = [one.route(REQUEST), one.route(REQUEST)];
      await until(() => one.stats().inFlight === 2 && a.asked.length === 1);
      expect(await errorOf(one.route(REQUEST))).toMatchObject({ code: 'UAT_OVERLOADED', retryable: true });
      a.release();
      await Promise.all(asking);
    });

    it('refuses who has waited for queue_timeout_ms', async () => {
      const a = await gated();
      const one = coordinator(served('peak-ewma', { url: a.url, max_in_flight: 1, queue_timeout_ms: 50 }));
      const first = one.route(REQUEST);
      await until(() => a.asked.length === 1);
      const error = await errorOf(one.route(REQUEST));
      expect(error).toMatchObject({ code: 'UAT_OVERLOADED', retryable: true });
      a.release();
      await first;
      expect((await one.route(REQUEST)).content).toBe('x');
    });

    it('lets go who is cancelled or out of time, and takes the next', async () => {
      const a = await gated();
      const one = coordinator(served('peak-ewma', { url: a.url, max_in_flight: 1 }));
      const first = one.route(REQUEST);
      await until(() => a.asked.length === 1);
      const controller = new AbortController();
      const cancelled = errorOf(one.route(REQUEST, { signal: controller.signal }));
      const late = errorOf(one.route(REQUEST, { timeoutMs: 30 }));
      const patient = one.route(REQUEST);
      controller.abort();
      expect(await cancelled).toMatchObject({ code: 'UAT_CANCELLED' });
      expect(await late).toMatchObject({ code: expect.stringMatching(/UAT_TIMEOUT|UAT_OVERLOADED/) });
      a.release();
      await Promise.all([first, patient]);
      expect(a.asked).toHaveLength(2);
      expect(one.stats()).toMatchObject({ inFlight: 0 });
    });

    it('refuses at once who would be out of time before his turn', async () => {
      const delays = [200, 10_000];
      const a = await provider((_asked, response, index) => setTimeout(() => sendJson(response, completion('x')), delays[index] ?? 0));
      const one = coordinator(served('peak-ewma', { url: a.url, max_in_flight: 1 }));
      await one.route(REQUEST);
      const controller = new AbortController();
      const second = errorOf(one.route(REQUEST, { signal: controller.signal }));
      await until(() => a.asked.length === 2);
      const before = Date.now();
      expect(await errorOf(one.route(REQUEST, { timeoutMs: 100 }))).toMatchObject({ code: 'UAT_OVERLOADED', retryable: true });
      expect(Date.now() - before).toBeLessThan(90);
      controller.abort();
      await second;
    });

    it('has no more than its limit when one that failed is asked again', async () => {
      let [now, most] = [0, 0];
      const a = await provider(async (_asked, response, index) => {
        most = Math.max(most, now += 1);
        await new Promise(resolve => setTimeout(resolve, 30));
        now -= 1;
        sendJson(response, index % 3 === 0 ? {} : completion('x'), index % 3 === 0 ? 503 : 200);
      });
      const one = coordinator(served('peak-ewma', { url: a.url, max_in_flight: 2 }));
      await Promise.allSettled(Array.from({ length: 12 }, () => one.route(REQUEST)));
      expect(most).toBe(2);
      expect(one.health()[0]).toMatchObject({ inFlight: 0 });
    });

    it('counts a stream until it has ended', async () => {
      const a = await provider((_asked, response) => sendStream(response, ['one', ' two']));
      const one = coordinator(served('peak-ewma', { url: a.url, max_in_flight: 1 }));
      const stream = one.stream(REQUEST);
      await stream.next();
      const second = collect(one.stream(REQUEST));
      expect(one.health()[0]).toMatchObject({ inFlight: 1 });
      await collect(stream);
      await second;
      expect(a.asked).toHaveLength(2);
    });
  });

  describe('the history of an endpoint', () => {
    it('tells each change of its state, with the time and the reason', async () => {
      let status = 500;
      const a = await provider((_asked, response) => sendJson(response, status === 200 ? completion('x') : { error: { message: 'secret words' } }, status));
      const one = coordinator(served('peak-ewma', a.url));
      const before = Date.now();
      for (let call = 0; call < 3; call += 1) await errorOf(one.route(REQUEST));
      const [open] = one.health();
      expect(open).toMatchObject({ state: 'open' });
      expect(open!.history.map(({ from, to }) => `${from} ${to}`)).toEqual(['healthy degraded', 'degraded open']);
      for (const { at, reason } of open!.history) {
        expect(at).toBeGreaterThanOrEqual(before - 1);
        expect(at).toBeLessThanOrEqual(Date.now() + 1);
        expect(reason).toContain('500');
        expect(reason).not.toContain('secret words');
      }
      status = 200;
      await until(async () => {
        await one.route(REQUEST).catch(() => undefined);
        return one.health()[0]?.state === 'healthy';
      }, 10_000);
      expect(one.health()[0]?.history.at(-1)).toMatchObject({ to: 'healthy' });
    });

    it('tells that a key was refused', async () => {
      const a = await provider((_asked, response) => sendJson(response, { error: { message: 'x' } }, 401));
      const one = coordinator(served('peak-ewma', a.url));
      await errorOf(one.route(REQUEST));
      expect(one.health()[0]?.history).toMatchObject([{ from: 'healthy', to: 'quarantined', reason: expect.stringContaining('401') }]);
    });
  });

  describe('an endpoint that asks for a pause', () => {
    it.each<[string, () => string]>([['in seconds', () => '60'], ['until a date', () => new Date(Date.now() + 60_000).toUTCString()]])('%s gets it', async (_, value) => {
      const a = await provider((_asked, response) => sendJson(response, { error: { message: 'slow down' } }, 429, { 'retry-after': value() }));
      const one = coordinator(served('peak-ewma', a.url));
      await errorOf(one.route(REQUEST));
      const error = await errorOf(one.route(REQUEST));
      expect(error).toMatchObject({ code: 'UAT_RATE_LIMITED', retryable: true });
      const [leftMs] = /\d{4,}/.exec(error.message) ?? [];
      expect(Number(leftMs)).toBeGreaterThan(50_000);
      expect(a.asked).toHaveLength(1);
    });
  });
});
