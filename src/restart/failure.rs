//! What counts as a failure of a run, beside a panic.

use std::fmt::Display;

/// What a function returns that may be called again: it says whether that is a failure. Implemented for `()` (never one) and for
/// `Result` (an `Err` is one); implement it for a type of your own that can be either. A closure that never returns has to
/// say what it would: `|stop| -> () { loop { … } }`.
///
/// ```
/// use sundown::restart::MayFail;
///
/// enum Sync { Done, Behind { by: u32 } }
///
/// impl MayFail for Sync {
///     fn failure(&self) -> Option<String> {
///         match self {
///             Sync::Done => None,
///             Sync::Behind { by } => Some(format!("{by} records behind")),
///         }
///     }
/// }
/// assert!(Err::<(), _>("no route").failure().is_some());
/// # assert!(Sync::Done.failure().is_none() && Sync::Behind { by: 1 }.failure().is_some());
/// ```
pub trait MayFail {
    /// What went wrong, in words; `None` if nothing did.
    fn failure(&self) -> Option<String>;
}

impl MayFail for () {
    fn failure(&self) -> Option<String> {
        None
    }
}

impl<T, E: Display> MayFail for Result<T, E> {
    fn failure(&self) -> Option<String> {
        self.as_ref().err().map(E::to_string)
    }
}
