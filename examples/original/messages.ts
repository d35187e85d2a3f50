export const messages = [{ role: 'user' as const, content: 'What is the capital of France? Answer in one short sentence.' }];
