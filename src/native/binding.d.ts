/* Generated from crates/node-addon by scripts/package.mjs; not edited by hand. */

/** What is known of an arm. */
export declare interface ArmPosterior {
  /** Its name. */
  arm: string
  /** Of its rewards. */
  mean: number
  /** How far the mean may be off. */
  std: number
  /** Rewards that this rests on. */
  pulls: number
  /** That no other arm's mean is greater. */
  probabilityBest: number
}

/** One try at one endpoint. */
export declare interface Attempt {
  /** Its name. */
  endpoint: string
  /** The model's name there. */
  model: string
  /** How it ended. */
  outcome: 'ok' | 'error' | 'timeout' | 'cancelled' | 'resumed'
  /** HTTP status. */
  status?: number
  /** Why it failed. */
  error?: string
  /** Milliseconds. */
  firstTokenMs?: number
  /** Milliseconds. */
  totalMs: number
}

/** A bandit that is open. */
export declare class Bandit {
  /** Chooses an arm. */
  select(context?: Float64Array | undefined | null): Decision
  /** Says what came of a decision. */
  reward(decisionId: string, reward: number): void
  /** What is known of each arm. */
  posterior(): Array<ArmPosterior>
  /** Keeps what was rewarded, and learns what others learnt. */
  flush(): Promise<undefined>
}

/** A browser that is heard. */
export declare class BrowserSession {
  /** What the browser is to be told: SDP. */
  get answerSdp(): string
  /** Tells it apart from others. */
  get sessionId(): string
  /** What came of it since the last call, at least one event; null when all was told. */
  next(): Promise<LiveTold[] | null>
  /** It is not heard any more. Idempotent. */
  close(): Promise<undefined>
}

/** How long a call may take, and whether the response cache may answer it. */
export declare interface CallLimits {
  /** Milliseconds, for the whole answer. */
  timeoutMs?: number
  /** Whatever the temperature; absent: at temperature 0. */
  cache?: boolean
}

/**
 * Cancels one call. napi takes an `AbortSignal` only for work on its thread pool, not for futures; the wrapper drives
 * this from the signal's event.
 */
export declare class CancelHandle {
  /** For one call. */
  constructor()
  /** Ends the call with `UAT_CANCELLED` and closes its upstream connection. Idempotent. */
  cancel(): void
}

/** A check and its numbers. */
export declare interface CascadeAsk {
  /** `on`, `schema`, `self-consistency` or `logprob`. */
  check: string
  /** How many answers are to agree. */
  k?: number
  /** What is to be reached. */
  threshold?: number
}

/**
 * A streamed answer. A task reads it ahead, at most [`READ_AHEAD`] chunks, and closes the connection as soon as the
 * call is cancelled, whether or not somebody waits in `next` then.
 */
export declare class ChatStream {
  /** The next chunks as one JSON array in UTF-8; null once the answer is whole. */
  next(): Promise<Buffer | null>
  /** How the request travelled. Throws before `next` has resolved to null. */
  report(): RoutingReport
  /** What the router decided, as `RoutePlan` in JSON; null where the request named its model. */
  plan(): string | null
}

/** A whole answer. */
export declare interface Completion {
  /** OpenAI's completion object as JSON in UTF-8. */
  body: Buffer
  /** How the request travelled. */
  routing: RoutingReport
}

/** What is wanted beside the request's own messages. */
export declare interface ContextAsk {
  /** The session whose latest exchanges are added, and whose memory gets this one. */
  sessionId?: string
  /** Texts that are searched for what the request is about. */
  documents: Array<ContextDocument>
  /** The most that is added, tokens. */
  maxTokens?: number
}

/** A text of the caller's. */
export declare interface ContextDocument {
  /** What reports call it. */
  id: string
  /** What it says. */
  text: string
}

/** Counts since the start. */
export declare interface CoordinatorStats {
  /** Accepted. */
  requests: number
  /** Ended in an error. */
  errors: number
  /** Attempts beyond the first of a request. */
  failovers: number
  /** Streams continued elsewhere. */
  resumes: number
  /** Sent twice. */
  hedges: number
  /** Answers from the response cache. */
  cacheHits: number
  /** Questions that it could not answer. */
  cacheMisses: number
  /** Under way. */
  inFlight: number
  /** Microseconds. */
  p50OverheadUs: number
  /** Microseconds. */
  p99OverheadUs: number
}

/** An arm that was chosen. */
export declare interface Decision {
  /** Its name. */
  arm: string
  /** To be given back. */
  decisionId: string
  /** With which it was chosen. */
  probability: number
}

/** A device, as it was read last. */
export declare interface DeviceUse {
  /** Its place. */
  index: number
  /** The driver's name for it; empty where it has not told it. */
  uuid: string
  /** The product's name; empty where the driver has not told it. */
  name: string
  /** In all. */
  total: number
  /** What the driver calls used. */
  used: number
  /** What leases say. */
  leased: number
  /** What leases do not explain. */
  external: number
  /** What may be given out. */
  free: number
  /** Whether it has vanished, or cannot be given out. */
  isLost: boolean
  /** Percent. */
  utilization?: number
  /** Degrees Celsius. */
  temperatureC?: number
  /** Watts. */
  powerW?: number
  /** Those that the driver lists. */
  processes: Array<ProcessUse>
}

/** Outcomes as they cross: three numbers and a value each. */
export declare interface Drained {
  /** Who waits, what came, and how long it lives in ms. */
  numbers: Float64Array
  /** The values. */
  values: unknown[]
}

/** The vectors of some texts. */
export declare interface Embeddings {
  /** One for each text, in their order. */
  embeddings: Array<Float32Array>
  /** Of all texts together, as the endpoint counted them. */
  promptTokens: number
}

/** What is known of one endpoint. */
export declare interface EndpointHealth {
  /** Its name. */
  endpoint: string
  /** Whether it is asked. */
  state: 'healthy' | 'degraded' | 'open' | 'half-open' | 'quarantined'
  /** Milliseconds. */
  ewmaFirstTokenMs: number
  /** Requests under way. */
  inFlight: number
  /** 0 to 1. */
  errorRate: number
  /** The last reason for which it counted as failed. */
  lastError?: string
  /** How the state has changed, oldest first. */
  history: Array<StateChange>
}

/** How a model would be run; the wrapper has filled in the defaults. */
export declare interface EstimateOptions {
  /** Absent: as many as the model was trained on. */
  contextTokens?: number
  /** `f16`, `q8_0` or `q4_0`. */
  kvType: string
  /** Tokens that are computed at a time. */
  batchTokens: number
  /** Whether attention is computed in one step. */
  flashAttention: boolean
  /** Absent: all. */
  gpuLayers?: number
  /** Conversations at a time. */
  parallel: number
}

/** The coordinator of the core. */
export declare class FastLlmCoordinator {
  /** Only validates: starts no process and opens no connection. */
  constructor(options: RuntimeOptions)
  /**
   * Asks for a whole answer. `request` is a chat-completion request as JSON in UTF-8; `cache` what the caller wishes of
   * the response cache.
   */
  route(request: Uint8Array, cancel?: CancelHandle | undefined | null, timeoutMs?: number | undefined | null, cache?: boolean | undefined | null): Promise<Completion>
  /** Asks for one vector for each of the texts. */
  embed(model: string, input: Array<string>, cancel?: CancelHandle | undefined | null, timeoutMs?: number | undefined | null): Promise<Embeddings>
  /**
   * Asks for a streamed answer; resolves when its first content is there. `request` says `"stream": true`; `cache` as in
   * `route`.
   */
  stream(request: Uint8Array, cancel: CancelHandle, timeoutMs?: number | undefined | null, cache?: boolean | undefined | null): Promise<ChatStream>
  /** What is known of each endpoint. */
  health(): Array<EndpointHealth>
  /** Counts since the start. */
  stats(): CoordinatorStats
  /** Takes over another configuration, or rejects and keeps the old one. Without a path and a document as the constructor. */
  reload(configPath?: string | undefined | null, configJson?: string | undefined | null): Promise<undefined>
  /** Ends the calls that are under way and lets the engine go. */
  close(): Promise<undefined>
}

/** One thing that happened; which fields there are depends on `kind`. */
export declare interface GpuNews {
  /** `granted`, `started` or `failed` for a request that waited; `preempt`, `ended`, `load`, `unload` or `overuse`. */
  kind: string
  /** Which request. */
  request?: number
  /** Which lease. */
  lease?: number
  /** Of a lease that is granted, or of an instance that is to be loaded. */
  shares?: Array<GpuShare>
  /** When a lease ends, in ms of the manager's clock. */
  endsAt?: number
  /** How long was waited, in ms. */
  waitedMs?: number
  /** What a request failed with, as errors cross. */
  error?: string
  /** For whom a lease is taken back. */
  by?: string
  /** Which model is to be loaded. */
  model?: string
  /** Where more is used than leased. */
  device?: number
  /** Bytes. */
  leased?: number
  /** Bytes. */
  used?: number
}

/** Bytes of a device. */
export declare interface GpuShare {
  /** Its place. */
  device: number
  /** How many. */
  bytes: number
}

/** A `VoiceResult`; times are ms. */
export declare interface Heard {
  /** All of it. */
  text: string
  /** The language's code. */
  language: string
  /** In the order of time. */
  segments: Array<HeardSegment>
  /** Of the whole signal. */
  durationMs: number
  /** How much of it is speech. */
  speechMs: number
  /** The audio ends before it says it does. */
  truncated: boolean
  /** Packets that were heard as silence. */
  damagedPackets: number
  /** Where the time went. */
  timings: HeardTimings
}

/** A piece of what was said. */
export declare interface HeardSegment {
  /** When it begins. */
  startMs: number
  /** When it ends. */
  endMs: number
  /** What was said. */
  text: string
  /** 0 to 1; NaN where nobody knows. */
  confidence: number
  /** Where they were asked for. */
  words?: Array<HeardWord>
}

/** Where the time of a call went, in ms. */
export declare interface HeardTimings {
  /** Reading and decoding. */
  decodeMs: number
  /** Resampling, where it can be told from decoding. */
  resampleMs: number
  /** Finding speech. */
  vadMs: number
  /** Writing it down. */
  transcribeMs: number
  /** All of it. */
  totalMs: number
}

/** A word. */
export declare interface HeardWord {
  /** With its punctuation. */
  word: string
  /** When it begins. */
  startMs: number
  /** When it ends. */
  endMs: number
  /** 0 to 1; NaN where nobody knows. */
  confidence: number
}

/** How a recording is heard. */
export declare interface HearOptions {
  /** Only speech is written down. */
  vad: boolean
  /** Words are wanted. */
  transcribe: boolean
  /** A code such as `de`. */
  language?: string
  /** Words get times. */
  wordTimestamps: boolean
  /** Texts that are followed side by side. */
  beamSize?: number
}

/** A lease, or a request that waits. */
export declare interface Held {
  /** Of the lease, or of the request. */
  number: number
  /** On whose account. */
  owner: string
  /** What for. */
  model?: string
  /** How much it matters. */
  priority: string
  /** Where. */
  shares: Array<GpuShare>
  /** When it ends, or is refused; absent: it has no end. */
  endsAt?: number
  /** `active`, `grace` or `queued`. */
  state: string
}

/** A live signal. */
export declare class LiveSignal {
  /** Hears samples, which are copied. Resolves when there is room for more. */
  write(samples: Int16Array | Float32Array): Promise<void>
  /** The signal has ended: what is left of it is still told. */
  end(): void
  /** How far texts are behind what was written, in ms of it. */
  get bufferedMs(): number
  /** What came of the signal since the last call, at least one event; null when all was told. */
  next(): Promise<LiveTold[] | null>
  /** Nobody wants to know any more. Idempotent. */
  leave(): void
}

/** A `VoiceEvent`. */
export declare interface LiveTold {
  /** Which. */
  type: string
  /** When speech began or ended. */
  atMs?: number
  /** When the stretch of a partial text began. */
  startMs?: number
  /** A partial text. */
  text?: string
  /** UTF-16 units of it that will not change. */
  committed?: number
  /** What was said, for good. */
  segment?: HeardSegment
  /** Of an error. */
  code?: string
  /** Of an error. */
  message?: string
}

/**
 * The router of the core, with a coordinator of its own. Where `request` stands, it is a chat-completion request as JSON in UTF-8
 * whose `model` is `auto` or `tier:NAME`.
 */
export declare class LlmRouter {
  /** Only validates: starts no process and opens no connection. */
  constructor(options: RuntimeOptions)
  /** Without a configuration looks for other local servers; otherwise there is nothing to wait for. */
  initialize(): Promise<undefined>
  /**
   * Asks the model that is chosen for a whole answer, and those that follow where it fails. `predicate` is asked of the first answer of
   * a cascade: 1 accepts it, 0 does not, anything else ends the call.
   */
  generate(request: Uint8Array, ask: RouteAsk, limits: CallLimits, cancel?: CancelHandle | undefined | null, predicate?: ((completion: Completion) => Promise<number>) | undefined | null): Promise<RoutedCompletion>
  /** Asks for a streamed answer; resolves when its first content is there. `request` says `"stream": true`. */
  stream(request: Uint8Array, ask: RouteAsk, limits: CallLimits, cancel: CancelHandle, predicate?: ((completion: Completion) => Promise<number>) | undefined | null): Promise<ChatStream>
  /** Decides who would answer, and asks nobody: `RoutePlan` as JSON. */
  plan(request: Uint8Array, ask: RouteAsk, predicate?: ((completion: Completion) => Promise<number>) | undefined | null): string
  /** The decision of this id as `RoutePlan` in JSON; null once it is forgotten. */
  explain(requestId: string): string | null
  /** Says how good an answer was, 0 to 1; once for each. */
  feedback(requestId: string, score: number): Promise<undefined>
  /** The models that are chosen among. */
  models(): Array<RoutedModel>
  /** Ends the calls that are under way and lets the engine go. */
  close(): Promise<undefined>
}

/** What a model takes of a GPU. Bytes. */
export declare interface MemoryEstimate {
  /** Weights. */
  weights: number
  /** Keys and values. */
  cache: number
  /** What computing takes beside. */
  compute: number
  /** `exact`, `formula` or `calibrated`. */
  confidence: string
}

/** A bandit; the wrapper has checked it and filled in the defaults. */
export declare interface NewBandit {
  /** Under which what it learns is kept. */
  name: string
  /** At least one. */
  arms: Array<string>
  /** A name of `BanditOptions.policy`. */
  policy: string
  /** `bernoulli` or `gaussian`. */
  reward: string
  /** With `lin-thompson`. */
  contextDims?: number
  /** In rewards, at least 8. */
  halfLife?: number
  /** Absent: one that nobody knows. */
  seed?: number
}

/** A GPU that is made up. */
export declare interface NewFakeGpu {
  /** Its product's name. */
  name?: string
  /** Bytes. */
  total: number
}

/** What few leases say of themselves. */
export declare interface NewLease {
  /** On whose account. */
  owner: string
  /** What for. */
  model?: string
  /** Only on these; absent: any. */
  devices?: Array<number>
}

/** What JavaScript passes; the wrapper has filled in the defaults. */
export declare interface NewManager {
  /** `auto`, `nvml`, `fake` or `none`. */
  driver: string
  /** NVML's library, where it is not at a usual place. */
  nvmlPath?: string
  /** With `fake`. */
  fakeGpus: Array<NewFakeGpu>
  /** Bytes of each GPU that are never given out. */
  headroom: number
  /** How often the driver is read, in ms. */
  pollMs: number
}

/** A model that can be loaded; the wrapper has filled in the defaults. */
export declare interface NewModel {
  /** Its name. */
  name: string
  /** Bytes of an instance. */
  bytes: number
  /** How long a load takes, in ms, until one was measured. */
  loadMs: number
  /** Instances at most. */
  replicas: number
  /** Uses of an instance at once; absent: any number. */
  concurrency?: number
}

/** A server with OpenAI's `/v1/audio/transcriptions`. */
export declare interface NewRemote {
  /** Its address. */
  baseUrl: string
  /** The key that it is asked with. */
  apiKey?: string
  /** The model that it is asked for. */
  model: string
}

/** What JavaScript passes; the wrapper has filled in the defaults. */
export declare interface NewVoice {
  /** The model that writes down what was said. */
  model: string
  /** Threads that compute; absent: as many as there are cores. */
  threads?: number
  /** The network that finds speech. */
  vadModel: string
  /** Who writes down instead. */
  remote?: NewRemote
}

/** The service of the core. */
export declare class ParameterAnalytics {
  /** `storage`: a folder, `:memory:` or a URL of Redis. Reads nothing yet. */
  constructor(storage: string)
  /** `OptimizeResult` for an `OptimizeRequest`, both as JSON. */
  optimize(request: string): Promise<string>
  /** Learns from an `Outcome` as JSON. */
  record(outcome: string): Promise<undefined>
  /** How calls went, for a `PerformanceFilter`, both as JSON. */
  performance(filter: string): Promise<string>
  /** Creates a study, or opens the one that was made of the same: `StudyOptions` as JSON, with all defaults filled in. */
  createStudy(options: string): Promise<Study>
  /** Opens a study. */
  loadStudy(name: string): Promise<Study>
  /** A bandit; what is kept of it is learnt at its first `flush`. */
  bandit(bandit: NewBandit): Bandit
  /** Keeps what bandits have learnt, and lets go of the storage. */
  close(): Promise<undefined>
}

/** A process that uses a device. */
export declare interface ProcessUse {
  /** Its number. */
  pid: number
  /** Absent: the driver does not tell. */
  used?: number
}

/** A message, or a gap. */
export declare interface RedisEvent {
  /** Where it was published, without the prefix. */
  channel?: string
  /** What was published. */
  message?: RedisValue
  /** A gap instead: so many ms ago everything was complete. */
  gapSinceMs?: number
}

/** What JavaScript passes; the wrapper has filled in the defaults. */
export declare interface RedisOptions {
  /** The address; absent for the embedded tier. */
  url?: string
  /** See `Options` of the crate redis-service, as are the following. */
  maxConnections: number
  /** Goes before every key. */
  keyPrefix: string
  /** Whether JavaScript keeps values that it reads, so that it wants to know what changes. */
  nearCache: boolean
  /** `zstd` or `lz4`; absent: values are not compressed. */
  codec?: string
  /** Shorter values are stored as they are. */
  compressMinBytes: number
  /** Of zstd. */
  compressionLevel: number
  /** Of zstd, in place of the one that ships. */
  dictionary?: Uint8Array
  /** Whether writes of sessions are taken while Redis is away. */
  replayWrites: boolean
  /** How many. */
  maxReplay?: number
  /** Bytes kept while Redis is away. */
  fallbackMaxBytes: number
  /** Milliseconds. */
  connectTimeoutMs: number
  /** Milliseconds. */
  commandTimeoutMs: number
  /** Milliseconds. */
  readBudgetMs: number
}

/** The service of the core. */
export declare class RedisService {
  /** Writes a value with tags. */
  setTagged(key: string, value: RedisValue, ttlMs: number, onlyIf: string | undefined | null, tags: Array<string>): Promise<boolean>
  /** Deletes the values whose keys begin so; how many there were. */
  clear(prefix: string): Promise<number>
  /** Deletes the values that carry a tag; how many there were. */
  invalidateTag(tag: string): Promise<number>
  /** Looks for a value, and decides who computes it. */
  flightBegin(key: string, staleMs: number): Promise<RedisTurn>
  /** Keeps a lease; whether it still was the caller's. */
  flightRenew(key: string, token: string): Promise<boolean>
  /** Ends a lease without a value. */
  flightAbandon(key: string, token: string): Promise<undefined>
  /** Any command; the answer is JSON, see `answer_json`. */
  command(words: Array<string | Uint8Array>): Promise<string>
  /** Sends a message; how many were listening. */
  publish(channel: string, message: RedisValue): Promise<number>
  /** A new session. */
  sessionCreate(data: string, options: RedisSessionOptions): Promise<RedisSession>
  /** Writes a session under the caller's own id. */
  sessionPut(id: string, data: string, options: RedisSessionOptions): Promise<RedisSession>
  /** A session, if there is one. */
  sessionGet(id: string): Promise<RedisSession | undefined | null>
  /** New data for a session that exists. */
  sessionUpdate(id: string, data: string): Promise<RedisSession>
  /** The whole time to live again, or another one; whether there was a session. */
  sessionTouch(id: string, ttlMs?: number | undefined | null): Promise<boolean>
  /** The session under a new id. */
  sessionRegenerate(id: string): Promise<RedisSession>
  /** Ends a session for good; whether there was one. */
  sessionDestroy(idOrHandle: string): Promise<boolean>
  /** The sessions of a user. */
  sessionList(userId: string): Promise<Array<RedisSession>>
  /** Ends the sessions of a user; how many there were. */
  sessionRevokeAll(userId: string): Promise<number>
  /** Does nothing before the first `next`. */
  subscribe(channels: Array<string>, pattern: boolean): RedisSubscription
  /**
   * `wake` is called, from the event loop, when outcomes have come: then call `drain`; `on_mode` with each mode that begins after
   * `open`.
   */
  constructor(wake: () => void, onMode: (arg: RedisStatus) => void)
  /** Connects. */
  open(options: RedisOptions): Promise<undefined>
  /** Starts the operations of a tick; whether some have been answered already. */
  submit(numbers: Float64Array, count: number, keys: string, payloads: unknown[]): boolean
  /** The outcomes that have come. */
  drain(): Drained
  /** The keys whose values have changed since the last call; `null` stands for all. */
  takeChanged(): Array<string> | null
  /** One number in shared memory that grows with each change. */
  changes(): Uint32Array
  /** Where the service stands. */
  status(): RedisStatus
  /** Counters since the start, without what JavaScript answered itself. */
  stats(): RedisStats
  /** Ends connections. */
  close(): Promise<undefined>
}

/** A session; `id` is its handle where it is listed. */
export declare interface RedisSession {
  /** The id or handle. */
  id: string
  /** Whose it is. */
  userId?: string
  /** A JSON object. */
  data: string
  /** ms since 1970. */
  createdAt: number
  /** ms since 1970. */
  expiresAt: number
}

/** How a session is made. */
export declare interface RedisSessionOptions {
  /** Whose it is. */
  userId?: string
  /** How long it lives. */
  ttlMs: number
  /** Whether each use gives it the whole time again. */
  rolling: boolean
  /** How long it lives at most. */
  absoluteTtlMs?: number
}

/** Counters since the start. */
export declare interface RedisStats {
  /** Reads that found a value. */
  hits: number
  /** Reads that found none. */
  misses: number
  /** Values written. */
  sets: number
  /** Bytes as stored. */
  bytesStored: number
  /** Bytes before compression. */
  bytesBeforeCompression: number
  /** Connections made again. */
  reconnects: number
  /** Answered without Redis because it was away. */
  fallbackOps: number
}

/** Where the service stands. */
export declare interface RedisStatus {
  /** `redis`, `fallback` or `embedded`. */
  mode: string
  /** ms since 1970. */
  since: number
  /** Writes that Redis does not know yet. */
  pendingReplays: number
  /** Why Redis was away the last time. */
  lastError?: string
}

/** Messages as they come. */
export declare class RedisSubscription {
  /** The next events, at least one; `null` once it has ended. */
  next(): Promise<Array<RedisEvent> | undefined | null>
  /** Unsubscribes; a pending `next` gives `null`. */
  cancel(): void
}

/** What is to be done about a value. */
export declare interface RedisTurn {
  /** `fresh`, `stale`, `lead` or `alone`. */
  state: string
  /** Of `fresh` and `stale`. */
  value?: RedisValue
  /** Of `lead`, and of `stale` where this caller refreshes. */
  lease?: string
}

/** A value of the cache; exactly one of the fields is there. */
export declare interface RedisValue {
  /** Text. */
  text?: string
  /** JSON. */
  json?: string
  /** A safe integer. */
  integer?: number
  /** Bytes. */
  bytes?: Uint8Array
}

/** What is wanted of whoever answers. */
export declare interface RouteAsk {
  /** What the model must be able to do. */
  capabilities: Array<string>
  /** Until the answer is whole; milliseconds. */
  maxLatencyMs?: number
  /** USD. */
  maxCostUsd?: number
  /** A cheap model is asked first, and its answer given where this check says that it does. */
  cascade?: CascadeAsk
  /** What is added to the request. */
  context?: ContextAsk
}

/** A whole answer, and why this model gave it. */
export declare interface RoutedCompletion {
  /** OpenAI's completion object as JSON in UTF-8. */
  body: Buffer
  /** How the request travelled. */
  routing: RoutingReport
  /** `RoutePlan` as JSON, the same document that a server gives at `/v1/routing/{request_id}`. */
  plan: string
}

/** A model that the router chooses among. */
export declare interface RoutedModel {
  /** The public name. */
  name: string
  /** The tier that it names; empty for none. */
  tier: string
  /** What it can do. */
  capabilities: Array<string>
  /** How good its answers are taken to be, 0 to 1. */
  quality: number
  /** Judgements that were taken in. */
  samples: number
  /** Whether an endpoint may be asked. */
  healthy: boolean
}

/** How a request travelled. */
export declare interface RoutingReport {
  /** Names the request in reports and logs. */
  requestId: string
  /** As the caller named it. */
  model: string
  /** Who answered. */
  endpoint: string
  /** Whether the response cache answered. */
  cache: 'hit' | 'miss' | 'bypass'
  /** Every try, in order. */
  attempts: Array<Attempt>
  /** Microseconds. */
  overheadUs: number
  /** Fields of the request that the endpoint was not told. */
  dropped?: Array<string>
}

/** Where the configuration comes from, and the engine. */
export declare interface RuntimeOptions {
  /** A file in the form of uat.toml. */
  configPath?: string
  /** The same as one JSON document; with neither, `UAT_CONFIG`, `./uat.toml` or the defaults. */
  configJson?: string
  /** Folders in which the engine may lie besides the usual places. */
  engineSearch: Array<string>
}

/** How samples lie. */
export declare interface SampleFormat {
  /** `i16` or `f32`, without a container; absent: a container, or else 16-bit little-endian PCM. */
  samples?: string
  /** Per second; absent: what is in no container is refused. */
  sampleRate?: number
  /** Interleaved. */
  channels: number
}

/** How a live signal is heard. */
export declare interface SignalOptions {
  /** Samples a second. */
  sampleRate: number
  /** Interleaved. */
  channels: number
  /** A code such as `de`. */
  language?: string
  /** How long after one partial text the next is begun, in ms. */
  partialEveryMs?: number
  /** A silence of this length ends a turn, in ms. */
  endpointSilenceMs?: number
}

/** Where somebody speaks. */
export declare interface Spoken {
  /** Beginnings and ends in turn, in ms. */
  bounds: Array<number>
  /** Of each frame, 0 to 1. */
  probabilities: Float32Array
  /** What a frame lasts, in ms. */
  frameMs: number
}

/** A change of an endpoint's state. */
export declare interface StateChange {
  /** Milliseconds since 1970. */
  at: number
  /** The state before. */
  from: 'healthy' | 'degraded' | 'open' | 'half-open' | 'quarantined'
  /** The state since. */
  to: 'healthy' | 'degraded' | 'open' | 'half-open' | 'quarantined'
  /** Why. */
  reason: string
}

/** A study that is open. Trials cross as JSON; their numbers are whole. */
export declare class Study {
  /** Its name. */
  get name(): string
  /** How often a worker says that it lives, in ms. */
  get heartbeatMs(): number | null
  /** The next trials, as JSON. */
  ask(count: number): Promise<string>
  /** Ends a trial; without values it failed. */
  tell(trial: number, values: Array<number> | undefined | null, constraintValues: Array<number>): Promise<undefined>
  /** A value on the way. */
  report(trial: number, step: number, value: number): Promise<undefined>
  /** Whether a trial is worth no more effort. */
  shouldPrune(trial: number): Promise<boolean>
  /** The worker of a trial lives. */
  heartbeat(trial: number): Promise<undefined>
  /** One more choice, as JSON. */
  addChoice(parameter: string, choice: string): Promise<undefined>
  /** One choice less, as JSON. */
  retireChoice(parameter: string, choice: string): Promise<undefined>
  /** The best trial as JSON, `null` if there is none. */
  best(): string
  /** How much each parameter matters, as JSON; the sum is 1. */
  importance(): string
  /** The report, as one page. */
  html(): Promise<string>
  /** The complete trials that are as good as the best one, as JSON. */
  paretoFront(): string
  /** All trials as JSON. */
  trials(): string
}

/** The manager of the core, with this process as the only one that holds anything. */
export declare class VisionResourceManager {
  /** Reads the driver. `hear` is called from the event loop, which that does not keep alive. */
  constructor(options: NewManager, hear: (arg: GpuNews) => void)
  /**
   * Asks for memory. `numbers` says how much: the bytes, the GPUs, the place of the priority, how many ms it shall live, how many
   * ms it waits, and the ms of grace, below 0 where it is not preemptible.
   *
   * 0: it is granted, and in place of that stand the lease, how many ms are left of it, and for each GPU its place and the bytes.
   * Otherwise the number of the request, which waits.
   */
  allocate(numbers: Float64Array, more?: NewLease | undefined | null): number
  /** Of `allocate` and `use_model`: the caller does not want it any longer. */
  cancel(request: number): void
  /** How many ms are left of the lease then. */
  renew(lease: number, durationMs: number): number
  /** Gives a lease back. */
  release(lease: number): void
  /** What time it is for leases, in ms; those of news are of the same clock. */
  now(): number
  /** The devices, as they were read last. */
  usage(): Array<DeviceUse>
  /** Leases, oldest first, and then those that wait, first in line first. */
  held(): Array<Held>
  /** What a model takes of a GPU, from the header of its file. */
  estimate(path: string, options: EstimateOptions): Promise<MemoryEstimate>
  /** A model that can be loaded. */
  register(model: NewModel): void
  /** Asks to use a model: as `allocate`, but `out` says the request and the lease of the instance. */
  useModel(out: Float64Array, model: string, priority: number, waitMs: number): number
  /** A use has ended. */
  done(request: number): void
  /** An instance is loaded, which took so many ms. */
  loaded(lease: number, tookMs: number): void
  /** It could not be loaded. */
  loadFailed(lease: number): void
  /** It is unloaded. */
  unloaded(lease: number): void
  /** Which instances are to be unloaded, so that so many bytes are free, or those that block more than they cost to load again. */
  optimize(targetFree?: number | undefined | null, device?: number | undefined | null): Array<number>
  /** Ends everything that waits, and the thread. */
  close(): void
}

/** The service of the core. */
export declare class VoiceProcessing {
  /** Loads nothing. */
  constructor()
  /** Loads the models that are on this machine; once. */
  initialize(options: NewVoice): Promise<undefined>
  /**
   * What was said in `audio`, the path of a file or what would stand there. `progress` is called from the event loop, which that
   * does not keep alive, at most ten times a second, with what was heard of it, 0 to 1.
   */
  process(audio: string | Uint8Array, format: SampleFormat, options: HearOptions, cancel?: CancelHandle | undefined | null, progress?: ((arg: number) => void) | undefined | null): Promise<Heard>
  /** Where somebody speaks in `audio`; speech begins at a probability of `threshold`. */
  detect(audio: string | Uint8Array, format: SampleFormat, threshold?: number | undefined | null): Promise<Spoken>
  /** A browser's offer of WebRTC: it is heard from then on. */
  accept(id: string, offer: string, language?: string | undefined | null): Promise<BrowserSession>
  /** A live signal begins, once the models for it are loaded. */
  stream(options: SignalOptions, cancel?: CancelHandle | undefined | null): Promise<LiveSignal>
  /** Ends what is under way, and waits until it has ended. */
  close(): Promise<undefined>
}

/** The version of the addon, which the loader compares with that of the package. */
export declare function version(): string
