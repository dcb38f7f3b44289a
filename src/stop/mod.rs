//! Stop tokens: how a worker that computes, sleeps or waits learns that it should stop.

mod token;

pub use token::{StopSource, StopToken, Stopped};
