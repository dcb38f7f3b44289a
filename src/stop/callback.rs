//! A callback registered with a token, and the future that waits for one.

use std::fmt;
use std::future::Future;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::shared::Shared;

/// A callback registered with [`StopToken::on_stop`](crate::StopToken::on_stop). Dropping it unregisters the callback.
///
/// The rules are those of C++'s `std::stop_callback`: if the callback is running on another thread just now, dropping waits
/// for it to return, so that afterwards nothing that it uses is in use; it never waits for any other callback, and never on
/// the thread that runs the callback itself, so a callback may unregister itself.
///
/// ```
/// use sundown::StopSource;
///
/// let source = StopSource::new();
/// let callback = source.token().on_stop(|| unreachable!("it is unregistered before"));
/// drop(callback);
/// source.stop();
/// ```
#[must_use = "dropping it unregisters the callback: keep it as long as the callback is wanted"]
pub struct StopCallback {
    /// `None` when it has run at once.
    registered: Option<(Arc<Shared>, u64)>,
}

impl StopCallback {
    pub(super) fn new(registered: Option<(Arc<Shared>, u64)>) -> StopCallback {
        StopCallback { registered }
    }
}

impl Drop for StopCallback {
    fn drop(&mut self) {
        if let Some((shared, key)) = self.registered.take() {
            shared.remove_callback(key);
        }
    }
}

// As for `StopToken`.
impl UnwindSafe for StopCallback {}
impl RefUnwindSafe for StopCallback {}

impl fmt::Debug for StopCallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StopCallback").finish_non_exhaustive()
    }
}

/// The future behind [`StopToken::stopped`](crate::StopToken::stopped). It depends on no runtime.
pub(super) struct StoppedFuture {
    shared: Arc<Shared>,
    /// Where our waker is, once it has been left.
    key: Option<u64>,
}

impl StoppedFuture {
    pub(super) fn new(shared: Arc<Shared>) -> StoppedFuture {
        StoppedFuture { shared, key: None }
    }
}

impl Future for StoppedFuture {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        // Leaving the waker and looking at the flag happen under one lock, so a stop in between is not missed.
        if this.shared.is_stopped() || !this.shared.set_waker(&mut this.key, context.waker()) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}

impl Drop for StoppedFuture {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.shared.remove_waker(key);
        }
    }
}
