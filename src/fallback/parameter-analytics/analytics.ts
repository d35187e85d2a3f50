/** The TypeScript backend of `ParameterAnalytics`: what is open, and where it is kept. */

import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';

import { UniversalAiError } from '../../errors.js';
import type { BanditBackend, ParameterAnalyticsBackend, PreparedAnalytics, PreparedBandit, PreparedOptimize, PreparedStudy, StudyBackend } from '../../services/parameter-analytics-backend.js';
import type { OptimizeResult, Outcome, Performance, PerformanceFilter } from '../../services/parameter-analytics-types.js';
import { Advisor } from './advice/advisor.js';
import { OpenBandit } from './bandit/store.js';
import { FileJournal, fileName, NOWHERE, storing } from './storage/journal.js';
import type { CreatedOptions } from './study/event.js';
import { isSupported, unsupported } from './study/sampler.js';
import { StudyState } from './study/state.js';
import { createdOptions, difference, OpenStudy } from './study/study.js';

/** @param now Ms since 1970. @throws {UniversalAiError} `UAT_UNSUPPORTED`: a storage that only the native backend has. */
export function openTypeScriptParameterAnalytics({ storage, seed }: PreparedAnalytics, now: () => number = Date.now): ParameterAnalyticsBackend {
  if (/^rediss?(\+[a-z]+)?:\/\//.test(storage)) throw new UniversalAiError('UAT_UNSUPPORTED', 'options.storage: the TypeScript backend keeps nothing in Redis; give a folder or :memory:, or install the native package');
  return new TypeScriptParameterAnalytics(storage === ':memory:' ? undefined : resolve(storage), seed ?? 0, now);
}

/**
 * In a folder, studies lie in `studies/NAME.journal`, in the format of the Rust core. What bandits and `optimize` learn lies in files of
 * this backend's own (`.ts1.journal`), each of which one process has at a time.
 */
class TypeScriptParameterAnalytics implements ParameterAnalyticsBackend {
  readonly #folder: string | undefined;
  readonly #seed: number;
  readonly #now: () => number;
  readonly #studies = new Map<string, OpenStudy>();
  /** Studies that were closed, where nothing else keeps them. */
  readonly #closed = new Map<string, OpenStudy>();
  readonly #bandits = new Map<string, OpenBandit>();
  #advisor: Advisor | undefined;

  constructor(folder: string | undefined, seed: number, now: () => number) {
    [this.#folder, this.#seed, this.#now] = [folder, seed, now];
  }

  async optimize(request: PreparedOptimize): Promise<OptimizeResult> {
    return this.#advising().optimize(request);
  }

  async record(outcome: Outcome): Promise<void> {
    this.#advising().record(outcome);
  }

  async performance(filter: PerformanceFilter): Promise<Performance[]> {
    return this.#advising().performance(filter);
  }

  async createStudy(prepared: PreparedStudy): Promise<StudyBackend> {
    if (!isSupported(prepared.sampler)) throw unsupported(prepared.sampler);
    const options = createdOptions(prepared);
    const state = new StudyState(options);
    const study = this.#find(options.name) ?? this.#create(state);
    const differs = difference(study.options, options);
    if (differs === undefined) return study;
    await study.close();
    throw new UniversalAiError('UAT_CONFLICT', `study \`${options.name}\` was made with other options: ${differs}; open it with loadStudy(), or take another name`);
  }

  async loadStudy(name: string): Promise<StudyBackend> {
    const study = this.#find(name);
    if (study === undefined) throw new UniversalAiError('UAT_NOT_FOUND', `there is no study \`${name}\` in ${this.#folder ?? 'this memory'}; make it with createStudy()`);
    return study;
  }

  bandit(options: PreparedBandit): BanditBackend {
    const open = this.#bandits.get(options.name);
    if (open === undefined) {
      const made = OpenBandit.open(options, this.#path('bandits', options.name, '.ts1.journal'), this.#now);
      this.#bandits.set(options.name, made);
      return made;
    }
    const differing = (Object.keys({ ...open.options, ...options }) as (keyof PreparedBandit)[]).find(field => JSON.stringify(open.options[field]) !== JSON.stringify(options[field]));
    if (differing !== undefined) throw new UniversalAiError('UAT_CONFLICT', `bandit \`${options.name}\` is open, and was made with another \`${differing}\`; take another name, or the same options`);
    return open;
  }

  async close(): Promise<void> {
    const open = [...this.#studies.values()].map(study => () => study.closeAll());
    const closing = [...open, ...[...this.#bandits.values()].map(bandit => () => bandit.close()), () => this.#advisor?.close()];
    const failures: unknown[] = [];
    for (const close of closing) {
      try {
        close();
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length > 0) throw failures[0];
  }

  #advising(): Advisor {
    return this.#advisor ??= new Advisor(this.#seed, this.#folder === undefined ? undefined : join(this.#folder, 'advice.ts1.journal'), this.#now);
  }

  /** The study of this name with one handle more, opened if need be. @throws `UAT_CONFLICT`, `UAT_STORAGE`. */
  #find(name: string): OpenStudy | undefined {
    const open = this.#studies.get(name);
    if (open !== undefined) return open.opened();
    const path = this.#path('studies', name, '.journal');
    if (path === undefined) {
      const closed = this.#closed.get(name);
      if (closed !== undefined) this.#studies.set(name, closed);
      return closed?.opened();
    }
    if (!storing(path, () => existsSync(path))) return undefined;
    return FileJournal.with(path, (journal, events) => {
      if (events.length > 0) return this.#opened(StudyState.replay(events, path), journal);
      // One that was begun and not written is as good as none.
      journal.close();
      return undefined;
    });
  }

  #create(state: StudyState): OpenStudy {
    const created: { event: 'created'; options: CreatedOptions; at: number } = { event: 'created', options: state.options, at: this.#now() };
    const path = this.#path('studies', state.options.name, '.journal');
    if (path === undefined) return this.#opened(state, NOWHERE);
    return FileJournal.with(path, journal => {
      journal.append([created]);
      return this.#opened(state, journal);
    });
  }

  #opened(state: StudyState, journal: FileJournal | typeof NOWHERE): OpenStudy {
    const { name } = state.options;
    const study = new OpenStudy(state, journal, this.#now, () => {
      this.#studies.delete(name);
      if (this.#folder === undefined) this.#closed.set(name, study);
    });
    this.#studies.set(name, study);
    return study.opened();
  }

  #path(kind: 'studies' | 'bandits', name: string, ending: string): string | undefined {
    return this.#folder === undefined ? undefined : join(this.#folder, kind, fileName(name) + ending);
  }
}
