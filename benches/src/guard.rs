//! The rows that are counted, not timed, against what was accepted: a change that costs more than 15 % is seen before it lands.

use crate::rows::{memory, spawn};

/// Growth that may be noise, or another version of the compiler or the C library.
const ROOM: f64 = 1.15;

/// Instructions that a spawn and join cost beyond std's.
const INSTRUCTIONS: f64 = 2_420.0;
/// Bytes of a live worker beyond those of a std thread.
const BYTES: f64 = 360.0;

/// Counts, and says what is over its limit.
pub fn check() -> Result<(), String> {
    let counted = [
        (
            "instructions of spawn + join",
            INSTRUCTIONS,
            spawn::instructions_added()?,
        ),
        ("bytes of a live worker", BYTES, memory::bytes_of_a_worker()),
    ];
    for (what, accepted, counted) in counted {
        println!("{what}: {counted:.0}, accepted {accepted:.0}");
        if counted > accepted * ROOM {
            return Err(format!("{what} beyond std's: {counted:.0}, where {accepted:.0} was accepted; if that is meant, say so in guard.rs"));
        }
    }
    Ok(())
}
