//! std's `thread`, and thread-locals.

use std::fmt;
use std::io;
use std::num::NonZeroUsize;
use std::time::Duration;

use shuttle_engine::runtime::execution::ExecutionState;
use shuttle_engine::runtime::task::TaskId;

use super::{comes, one_in, Instant, Time, SPAWNS_FAIL, TIME};

pub use shuttle::thread::{
    current, panicking, park, yield_now, AccessError, Result, ScopedJoinHandle, Thread, ThreadId,
};
pub(crate) use shuttle::thread::{scope, JoinHandle, Scope};

/// A thread-local that is destroyed after all others of its thread. Shuttle destroys the oldest first, std the newest; what
/// matters here is that a seat, which comes first, goes last.
pub struct LocalKey<T: 'static>(shuttle_engine::thread_support::DestroyedLastKey<T>);

impl<T: 'static> LocalKey<T> {
    #[doc(hidden)]
    pub const fn new(init: fn() -> T) -> LocalKey<T> {
        LocalKey(shuttle_engine::thread_support::DestroyedLastKey::new(init))
    }

    /// As std's.
    pub fn with<R>(&'static self, f: impl FnOnce(&T) -> R) -> R {
        self.try_with(f).expect("the thread-local is destroyed")
    }

    /// As std's.
    pub fn try_with<R>(
        &'static self,
        f: impl FnOnce(&T) -> R,
    ) -> std::result::Result<R, AccessError> {
        self.0.try_with(f)
    }
}

impl<T> fmt::Debug for LocalKey<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalKey").finish_non_exhaustive()
    }
}

/// std's `thread_local!`, as far as it is used here.
macro_rules! model_thread_local {
    ($($(#[$attr:meta])* static $name:ident: $t:ty = const { $init:expr };)*) => {
        $($(#[$attr])* static $name: $crate::sync::model::thread::LocalKey<$t> =
            $crate::sync::model::thread::LocalKey::new(|| $init);)*
    };
}
pub(crate) use model_thread_local as thread_local;

/// std's `Builder`. Shuttle's knows no scopes, and never fails.
#[derive(Debug)]
pub(crate) struct Builder(shuttle::thread::Builder);

impl Builder {
    pub(crate) fn new() -> Builder {
        Builder(shuttle::thread::Builder::new())
    }

    pub(crate) fn name(self, name: String) -> Builder {
        Builder(self.0.name(name))
    }

    /// Models have stacks of one size.
    pub(crate) fn stack_size(self, _size: usize) -> Builder {
        self
    }

    #[track_caller]
    pub(crate) fn spawn<F, T>(self, f: F) -> io::Result<JoinHandle<T>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        may_fail()?;
        self.0.spawn(f)
    }

    #[track_caller]
    pub(crate) fn spawn_scoped<'scope, F, T>(
        self,
        scope: &'scope Scope<'scope, '_>,
        f: F,
    ) -> io::Result<ScopedJoinHandle<'scope, T>>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        may_fail()?;
        Ok(scope.spawn(f))
    }
}

/// No execution waits for its end.
pub(crate) fn spawn_for_good(_name: &str, f: fn()) -> io::Result<()> {
    may_fail()?;
    drop(shuttle::future::spawn(async move { f() }));
    Ok(())
}

fn may_fail() -> io::Result<()> {
    match SPAWNS_FAIL.with(std::cell::Cell::get) && one_in(2) {
        true => Err(io::Error::from(io::ErrorKind::WouldBlock)),
        false => Ok(()),
    }
}

/// Waits for a thread's end, at most until `limit`. True if it has ended.
pub(crate) fn ends_before<T>(thread: &JoinHandle<T>, limit: Instant) -> bool {
    let id = TaskId::from(usize::from(thread.thread().id()));
    let ended = || ExecutionState::with(|state| state.get(id).finished());
    loop {
        yield_now();
        if ended() {
            return true;
        }
        if comes(limit) {
            return false;
        }
    }
}

/// As std's. What has been slept through has passed, if time does.
pub fn sleep(duration: Duration) {
    let end = Instant::now().checked_add(duration);
    yield_now();
    if let Some(end) = end.filter(|_| TIME.with(std::cell::Cell::get) == Time::Passes) {
        end.has_come();
    }
}

/// As std's; it may wake for no reason.
pub fn park_timeout(duration: Duration) {
    match TIME.with(std::cell::Cell::get) {
        Time::Stands => park(),
        Time::Passes => sleep(duration),
    }
}

/// As std's.
pub fn park_timeout_ms(ms: u32) {
    park_timeout(Duration::from_millis(ms.into()));
}

/// As std's.
pub fn sleep_ms(ms: u32) {
    sleep(Duration::from_millis(ms.into()));
}

/// Two, wherever a model runs.
pub fn available_parallelism() -> io::Result<NonZeroUsize> {
    NonZeroUsize::new(2).ok_or_else(|| io::ErrorKind::Unsupported.into())
}
