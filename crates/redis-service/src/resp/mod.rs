//! Reading and writing what Redis speaks.
