//! Scoped threads: told to stop by a shutdown like all others, joined by their scope.

use super::{Builder, ScopedJoinHandle};
use crate::sync::thread;
pub use crate::sys::Scope;

/// Creates a scope for threads that borrow: `std::thread::scope`, with threads that a shutdown tells to stop and waits for.
///
/// ```
/// use sundown::thread;
///
/// let words = vec!["told", "to", "stop"];
/// let count = thread::scope(|s| s.spawn(|| words.len()).join().unwrap());
/// assert_eq!(count, 3);
/// ```
///
/// # Panics
///
/// As std's: if a thread of the scope panicked and was not joined by hand.
#[track_caller]
pub fn scope<'env, F, T>(f: F) -> T
where
    F: for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> T,
{
    thread::scope(|std| f(Scope::of(std)))
}

impl<'scope, 'env> Scope<'scope, 'env> {
    /// Spawns a supervised thread in this scope, as std's does.
    ///
    /// # Panics
    ///
    /// If the system cannot create the thread, or if the supervisor's shutdown is over. [`Builder::spawn_scoped`] returns an
    /// error instead.
    #[track_caller]
    pub fn spawn<F, T>(&'scope self, f: F) -> ScopedJoinHandle<'scope, T>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        Builder::new()
            .spawn_scoped(self, f)
            .expect("failed to spawn thread")
    }
}
