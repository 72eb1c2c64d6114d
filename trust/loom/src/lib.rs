//! Nothing here; the proofs are in `tests`. A crate of its own, because loom brings its own threads,
//! locks and atomics, which the product must not see.
