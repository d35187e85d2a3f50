import { setTimeout as sleep } from 'node:timers/promises';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import type { RedisService, SubscribeOptions, SubscriptionEvent } from '../../src/index.js';
import { eachBackend } from '../support/backends.js';
import { RedisServer } from '../support/redis-server.js';
import { PATIENT, services } from '../support/redis-services.js';
import { until } from '../support/until.js';

let redis: RedisServer;
beforeAll(async () => {
  redis = await RedisServer.start();
});
afterAll(() => redis?.stop());

/** A subscription that is read as fast as it comes; `events` grows. */
function listen(one: RedisService, channels: string | string[], options?: SubscribeOptions): { events: SubscriptionEvent[]; ended: Promise<void>; stop(): Promise<unknown>; messages(): unknown[]; gaps(): number[] } {
  const iterator = one.subscribe(channels, options)[Symbol.asyncIterator]();
  const events: SubscriptionEvent[] = [];
  const ended = (async () => {
    for (let result = await iterator.next(); result.done !== true; result = await iterator.next()) events.push(result.value);
  })();
  return {
    events, ended, stop: () => iterator.return!(),
    messages: () => events.flatMap(event => event.type === 'message' ? [event.message] : []),
    gaps: () => events.flatMap(event => event.type === 'gap' ? [event.sinceMs] : []),
  };
}

eachBackend(() => {
  const service = services();

  describe.each(['embedded', 'redis'] as const)('%s', where => {
    const make = (options = {}): Promise<RedisService> => service(where === 'embedded' ? options : { ...PATIENT, url: redis.url, ...options });
    /** Publishes until as many as that have got it, which is when they are subscribed. */
    const live = (one: RedisService, channel: string, receivers = 1): Promise<void> => until(async () => await one.publish(channel, 'are you there?') >= receivers);
    const rest = (events: SubscriptionEvent[]): SubscriptionEvent[] => events.filter(event => !(event.type === 'message' && event.message === 'are you there?'));

    it('brings every kind of value, in order', async () => {
      const one = await make();
      const heard = listen(one, 'news');
      await live(one, 'news');
      const values = ['text', '42', 42, -1.5, true, null, { a: [1] }, [1, 'two'], new Uint8Array([255, 0]), ''];
      for (const value of values) expect(await one.publish('news', value)).toBe(1);
      await until(() => rest(heard.events).length === values.length);
      expect(rest(heard.events)).toEqual(values.map(message => ({ type: 'message', channel: 'news', message })));
    });

    it('goes to nobody where nobody listens', async () => {
      const one = await make();
      expect(await one.publish('silence', 1)).toBe(0);
    });

    it('begins at the first next(), not before', async () => {
      const one = await make();
      one.subscribe('lazy');
      await sleep(50);
      expect(await one.publish('lazy', 1)).toBe(0);
    });

    it('listens to several channels, and to patterns', async () => {
      const one = await make({ keyPrefix: 'app:' });
      const several = listen(one, ['a', 'b', 'a']);
      const pattern = listen(one, ['n?ws.[a-c]*', 'x\\*'], { pattern: true });
      await live(one, 'b');
      await live(one, 'news.b!');
      await live(one, 'x*');
      await one.publish('a', 1);
      await one.publish('b', 2);
      await one.publish('news.a', 3);
      await one.publish('nws.a', 4);
      await one.publish('news.d', 5);
      await one.publish('xx', 6);
      await one.publish('x*', 7);
      await until(() => pattern.messages().includes(7) && several.messages().includes(2));
      expect(rest(several.events)).toEqual([{ type: 'message', channel: 'a', message: 1 }, { type: 'message', channel: 'b', message: 2 }]);
      expect(rest(pattern.events)).toEqual([{ type: 'message', channel: 'news.a', message: 3 }, { type: 'message', channel: 'x*', message: 7 }]);
    });

    it('gives each of several subscribers every message', async () => {
      const one = await make();
      const first = listen(one, 'shared');
      const second = listen(one, ['shared', 'other']);
      await live(one, 'other');
      await live(one, 'shared');
      await until(async () => { await one.publish('shared', 'again'); return first.messages().includes('again') && second.messages().includes('again'); });
      await first.stop();
      await first.ended;
      const before = first.events.length;
      await until(async () => { await one.publish('shared', 'last'); return second.messages().includes('last'); });
      expect(first.events).toHaveLength(before);
    });

    it('ends and unsubscribes when the loop is left', async () => {
      const one = await make();
      const looping = (async () => {
        for await (const event of one.subscribe('left')) return event;
        return undefined;
      })();
      await until(async () => await one.publish('left', 'x') === 1);
      expect(await looping).toEqual({ type: 'message', channel: 'left', message: 'x' });
      await until(async () => await one.publish('left', 'y') === 0);
    });

    it('ends and unsubscribes by its signal, also one that was aborted before', async () => {
      const one = await make();
      const controller = new AbortController();
      const heard = listen(one, 'signalled', { signal: controller.signal });
      await live(one, 'signalled');
      controller.abort();
      await heard.ended;
      await until(async () => await one.publish('signalled', 'y') === 0);
      await listen(one, 'never', { signal: controller.signal }).ended;
    });

    it('ends with the service', async () => {
      const one = await make();
      const heard = listen(one, 'closing');
      await live(one, 'closing');
      await one.close();
      await heard.ended;
    });

    it('keeps at most 1,024 messages for a slow consumer, and says that it lost the oldest', async () => {
      const one = await make();
      const iterator = one.subscribe('flood')[Symbol.asyncIterator]();
      const first = iterator.next();
      await until(async () => await one.publish('flood', 'first') === 1);
      expect(await first).toMatchObject({ value: { message: 'first' } });
      await Promise.all(Array.from({ length: 5_000 }, (_, index) => one.publish('flood', index)));
      await sleep(100);
      const seen: SubscriptionEvent[] = [];
      while (!seen.some(event => event.type === 'message' && event.message === 4_999)) {
        const { value } = await iterator.next();
        seen.push(value as SubscriptionEvent);
      }
      const numbers = seen.flatMap(event => event.type === 'message' && typeof event.message === 'number' ? [event.message] : []);
      expect(seen.filter(({ type }) => type === 'gap')).toHaveLength(1);
      expect(numbers.length).toBeLessThanOrEqual(2_200);
      const jumps = numbers.filter((number, at) => at > 0 && number !== numbers[at - 1]! + 1);
      expect(jumps.length, 'in order, with one hole at most').toBeLessThanOrEqual(1);
      const { value: gap } = { value: seen.find(event => event.type === 'gap') };
      expect(gap).toMatchObject({ sinceMs: expect.any(Number) });
      await iterator.return!();
    });
  });

  describe('in Redis', () => {
    const killSubscribers = (): Promise<string> => redis.cli('CLIENT', 'KILL', 'TYPE', 'pubsub');
    const subscribed = (channel: string): Promise<void> => until(async () => (await redis.cli('PUBSUB', 'NUMSUB', channel)).split('\n')[1] === '1');

    it('messages of others are read as they are', async () => {
      const one = await service({ ...PATIENT, url: redis.url });
      const heard = listen(one, 'foreign');
      await subscribed('foreign');
      await redis.cli('PUBLISH', 'foreign', '{"a":1}');
      await until(() => heard.events.length === 1);
      expect(heard.events).toEqual([{ type: 'message', channel: 'foreign', message: '{"a":1}' }]);
    });

    it('every loss of the connection is followed by one gap, and the messages go on', async () => {
      const one = await service({ ...PATIENT, url: redis.url });
      const heard = listen(one, 'lossy');
      await subscribed('lossy');
      expect(heard.gaps()).toEqual([]);
      for (let round = 1; round <= 20; round += 1) {
        await until(async () => await one.publish('lossy', round) === 1);
        await until(() => heard.messages().includes(round));
        await killSubscribers();
        await until(() => heard.gaps().length === round);
      }
      await until(async () => await one.publish('lossy', 'end') === 1);
      await until(() => heard.messages().includes('end'));
      expect(heard.gaps()).toHaveLength(20);
      for (const sinceMs of heard.gaps()) expect(sinceMs).toBeLessThan(10_000);
    });

    it('a gap covers the whole time in which nothing could be heard', async () => {
      const server = await RedisServer.start();
      try {
        const one = await service({ url: server.url });
        const heard = listen(one, 'c');
        await until(async () => await one.publish('c', 'first') === 1);
        await until(() => heard.messages().includes('first'));
        await server.kill();
        const killed = Date.now();
        await sleep(300);
        await server.restart();
        await until(() => heard.gaps().length === 1, 10_000);
        expect(heard.gaps()[0]).toBeGreaterThanOrEqual(300);
        expect(heard.gaps()[0]).toBeLessThan(Date.now() - killed + 3_000);
        await until(async () => await one.publish('c', 'second').catch(() => 0) === 1);
        await until(() => heard.messages().includes('second'));
      } finally {
        await server.stop();
      }
    });

    it('a subscription made while Redis is away begins when it comes, with a gap', async () => {
      const server = await RedisServer.start();
      try {
        await server.kill();
        const one = await service({ url: server.url });
        const heard = listen(one, 'c');
        await sleep(100);
        await server.restart();
        await until(() => heard.gaps().length === 1, 10_000);
        expect(heard.gaps()[0]).toBeGreaterThanOrEqual(100);
        await until(async () => await one.publish('c', 'x').catch(() => 0) === 1);
        await until(() => heard.messages().includes('x'));
      } finally {
        await server.stop();
      }
    });

    it('a frozen connection is noticed by itself', async () => {
      const server = await RedisServer.start();
      try {
        const one = await service({ url: server.url, commandTimeoutMs: 300 });
        const heard = listen(one, 'c');
        await until(async () => await one.publish('c', 'x') === 1);
        await server.freeze();
        await sleep(2_500);
        await server.thaw();
        await until(() => heard.gaps().length === 1, 10_000);
        expect(heard.gaps()[0]).toBeGreaterThanOrEqual(2_000);
      } finally {
        await server.stop();
      }
    });

    it('a user without the right hears so', async () => {
      await redis.cli('ACL', 'SETUSER', 'deaf', 'on', '>pw', '~*', 'resetchannels', '+@all');
      const one = await service({ ...PATIENT, url: redis.url.replace('//', '//deaf:pw@') });
      await expect(one.subscribe('c')[Symbol.asyncIterator]().next()).rejects.toMatchObject({ code: 'UAT_UNAUTHORIZED' });
    });
  });
});
