export * from '../../../src/services/llm-router-rust.js';
