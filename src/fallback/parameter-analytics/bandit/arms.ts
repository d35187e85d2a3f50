/** The arms and what is believed of each: exact sums, and what follows from them. `bandit/arms.rs` of the Rust core. */

import { beliefOf, type Belief, meanOf, type Rewards } from './belief.js';
import { chance, Curve, type Draw } from './best.js';
import { addEvidence, type Evidence, evidenceOf, FEATURE_UNITS, observe, type Observation, type Slots, Totals, UNITS } from './evidence.js';
import type { Forgetting } from './forgetting.js';
import { Weights } from './linear.js';

export class Arm {
  readonly name: string;
  /** What counts, of slots that no more rewards are expected for. */
  older = new Totals();
  /** All that counts. */
  totals = new Totals();
  belief: Belief;
  weights: Weights | undefined;
  #curve: Curve | undefined;
  /** The chance of an optimistic draw. */
  chance: number | undefined;

  constructor(name: string, rewards: Rewards) {
    this.name = name;
    this.belief = beliefOf(this.totals, rewards, 0);
  }

  /** Draws conclusions from the totals. */
  believe(rewards: Rewards, others: number): void {
    this.belief = beliefOf(this.totals, rewards, others);
    this.#curve = undefined;
  }

  /** Made when it is asked for. */
  curve(): Curve {
    return this.#curve ??= new Curve(this.belief);
  }
}

export class Arms {
  readonly list: Arm[];
  readonly rewards: Rewards;
  readonly #forgetting: Forgetting;
  readonly #features: number;
  #known: Slots = new Map();
  #unsent: Slots = new Map();
  /** That rewards now go to. */
  #slot = 0;
  /** How many rewards came. */
  #seen = 0;

  constructor(names: readonly string[], rewards: Rewards, forgetting: Forgetting, features: number) {
    this.list = names.map(name => new Arm(name, rewards));
    this.rewards = rewards;
    this.#forgetting = forgetting;
    this.#features = features;
    this.#recount();
  }

  get seen(): number {
    return this.#seen;
  }

  /** Lets time pass, which is counted in rewards. */
  advance(): void {
    const slot = this.#forgetting.slot(this.#seen);
    if (slot <= this.#slot) return;
    this.#slot = slot;
    const first = this.#forgetting.first(slot);
    for (const slots of [this.#known, this.#unsent]) {
      for (const old of [...slots.keys()].filter(slot => slot < first)) slots.delete(old);
    }
    this.#recount();
  }

  /** Takes a reward in. */
  observe(place: number, observation: Observation): void {
    const arm = this.list[place]!;
    this.#seen += 1;
    const evidence = evidenceOf(this.#known, this.#slot, arm.name);
    observe(evidence, observation);
    arm.totals = arm.older.copy();
    // The products are used where weights are made anew, which counts all slots again.
    arm.totals.add(evidence, 1, 0);
    observe(evidenceOf(this.#unsent, this.#slot, arm.name), observation);
    const context = Float64Array.from(observation.context, x => x / FEATURE_UNITS);
    const isInexact = arm.weights?.observe(context, observation.reward / UNITS) === true;
    if (isInexact) this.#recount();
    else this.#believe(arm);
  }

  /** What was learnt since the last call. */
  takeUnsent(): Slots {
    const unsent = this.#unsent;
    this.#unsent = new Map();
    return unsent;
  }

  /** Gives back what could not be kept. */
  giveBack(unsent: Slots): void {
    merge(this.#unsent, unsent);
  }

  /** Takes in what was learnt elsewhere, of the arms that there are here. */
  absorb(slots: Slots, seen: number): void {
    merge(this.#known, slots);
    this.#seen = Math.max(this.#seen, seen);
    this.advance();
    this.#recount();
  }

  /** How probable it is that an arm's draw is the greatest. */
  chance(place: number, draw: Draw): number {
    const arm = this.list[place]!;
    if (draw === 'optimistic') return arm.chance ??= this.#chance(arm, draw);
    return this.#chance(arm, draw);
  }

  /** What is believed of the reward of each arm in a context. */
  beliefs(context: Float64Array): Belief[] {
    return this.list.map(arm => arm.weights?.belief(context) ?? arm.belief);
  }

  #chance(arm: Arm, draw: Draw): number {
    return chance(arm.curve(), this.list.filter(other => other !== arm).map(other => other.curve()), draw);
  }

  /** Counts everything again, which must give what counting step by step gave. */
  #recount(): void {
    const slots = [...this.#known].sort(([a], [b]) => a - b);
    for (const arm of this.list) {
      arm.older = new Totals();
      let present: Evidence | undefined;
      for (const [slot, arms] of slots) {
        const evidence = arms.get(arm.name);
        if (evidence === undefined) continue;
        if (slot === this.#slot) present = evidence;
        else arm.older.add(evidence, this.#forgetting.weight(slot, this.#slot), this.#features);
      }
      arm.totals = arm.older.copy();
      if (present !== undefined) arm.totals.add(present, 1, this.#features);
      if (this.#features > 0) arm.weights = new Weights(arm.totals, this.#features, this.rewards);
    }
    this.#believe(undefined);
  }

  /** Draws conclusions for the arm whose sums have changed, or for all. */
  #believe(changed: Arm | undefined): void {
    let [sum, pulls] = [0, 0];
    for (const { totals } of this.list) [sum, pulls] = [sum + totals.sum, pulls + totals.pulls];
    const others = pulls > 0 ? sum / pulls : 0;
    for (const arm of this.list) {
      arm.chance = undefined;
      // An arm without rewards is believed to be like the others.
      if (changed === undefined || changed === arm || arm.totals.pulls === 0) arm.believe(this.rewards, others);
    }
  }
}

function merge(into: Slots, slots: Slots): void {
  for (const [slot, arms] of slots) {
    for (const [arm, evidence] of arms) addEvidence(evidenceOf(into, slot, arm), evidence);
  }
}

/** The places of the arms of greatest value. */
export function greatest(arms: Arms, value: (arm: Arm) => number): number[] {
  const values = arms.list.map(value);
  const most = values.reduce((most, value) => Math.max(most, value), -Infinity);
  return values.flatMap((value, place) => (value === most ? [place] : []));
}

/** An arm's mean reward as it is believed. */
export function believedMean(arm: Arm): number {
  return meanOf(arm.belief);
}
