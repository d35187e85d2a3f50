/** What a manager is set to. Bytes and milliseconds. `manager/settings.rs`. */
export interface Settings {
  /** Bytes of each device that are never given out: what drivers and libraries take without being asked. */
  readonly headroom: number;
  /** How much earlier a request counts as having come for each step of its priority. Nobody is overtaken by requests that come later than three such steps. */
  readonly aging_ms: number;
  /** Requests that may wait at once; more are refused. */
  readonly max_waiting: number;
  /** So many may be served before somebody that came first. Then, or when half of the time is over that its caller waits, the device where it will fit soonest is kept for it alone. */
  readonly max_overtaken: number;
  /** An idle warm model is not unloaded for so long after its last use: who just got an answer asks again. */
  readonly hold_ms: number;
  /** Models that may be loading at once on one device. */
  readonly loads_per_device: number;
  /** Whether two instances of a model may share a device. */
  readonly replicas_share_device: boolean;
  /** Bytes that one owner may lease at once on all devices together. */
  readonly quotas: Readonly<Record<string, number>>;
}

export const DEFAULTS: Settings = {
  headroom: 256 * 2 ** 20,
  aging_ms: 10_000,
  max_waiting: 1_000,
  max_overtaken: 200,
  hold_ms: 600,
  loads_per_device: 1,
  replicas_share_device: false,
  quotas: {},
};
