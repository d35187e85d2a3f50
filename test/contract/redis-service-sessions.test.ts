import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import type { RedisService } from '../../src/index.js';
import { eachBackend } from '../support/backends.js';
import { errorOf } from '../support/errors.js';
import { RedisServer } from '../support/redis-server.js';
import { PATIENT, serviceAt, services } from '../support/redis-services.js';
import { until } from '../support/until.js';

const DAY_MS = 86_400_000;

let redis: RedisServer;
beforeAll(async () => {
  redis = await RedisServer.start();
});
afterAll(() => redis?.stop());

const keyOf = (id: string): string => `~uat:session:${createHash('sha256').update(id).digest('hex')}`;

eachBackend(() => {
  const service = services();

  describe.each(['embedded', 'redis'] as const)('%s', where => {
    const make = async (): Promise<RedisService> => await serviceAt(where, service, redis);

    it('are created with an id that nobody guesses, for a day', async () => {
      const { sessions } = await make();
      const before = Date.now();
      const session = await sessions.create({ cart: [1, { two: 'ü' }] }, { userId: 'ann' });
      expect(session).toEqual({ id: expect.stringMatching(/^[A-Za-z0-9_-]{43}$/), userId: 'ann', data: { cart: [1, { two: 'ü' }] }, createdAt: expect.any(Number), expiresAt: expect.any(Number) });
      expect(Math.abs(session.createdAt - before)).toBeLessThan(2_000);
      expect(Math.abs(session.expiresAt - session.createdAt - DAY_MS)).toBeLessThan(100);
      expect(await sessions.get(session.id)).toMatchObject({ id: session.id, userId: 'ann', data: session.data, createdAt: session.createdAt });
      expect((await sessions.create({})).id).not.toBe(session.id);
    });

    it('hold what the data was at the call', async () => {
      const { sessions } = await make();
      const data = { list: [1] };
      const creating = sessions.create(data);
      data.list.push(2);
      const session = await creating;
      session.data['more'] = true;
      expect((await sessions.get(session.id))?.data).toEqual({ list: [1] });
    });

    it('that are unknown are null, not found, or false', async () => {
      const { sessions } = await make();
      expect(await sessions.get('unknown')).toBe(null);
      expect((await errorOf(sessions.update('unknown', {}))).code).toBe('UAT_NOT_FOUND');
      expect((await errorOf(sessions.regenerate('unknown'))).code).toBe('UAT_NOT_FOUND');
      expect(await sessions.destroy('unknown')).toBe(false);
      expect(await sessions.touch('unknown')).toBe(false);
      expect(await sessions.listForUser('nobody')).toEqual([]);
      expect(await sessions.revokeAll('nobody')).toBe(0);
    });

    it('have their data replaced by update, and nothing else', async () => {
      const { sessions } = await make();
      const created = await sessions.create({ a: 1, b: 2 }, { userId: 'ann', ttl: 100 });
      const updated = await sessions.update(created.id, { c: 3 });
      expect(updated).toMatchObject({ id: created.id, userId: 'ann', data: { c: 3 }, createdAt: created.createdAt });
      expect(Math.abs(updated.expiresAt - created.expiresAt)).toBeLessThan(50);
      expect((await sessions.get(created.id))?.data).toEqual({ c: 3 });
    });

    it('that were destroyed are never brought back by a late save', async () => {
      const { sessions } = await make();
      const { id } = await sessions.create({ a: 1 });
      expect(await sessions.destroy(id)).toBe(true);
      expect(await sessions.destroy(id)).toBe(false);
      expect((await errorOf(sessions.update(id, { a: 2 }))).code).toBe('UAT_NOT_FOUND');
      expect((await errorOf(sessions.put(id, { a: 2 }))).code).toBe('UAT_CONFLICT');
      expect(await sessions.touch(id)).toBe(false);
      expect((await errorOf(sessions.regenerate(id))).code).toBe('UAT_NOT_FOUND');
      expect(await sessions.get(id)).toBe(null);
    });

    it('that are destroyed while saved by many end destroyed', async () => {
      const { sessions } = await make();
      const { id } = await sessions.create({ n: 0 });
      const saves = Array.from({ length: 50 }, (_, n) => sessions.update(id, { n }).then(() => 'saved', error => error.code as string));
      await sessions.destroy(id);
      for (const outcome of await Promise.all(saves)) expect(['saved', 'UAT_NOT_FOUND']).toContain(outcome);
      expect(await sessions.get(id)).toBe(null);
    });

    it('expire', async () => {
      const { sessions } = await make();
      const { id } = await sessions.create({}, { ttl: 0.1, userId: 'short' });
      await until(async () => await sessions.get(id) === null, 2_000);
      expect((await errorOf(sessions.update(id, {}))).code).toBe('UAT_NOT_FOUND');
      expect(await sessions.listForUser('short')).toEqual([]);
    });

    it('roll on with each read and write if they are rolling', async () => {
      const { sessions } = await make();
      const rolling = await sessions.create({}, { ttl: 0.5, rolling: true });
      const fixed = await sessions.create({}, { ttl: 0.5 });
      for (let round = 0; round < 4; round += 1) {
        await sleep(200);
        expect(await (round % 2 === 0 ? sessions.get(rolling.id) : sessions.update(rolling.id, { round }))).not.toBe(null);
        await sessions.get(fixed.id);
      }
      expect(await sessions.get(fixed.id)).toBe(null);
      expect((await sessions.get(rolling.id))!.expiresAt).toBeGreaterThan(rolling.expiresAt + 500);
    });

    it('end at their absolute time however they roll', async () => {
      const { sessions } = await make();
      const session = await sessions.create({}, { ttl: 10, rolling: true, absoluteTtl: 0.4 });
      expect(session.expiresAt - session.createdAt).toBeLessThanOrEqual(402);
      await until(async () => await sessions.get(session.id) === null, 2_000);
      const other = await sessions.create({}, { ttl: 10, absoluteTtl: 0.4 });
      const next = await sessions.regenerate(other.id);
      // Both are what Redis has left, rounded to its milliseconds, by this process' clock.
      expect(next.expiresAt, 'a new id is no new time').toBeLessThanOrEqual(other.expiresAt + 2);
    });

    it('get a new id and lose the old one by regenerate', async () => {
      const { sessions } = await make();
      const old = await sessions.create({ a: 1 }, { userId: 'ann' });
      const next = await sessions.regenerate(old.id);
      expect(next).toMatchObject({ userId: 'ann', data: { a: 1 }, createdAt: old.createdAt });
      expect(next.id).not.toBe(old.id);
      expect(await sessions.get(old.id)).toBe(null);
      expect((await errorOf(sessions.update(old.id, {}))).code).toBe('UAT_NOT_FOUND');
      expect((await sessions.get(next.id))?.data).toEqual({ a: 1 });
      expect(await sessions.listForUser('ann')).toHaveLength(1);
    });

    it('regenerated by many at once leave one', async () => {
      const { sessions } = await make();
      const { id } = await sessions.create({}, { userId: 'raced' });
      const outcomes = await Promise.allSettled(Array.from({ length: 20 }, () => sessions.regenerate(id)));
      expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
      expect(await sessions.listForUser('raced')).toHaveLength(1);
    });

    it('are listed for their user with handles, which only destroy takes', async () => {
      const { sessions } = await make();
      const first = await sessions.create({ n: 1 }, { userId: 'ann' });
      const second = await sessions.create({ n: 2 }, { userId: 'ann' });
      await sessions.create({ n: 3 }, { userId: 'bob' });
      const listed = await sessions.listForUser('ann');
      expect(listed.map(({ data }) => data['n']).sort()).toEqual([1, 2]);
      for (const one of listed) {
        expect(one).toEqual({ handle: expect.any(String), userId: 'ann', data: expect.any(Object), createdAt: expect.any(Number), expiresAt: expect.any(Number) });
        expect(await sessions.get(one.handle)).toBe(null);
        expect((await errorOf(sessions.update(one.handle, {}))).code).toBe('UAT_NOT_FOUND');
      }
      expect(await sessions.destroy(listed.find(({ data }) => data['n'] === 1)!.handle)).toBe(true);
      expect(await sessions.get(first.id)).toBe(null);
      expect(await sessions.get(second.id)).not.toBe(null);
      expect(await sessions.listForUser('ann')).toHaveLength(1);
    });

    it('are all revoked for a user, and nobody else’s', async () => {
      const { sessions } = await make();
      const mine = await Promise.all(Array.from({ length: 5 }, () => sessions.create({}, { userId: 'ann' })));
      const other = await sessions.create({}, { userId: 'bob' });
      expect(await sessions.revokeAll('ann')).toBe(5);
      for (const { id } of mine) expect(await sessions.get(id)).toBe(null);
      expect(await sessions.get(other.id)).not.toBe(null);
      expect(await sessions.revokeAll('ann')).toBe(0);
      expect(await sessions.listForUser('ann')).toEqual([]);
    });

    it('of an id of one’s own are put, whether they exist or not', async () => {
      const { sessions } = await make();
      const put = await sessions.put('my-id', { a: 1 }, { ttl: 100, userId: 'ann' });
      expect(put).toMatchObject({ id: 'my-id', data: { a: 1 } });
      const again = await sessions.put('my-id', { a: 2 }, { ttl: 1_000 });
      expect(again).toMatchObject({ data: { a: 2 }, createdAt: put.createdAt });
      expect(again.userId).toBe(undefined);
      expect(again.expiresAt - put.expiresAt).toBeGreaterThan(800_000);
      expect((await sessions.get('my-id'))?.data).toEqual({ a: 2 });
    });

    it('are touched: the time begins anew, the data stays', async () => {
      const { sessions } = await make();
      const { id, expiresAt } = await sessions.create({ a: 1 }, { ttl: 100 });
      await sleep(30);
      expect(await sessions.touch(id)).toBe(true);
      const touched = await sessions.get(id);
      expect(touched!.expiresAt).toBeGreaterThan(expiresAt + 10);
      expect(touched!.data).toEqual({ a: 1 });
      expect(await sessions.touch(id, 1_000)).toBe(true);
      expect((await sessions.get(id))!.expiresAt).toBeGreaterThan(expiresAt + 800_000);
    });

    it.each<[string, (one: RedisService) => Promise<unknown>, string]>([
      ['an empty id', one => one.sessions.get(''), 'id'],
      ['an id that is no string', one => one.sessions.destroy(7 as never), 'idOrHandle'],
      ['data that is an array', one => one.sessions.create([] as never), 'data'],
      ['no data', one => one.sessions.update('x', null as never), 'data'],
      ['data that JSON cannot hold', one => one.sessions.create({ a: 1n }), 'data'],
      ['ttl 0', one => one.sessions.create({}, { ttl: 0 }), 'options.ttl'],
      ['absoluteTtl NaN', one => one.sessions.create({}, { absoluteTtl: Number.NaN }), 'options.absoluteTtl'],
      ['an unknown option', one => one.sessions.create({}, { user: 'x' } as never), 'options.user'],
      ['an empty user', one => one.sessions.revokeAll(''), 'userId'],
      ['an id that looks like a handle', one => one.sessions.put(`s:${'a'.repeat(64)}`, {}), 'id'],
    ])('refuse %s by name', async (_, call, field) => {
      expect(await errorOf(call(await make()))).toMatchObject({ code: 'UAT_INVALID_INPUT', details: { field } });
    });
  });

  describe('in Redis', () => {
    it('neither the id nor anything to guess it from is stored', async () => {
      await redis.cli('FLUSHALL');
      const { sessions } = await service({ ...PATIENT, url: redis.url, keyPrefix: 'app:' });
      const { id } = await sessions.create({ a: 1 }, { userId: 'ann' });
      const keys = (await redis.cli('KEYS', '*')).split('\n').sort();
      expect(keys).toEqual([`app:${keyOf(id)}`, 'app:~uat:user:ann']);
      const fields = await redis.cli('HGETALL', `app:${keyOf(id)}`);
      expect(fields).not.toContain(id);
      expect(await redis.cli('SMEMBERS', 'app:~uat:user:ann')).toBe(keyOf(id).slice('~uat:session:'.length));
    });

    it('they lie as docs/redis-format.md says', async () => {
      const { sessions } = await service({ ...PATIENT, url: redis.url });
      const { id, createdAt } = await sessions.create({ a: 1 }, { userId: 'ann', ttl: 60, rolling: true, absoluteTtl: 600 });
      const field = (name: string): Promise<string> => redis.cli('HGET', keyOf(id), name);
      expect([await field('v'), await field('u'), await field('c'), await field('t'), await field('r'), await field('a')]).toEqual(['1', 'ann', String(createdAt), '60000', '1', String(createdAt + 600_000)]);
      await sessions.update(id, {});
      expect(await field('v')).toBe('2');
      await sessions.destroy(id);
      expect(await redis.cli('HGETALL', keyOf(id))).toBe('x\n1');
      expect(Number(await redis.cli('PTTL', keyOf(id)))).toBeGreaterThan(DAY_MS - 5_000);
      expect(Number(await redis.cli('PTTL', '~uat:user:ann')), 'the list of a user ends, too').not.toBe(-1);
    });

    it('two services share them, and a restarted service finds them', async () => {
      const one = await service({ ...PATIENT, url: redis.url });
      const { id } = await one.sessions.create({ a: 1 });
      await one.close();
      const two = await service({ ...PATIENT, url: redis.url });
      const three = await service({ ...PATIENT, url: redis.url });
      expect((await two.sessions.get(id))?.data).toEqual({ a: 1 });
      await three.sessions.destroy(id);
      expect(await two.sessions.get(id)).toBe(null);
    });
  });
});
