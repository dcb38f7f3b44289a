//! What is measured, one file for each kind of work.

pub mod background;
pub mod entries;
pub mod memory;
pub mod pool;
pub mod shutdown;
pub mod signal;
pub mod size;
pub mod spawn;
pub mod token;
pub mod waiters;

use std::process::Command;

/// A peer: what a row does, by hand, with no more than what the library promises for it. No aim, but where the limit is.
pub const LEAST: &str = "the least by hand that keeps the promises";

/// A program that is built with this one.
pub fn program(name: &str) -> Command {
    let this = std::env::current_exe().expect("a path");
    Command::new(this.with_file_name(name))
}
