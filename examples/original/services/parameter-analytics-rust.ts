export * from '../../../src/services/parameter-analytics-rust.js';
