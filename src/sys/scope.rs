//! The one cast that a supervised scope needs.

use crate::sync::thread;

/// A scope to spawn supervised scoped threads in: std's [`Scope`](std::thread::Scope), with threads that are told to stop.
///
/// See [`scope`](crate::thread::scope).
///
/// ```
/// use sundown::thread::{self, Scope};
///
/// fn sum<'scope>(scope: &'scope Scope<'scope, '_>, parts: &'scope [Vec<u32>]) -> u32 {
///     let workers: Vec<_> = parts.iter().map(|part| scope.spawn(|| part.iter().sum::<u32>())).collect();
///     workers.into_iter().map(|worker| worker.join().unwrap()).sum()
/// }
///
/// let parts = [vec![1, 2], vec![3]];
/// assert_eq!(thread::scope(|scope| sum(scope, &parts)), 6);
/// ```
#[repr(transparent)]
#[derive(Debug)]
pub struct Scope<'scope, 'env: 'scope> {
    std: thread::Scope<'scope, 'env>,
}

impl<'scope, 'env> Scope<'scope, 'env> {
    /// The same scope, under our name.
    pub(crate) fn of(std: &'scope thread::Scope<'scope, 'env>) -> &'scope Self {
        // SAFETY: `Scope` is a transparent wrapper of std's, so a reference to the one is a valid reference to the other,
        // with the same lifetimes (and, since the field has std's very type, the same variance).
        unsafe { &*(std as *const thread::Scope<'scope, 'env>).cast() }
    }

    /// The same scope, under std's name.
    pub(crate) fn std(&'scope self) -> &'scope thread::Scope<'scope, 'env> {
        &self.std
    }
}
