//! Stop tokens: how a worker that computes, sleeps, waits or selects learns that it should stop.
//!
//! `shared` is the mechanism; `token` has the two handles on it, `callback` what can be registered; `tripped` runs that; `timer` fires deadlines.

mod callback;
mod reason;
mod registrations;
mod shared;
pub(crate) mod timer;
mod token;
mod tripped;

pub use callback::StopCallback;
pub(crate) use reason::Stop;
pub use reason::StopReason;
pub(crate) use shared::Extend;
pub use shared::Never;
pub use token::{StopSource, StopToken, Stopped};
pub(crate) use tripped::Tripped;
