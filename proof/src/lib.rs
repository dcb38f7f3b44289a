//! Proofs of sundown that ask for more than a newcomer should have to compile. Nothing here is used by anybody.
//!
//! - `tests/model/`: random programs against a plain sequential model.
//! - `tests/surface.rs`: the accepted public surface, `surface.txt`.
//! - [`must_not_compile`]: what the compiler must refuse.

#[cfg(doctest)]
mod must_not_compile;
