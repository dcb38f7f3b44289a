//! What threads meet through: locks, condition variables, atomics, threads, and the clock that they wait by.
//!
//! The core has them from here, so that a model checker can put its own in their place: `real` is what everybody gets, under the
//! names that it has elsewhere, and `model` stands in where `proof/models` compiles this crate (`cfg(shuttle)`). A static behind a
//! lock under which nothing else happens (the roots, who waits for whom, the log's lines) belongs to the process and to no model,
//! and uses the real ones by itself.

#[cfg(shuttle)]
pub(crate) mod model;
#[cfg(not(shuttle))]
mod real;

#[cfg(shuttle)]
pub(crate) use model::*;
#[cfg(not(shuttle))]
pub(crate) use real::*;
