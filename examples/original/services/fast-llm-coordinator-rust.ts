export * from '../../../src/services/fast-llm-coordinator-rust.js';
