//! What the tests of the example programs share.

// Each test file uses a part of this, and none exports it.
#![allow(dead_code, unreachable_pub)]

pub mod programs;
