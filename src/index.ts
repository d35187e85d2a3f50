export * from './services/fast-llm-coordinator-rust.js';
