//! What is registered, and under which number.

use std::fmt;
use std::num::NonZeroU64;

/// The number of something registered: a worker, a hook, a nested supervisor. Unique in the process, and greater than that
/// of everything registered before it.
///
/// ```
/// use sundown::thread;
///
/// let (older, newer) = (thread::spawn(|| ()), thread::spawn(|| ()));
/// assert!(newer.id() > older.id());
/// # older.join().unwrap();
/// # newer.join().unwrap();
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkerId(pub(crate) NonZeroU64);

impl WorkerId {
    /// The number itself.
    pub fn get(self) -> u64 {
        self.0.get()
    }
}

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// What kind of thing an entry of the report is.
///
/// ```
/// use sundown::{EntryKind, Supervisor};
///
/// let supervisor = Supervisor::new();
/// supervisor.on_exit("say goodbye", || ());
/// assert_eq!(supervisor.shutdown().entries()[0].kind(), EntryKind::OnExit);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum EntryKind {
    /// A thread that the library spawned.
    Worker,
    /// A scoped thread: told by us, joined by its scope.
    Scoped,
    /// A thread that was spawned elsewhere and adopted.
    Adopted,
    /// The thread that installed the supervisor, when it can be told.
    Main,
    /// An `on_shutdown` hook.
    OnShutdown,
    /// An `on_exit` hook.
    OnExit,
    /// A nested supervisor; its own entries follow.
    Supervisor,
}

impl EntryKind {
    pub(crate) fn label(self) -> &'static str {
        match self {
            EntryKind::Worker => "worker",
            EntryKind::Scoped => "scoped worker",
            EntryKind::Adopted => "adopted worker",
            EntryKind::Main => "main",
            EntryKind::OnShutdown => "on_shutdown hook",
            EntryKind::OnExit => "on_exit hook",
            EntryKind::Supervisor => "supervisor",
        }
    }
}

impl fmt::Display for EntryKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}
