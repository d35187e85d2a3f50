// One process that asks the local model through the class, as a user's script would; prints the answer as JSON.
// It never calls close(): a script ends by itself.
import { FastLLMCoordinator } from '../../../dist/index.js';

const [model, prompt] = process.argv.slice(2);
const coordinator = new FastLLMCoordinator();
const { content, routing } = await coordinator.route({ model, messages: [{ role: 'user', content: prompt }], temperature: 0, max_tokens: 24 });
console.log(JSON.stringify({ content, endpoint: routing.endpoint, backend: coordinator.backend.kind }));
