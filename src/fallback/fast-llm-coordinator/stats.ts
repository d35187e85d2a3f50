import type { CoordinatorStats } from '../../services/fast-llm-coordinator-types.js';

/** Overheads that quantiles are taken of: the recent past, at bounded memory. */
const KEPT = 1024;

/** The live counters behind {@link CoordinatorStats}. */
export class Counters {
  requests = 0;
  errors = 0;
  failovers = 0;
  resumes = 0;
  cacheHits = 0;
  cacheMisses = 0;
  inFlight = 0;
  readonly #overheadsUs: number[] = [];
  #next = 0;

  overhead(us: number): void {
    this.#overheadsUs[this.#next] = us;
    this.#next = (this.#next + 1) % KEPT;
  }

  snapshot(): CoordinatorStats {
    const sorted = [...this.#overheadsUs].sort((a, b) => a - b);
    const quantile = (q: number): number => sorted[Math.max(0, Math.ceil(sorted.length * q) - 1)] ?? 0;
    return {
      requests: this.requests, errors: this.errors, failovers: this.failovers, resumes: this.resumes, hedges: 0, cacheHits: this.cacheHits, cacheMisses: this.cacheMisses,
      inFlight: this.inFlight, p50OverheadUs: quantile(0.5), p99OverheadUs: quantile(0.99),
    };
  }
}
