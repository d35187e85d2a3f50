import type { AddressInfo } from 'node:net';
import { once } from 'node:events';

import cookiePlugin from '@fastify/cookie';
import sessionPlugin from '@fastify/session';
import express, { type NextFunction, type Request, type Response } from 'express';
import session from 'express-session';
import fastify from 'fastify';

import { ExpressSessionStore } from '../../src/adapters/express-session.js';
import { FastifySessionStore } from '../../src/adapters/fastify-session.js';
import type { RedisService } from '../../src/index.js';

/** The same application in Express and in Fastify: it logs people in and out, and has a route that takes its time. */

declare module 'express-session' {
  interface SessionData {
    user?: string;
    visits?: number;
  }
}
declare module 'fastify' {
  interface Session {
    user?: string;
    visits?: number;
  }
}

export interface App {
  url: string;
  /** Codes of the errors that reached the application's error handler. */
  errors: string[];
  close(): Promise<void>;
}

/** Called by `/slow` when its session has been read; the route goes on when the promise is resolved. */
export type Slow = () => Promise<void>;

/** Of 32 characters at least, as @fastify/session wants it. */
const SECRET = 'a secret of more than thirty-two characters';
const LIFETIME_MS = 600_000;

export async function expressApp(service: RedisService, slow: Slow): Promise<App> {
  const errors: string[] = [];
  const app = express();
  const store = new ExpressSessionStore(service, { userId: ({ user }) => user });
  app.use(session({ store, secret: SECRET, resave: false, saveUninitialized: false, cookie: { maxAge: LIFETIME_MS } }));
  app.post('/login/:user', (request, response, next) => {
    request.session.regenerate(error => {
      if (error) return next(error);
      request.session.user = request.params.user;
      request.session.save(saved => saved ? next(saved) : response.json({ user: request.session.user }));
    });
  });
  app.get('/me', (request, response) => void response.json({ user: request.session.user ?? null, visits: request.session.visits ?? 0 }));
  app.get('/slow', async (request, response) => {
    await slow();
    request.session.visits = (request.session.visits ?? 0) + 1;
    response.json({ done: true });
  });
  app.post('/logout', (request, response, next) => {
    request.session.destroy(error => error ? next(error) : response.json({ user: null }));
  });
  app.use((error: { status?: number; code: string }, _request: Request, response: Response, _next: NextFunction) => {
    errors.push(error.code);
    // A save that fails is told when the answer is under way.
    if (!response.headersSent) response.status(error.status ?? 500).json({ code: error.code });
  });
  const server = app.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, errors,
    close: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

export async function fastifyApp(service: RedisService, slow: Slow): Promise<App> {
  const errors: string[] = [];
  const app = fastify({ forceCloseConnections: true });
  const store = new FastifySessionStore(service, { userId: ({ user }) => user });
  await app.register(cookiePlugin);
  await app.register(sessionPlugin, { store, secret: SECRET, saveUninitialized: false, cookie: { secure: false, maxAge: LIFETIME_MS } });
  app.post<{ Params: { user: string } }>('/login/:user', async request => {
    await request.session.regenerate();
    request.session.user = request.params.user;
    await request.session.save();
    return { user: request.session.user };
  });
  app.get('/me', async request => ({ user: request.session.user ?? null, visits: request.session.visits ?? 0 }));
  app.get('/slow', async request => {
    await slow();
    request.session.visits = (request.session.visits ?? 0) + 1;
    return { done: true };
  });
  app.post('/logout', async request => {
    await request.session.destroy();
    return { user: null };
  });
  app.setErrorHandler<Error & { code: string; statusCode?: number }>(async (error, _request, reply) => {
    errors.push(error.code);
    return await reply.code(error.statusCode ?? 500).send({ code: error.code });
  });
  return { url: await app.listen({ port: 0, host: '127.0.0.1' }), errors, close: () => app.close() };
}

/** Somebody with a cookie jar for one site. */
export class Browser {
  #cookie: string | undefined;
  readonly #app: App;

  constructor(app: App) {
    this.#app = app;
  }

  /** The status, and the body as JSON. */
  async ask(method: 'GET' | 'POST', path: string): Promise<{ status: number; body: unknown }> {
    const answer = await fetch(this.#app.url + path, { method, headers: this.#cookie === undefined ? {} : { cookie: this.#cookie } });
    const [set] = answer.headers.getSetCookie();
    if (set !== undefined) this.#cookie = set.split(';', 1)[0];
    return { status: answer.status, body: await answer.json() };
  }
}
