//! OpenAI's dialect as clients and providers really write it.

mod answers;
mod collector;
mod embeddings;
mod request;
