import { UniversalAiError } from '../errors.js';
import type { News, PreparedModel } from '../services/vision-resource-manager-backend.js';
import { type Connection, isAway } from './connection.js';
import type { Link } from './link.js';
import type { WireInstance, WireModel, WireNotice } from './wire.js';

/** A model that was registered here. */
interface Model {
  readonly of: WireModel;
  /** With which daemon, and what came of it. */
  registered?: { readonly daemon: number | undefined; readonly done: Promise<void> };
}

/** A model in memory, or on its way there or out. */
interface Instance {
  readonly model: Model;
  state: WireInstance['state'];
  readonly uses: Set<number>;
}

/** What is told of something that is over: there is nothing left to tell. */
const OVER = new Set(['UAT_NOT_FOUND', 'UAT_LEASE_EXPIRED', 'UAT_PREEMPTED']);

/** The warm models of this process, as the daemon is told of them: by calls that arrive in order, and all at once when another daemon is there. */
export class HostModels {
  readonly #connection: Connection;
  readonly #link: Link;
  readonly #models = new Map<string, Model>();
  readonly #instances = new Map<number, Instance>();
  /** With which instance a use began. */
  readonly #uses = new Map<number, number>();
  /** What is still to be told of an instance. */
  readonly #telling = new Map<number, Promise<void>>();
  #isClosed = false;
  #whenTold: (() => void) | undefined;

  constructor(connection: Connection, link: Link) {
    [this.#connection, this.#link] = [connection, link];
  }

  register({ name, bytes, loadMs, replicas, concurrency }: PreparedModel): void {
    this.#models.set(name, { of: { name, bytes, load_ms: loadMs, replicas, ...(concurrency === undefined ? {} : { concurrency }) } });
  }

  /** The daemon that is there knows the model. */
  async known(name: string): Promise<void> {
    const model = this.#models.get(name);
    if (model === undefined) throw new UniversalAiError('UAT_INTERNAL', `the model \`${name}\` was not registered; please report this`);
    const { daemon } = this.#link;
    if (model.registered?.daemon !== daemon) model.registered = { daemon, done: this.#connection.call('POST', '/v1/models', model.of) };
    try {
      await model.registered!.done;
    } catch (error) {
      delete model.registered;
      throw error;
    }
  }

  began(request: number, lease: number): void {
    this.#instances.get(lease)?.uses.add(request);
    this.#uses.set(request, lease);
  }

  done(request: number): void {
    const lease = this.#uses.get(request);
    if (lease === undefined) return;
    this.#uses.delete(request);
    this.#instances.get(lease)?.uses.delete(request);
    // Among themselves uses end in any order, so that one does not wait for the other.
    this.#tell(lease, () => this.#connection.call('DELETE', `/v1/uses/${request}`), false);
  }

  /** Whether a use began is not known: then it ends. */
  unsure(request: number): void {
    void this.#insist(() => this.#connection.call('DELETE', `/v1/uses/${request}`));
  }

  loaded(lease: number, tookMs: number): void {
    const instance = this.#instances.get(lease);
    if (instance === undefined) return;
    instance.state = 'ready';
    this.#tell(lease, () => this.#connection.call('POST', `/v1/leases/${lease}/loaded`, { took_ms: tookMs }));
  }

  loadFailed(lease: number): void {
    if (this.#instances.delete(lease)) this.#tell(lease, () => this.#connection.call('POST', `/v1/leases/${lease}/failed`));
  }

  unloaded(lease: number): void {
    if (this.#instances.delete(lease)) this.#tell(lease, () => this.#connection.call('DELETE', `/v1/leases/${lease}`));
  }

  /** What is to be done, unless it was heard before: whoever listens anew is told again. */
  hear(notice: Extract<WireNotice, { event: 'load' | 'unload' }>): News | undefined {
    const { lease } = notice;
    const instance = this.#instances.get(lease);
    if (notice.event === 'unload') {
      if (instance === undefined || instance.state === 'unloading') return undefined;
      instance.state = 'unloading';
      return { kind: 'unload', lease };
    }
    const model = this.#models.get(notice.model);
    // What was said before it was told that this one is out already, or could not be loaded.
    if (instance !== undefined || model === undefined || this.#telling.has(lease)) return undefined;
    this.#instances.set(lease, { model, state: 'loading', uses: new Set() });
    return { kind: 'load', lease, model: notice.model, share: { device: notice.gpu.index, bytes: notice.gpu.bytes } };
  }

  /** For a daemon that does not know. */
  held(): WireInstance[] {
    return [...this.#instances].map(([lease, { model, state, uses }]) => ({ lease, model: model.of, state, uses: [...uses] }));
  }

  get size(): number {
    return this.#instances.size;
  }

  /** The daemon does not know it. */
  gone(lease: number): void {
    this.#instances.delete(lease);
  }

  /** When the daemon has heard all that was to be told of instances so far. */
  async told(): Promise<void> {
    await Promise.all(this.#telling.values());
  }

  /** Nothing is tried again from now on: a daemon that is away learns it from the end of this process. */
  close(): void {
    this.#isClosed = true;
  }

  /** Calls back when all is told of all instances. */
  whenTold(tell: () => void): void {
    this.#whenTold = tell;
    this.#settled();
  }

  #settled(): void {
    if (this.#instances.size === 0 && this.#telling.size === 0) this.#whenTold?.();
  }

  #tell(lease: number, call: () => Promise<unknown>, inOrder = true): void {
    const before = this.#telling.get(lease) ?? Promise.resolve();
    const { daemon } = this.#link;
    const insist = (): Promise<void> => this.#insist(call, daemon);
    const all: Promise<unknown> = inOrder ? before.then(insist) : Promise.all([before, insist()]);
    const told = all.then(() => undefined).finally(() => {
      if (this.#telling.get(lease) === told) this.#telling.delete(lease);
      this.#settled();
    });
    this.#telling.set(lease, told);
  }

  /** Until it has arrived. Another daemon than the one that was to hear it has been told all. */
  async #insist(call: () => Promise<unknown>, daemon = this.#link.daemon): Promise<void> {
    for (;;) {
      try {
        if (!this.#isClosed) await this.#link.ready();
        if (this.#link.daemon === daemon) await call();
        return;
      } catch (error) {
        if (error instanceof UniversalAiError && OVER.has(error.code)) return;
        if (!isAway(error)) return void process.emitWarning(`the GPU daemon refuses what it is told of a warm model: ${(error as Error).message}`, { type: 'UniversalAiToolsWarning', code: 'UAT_GPU_DAEMON_REFUSES' });
        if (this.#isClosed) return;
        await this.#link.back();
      }
    }
  }
}
