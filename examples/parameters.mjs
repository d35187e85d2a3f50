// With which parameters to call a model, learned from its calls; what to try next, and which of several choices is best.
//
//   node examples/parameters.mjs "A question"
import { FastLLMCoordinator, ParameterAnalytics } from 'universal-ai-tools';

const question = process.argv[2] ?? 'What is the capital of France? Answer in one short sentence.';
const analytics = new ParameterAnalytics({ storage: ':memory:', seed: 1 });
console.log(`backend: ${analytics.backend.kind} (${analytics.backend.reason})`);

// A call of a real model with advised parameters, and what came of it.
const coordinator = new FastLLMCoordinator();
const request = { model: 'smollm2-135m', taskType: 'short-answers', constraints: { maxLatency: 5_000 } };
const space = { temperature: { type: 'float', low: 0, high: 1 }, max_tokens: { type: 'int', low: 8, high: 32 } };
for (let round = 0; round < 3; round++) {
  const { trialId, parameters, source } = await analytics.optimize({ ...request, space });
  const started = performance.now();
  const answer = await coordinator.route({ model: request.model, messages: [{ role: 'user', content: question }], ...parameters });
  const latencyMs = performance.now() - started;
  // Whoever reads the answer says how good it is; here, whether it says Paris.
  await analytics.record({ trialId, reward: answer.content.includes('Paris') ? 1 : 0, latencyMs, tokens: answer.usage.completion_tokens });
  console.log(`${source}: ${JSON.stringify(parameters)} took ${latencyMs.toFixed(0)} ms: ${answer.content.replaceAll('\n', ' ')}`);
}
await coordinator.close();
const [known] = await analytics.performance({ model: request.model });
console.log(`known now: ${known.trials} calls, mean reward ${known.rewardMean.toFixed(2)}, median ${known.latencyP50.toFixed(0)} ms`);

// A study: the lowest point of Branin's function, whose three are 0.397887.
const branin = ({ x, y }) => (y - (5.1 * x ** 2) / (4 * Math.PI ** 2) + (5 * x) / Math.PI - 6) ** 2 + 10 * (1 - 1 / (8 * Math.PI)) * Math.cos(x) + 10;
const study = await analytics.createStudy({ name: 'branin', space: { x: { type: 'float', low: -5, high: 10 }, y: { type: 'float', low: 0, high: 15 } } });
for (let n = 0; n < 30; n++) {
  const [trial] = await study.ask();
  await study.tell(trial.id, branin(trial.parameters));
}
console.log(`study: ${study.best().values[0].toFixed(6)} after ${study.trials().length} trials at ${JSON.stringify(study.best().parameters)}`);

// A bandit: which of two prompts is liked more often.
const bandit = analytics.bandit({ name: 'prompts', arms: ['short', 'polite'] });
for (let n = 0; n < 200; n++) {
  const { arm, decisionId } = bandit.select();
  bandit.reward(decisionId, Math.random() < (arm === 'short' ? 0.8 : 0.5) ? 1 : 0);
}
await bandit.flush();
for (const [arm, { mean, pulls, probabilityBest }] of Object.entries(bandit.posterior())) {
  console.log(`bandit: ${arm} ${mean.toFixed(2)} after ${pulls} times, the best with probability ${probabilityBest.toFixed(2)}`);
}
await analytics.close();
