export declare function version(): string
export declare class CancelHandle { constructor(); cancel(): void }
export declare class ChatStream { next(): Promise<Buffer | null>; report(): RoutingReport }
export declare class FastLlmCoordinator {
  constructor(options: { configPath?: string; configJson?: string; engineSearch: string[] })
  route(request: Buffer, cancel?: CancelHandle | undefined | null, timeoutMs?: number | undefined | null): Promise<{ body: Buffer; routing: RoutingReport }>
  stream(request: Buffer, cancel: CancelHandle, timeoutMs?: number | undefined | null): Promise<ChatStream>
  health(): Array<EndpointHealth>
  stats(): CoordinatorStats
  close(): Promise<void>
}
export interface RoutingReport { requestId: string; model: string; endpoint: string; cache: string; attempts: Array<Attempt>; overheadUs: number }
export interface Attempt { endpoint: string; model: string; outcome: string; status?: number; error?: string; firstTokenMs?: number; totalMs: number }
export interface EndpointHealth { endpoint: string; state: string; ewmaFirstTokenMs: number; inFlight: number; errorRate: number; lastError?: string }
export interface CoordinatorStats { requests: number; errors: number; failovers: number; resumes: number; hedges: number; cacheHits: number; cacheMisses: number; inFlight: number; p50OverheadUs: number; p99OverheadUs: number }
