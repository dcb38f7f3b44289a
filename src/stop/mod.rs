//! Stop tokens: how a worker that computes, sleeps, waits or selects learns that it should stop.
//!
//! `shared` is the mechanism; `token` has the two handles on it, `callback` what can be registered; `timer` fires deadlines.

mod callback;
mod reason;
mod registrations;
mod shared;
pub(crate) mod timer;
mod token;

pub use callback::StopCallback;
pub(crate) use reason::Stop;
pub use reason::StopReason;
pub use shared::Never;
pub(crate) use shared::{Extend, Tripped};
pub use token::{StopSource, StopToken, Stopped};
