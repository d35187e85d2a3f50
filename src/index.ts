export * from './services/fast-llm-coordinator-rust.js';
export * from './services/redis-service-rust.js';
