import { UniversalAiError } from '../errors.js';
import type { Grant, Start, Waiting } from './vision-resource-manager-backend.js';

interface Pending {
  readonly resolve: (value: Grant | Start) => void;
  readonly reject: (error: UniversalAiError) => void;
}

/** The requests of a backend that wait for their answers. */
export class PendingRequests {
  readonly #pending = new Map<number, Pending>();

  wait<T extends Grant | Start>(request: number): Waiting<T> {
    const answer = new Promise<Grant | Start>((resolve, reject) => this.#pending.set(request, { resolve, reject }));
    return { request, answer: answer as Promise<T> };
  }

  /** Whoever waits for the answer that is here now; nobody, where it came too late. */
  settle(request: number): Pending | undefined {
    const pending = this.#pending.get(request);
    this.#pending.delete(request);
    return pending;
  }

  close(): void {
    for (const { reject } of this.#pending.values()) reject(new UniversalAiError('UAT_CLOSED', 'the resource manager is closed'));
    this.#pending.clear();
  }
}
