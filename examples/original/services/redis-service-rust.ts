export * from '../../../src/services/redis-service-rust.js';
