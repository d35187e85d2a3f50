import type { Estimate, Model, Question, Rejection } from './question.js';

/** The first filter that the model does not pass. What is not known of it rules it out only where money is meant. */
export function reject({ allowed, capabilities = [], promptTokens, outputTokens, constraints = {} }: Question, model: Model, { costUsd, latencyMs }: Estimate): Rejection | undefined {
  const { maxCostUsd, maxLatencyMs } = constraints;
  if (allowed?.includes(model.name) === false) return { reason: 'notAllowed' };
  const missing = capabilities.filter(wanted => !can(model, wanted));
  if (missing.length > 0) return { reason: 'capability', missing };
  // An answer has a token at least.
  const needed = promptTokens.tokens + (outputTokens ?? 1);
  if (model.contextTokens !== undefined && needed > model.contextTokens) return { reason: 'context', needed, has: model.contextTokens, isEstimate: promptTokens.isEstimate };
  if (outputTokens !== undefined && model.maxOutputTokens !== undefined && outputTokens > model.maxOutputTokens) return { reason: 'output', needed: outputTokens, has: model.maxOutputTokens };
  if (maxCostUsd !== undefined && !(costUsd !== undefined && costUsd <= maxCostUsd)) return { reason: 'cost', expected: costUsd ?? null, allowed: maxCostUsd };
  if (maxLatencyMs !== undefined && latencyMs !== undefined && latencyMs > maxLatencyMs) return { reason: 'latency', expected: latencyMs, allowed: maxLatencyMs };
  return undefined;
}

export function can({ capabilities = [] }: Model, wanted: string): boolean {
  return capabilities.includes(wanted);
}

/** How far it is from being asked, to be compared: the number of the filter, of which a later one is nearer, and by how many times it misses that. */
export function miss(rejection: Rejection): [number, number] {
  const times = (needed: number, has: number): number => (has > 0 ? needed / has : Infinity);
  switch (rejection.reason) {
    case 'notAllowed': return [5, 0];
    case 'capability': return [4, rejection.missing.length];
    case 'context': return [3, times(rejection.needed, rejection.has)];
    case 'output': return [2, times(rejection.needed, rejection.has)];
    case 'cost': return [1, rejection.expected === null ? Infinity : times(rejection.expected, rejection.allowed)];
    case 'latency': return [0, times(rejection.expected, rejection.allowed)];
  }
}

/** In words, as the core has them. */
export function told(rejection: Rejection): string {
  switch (rejection.reason) {
    case 'notAllowed': return 'may not be used with this key';
    case 'capability': return `lacks \`${rejection.missing.join('`, `')}\``;
    case 'context': {
      const { needed, has, isEstimate } = rejection;
      return `holds ${has} tokens, prompt and answer need ${isEstimate ? 'up to ' : ''}${needed}: ${needed - has} too many`;
    }
    case 'output': {
      const { needed, has } = rejection;
      return `answers with at most ${has} tokens, ${needed} are wanted: ${needed - has} too many`;
    }
    case 'cost': {
      const { expected, allowed } = rejection;
      if (expected === null) return `its price is unknown, at most ${usd(allowed)} USD are allowed`;
      return `may cost ${usd(expected)} USD, ${usd(allowed)} are allowed: ${usd(expected - allowed)} too much`;
    }
    case 'latency': {
      const { expected, allowed } = rejection;
      return `takes about ${expected.toFixed(0)} ms, ${allowed.toFixed(0)} are allowed: ${(expected - allowed).toFixed(0)} too many`;
    }
  }
}

/** Dollars with as many digits as tell small sums apart. */
function usd(amount: number): string {
  // Less than that is written as it is: nothing is not what is allowed.
  if (amount > 0 && amount < 1e-6) return plain(amount);
  return amount.toFixed(6).replace(/\.?0+$/, '');
}

/** Without an exponent, as the core writes it: the digits that JavaScript prints, and no more. */
function plain(amount: number): string {
  const [digits = '', exponent] = String(amount).split('e-');
  if (exponent === undefined) return digits;
  return `0.${'0'.repeat(Number(exponent) - 1)}${digits.replace('.', '')}`;
}
