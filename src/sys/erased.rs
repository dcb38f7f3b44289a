//! A job in two words, be it a box or a share in something: what `Box<dyn _>` and `Arc<dyn _>` are, in one type.
//!
//! With a box of its own around the share, each job of a pool that somebody waits for would take an allocation more, which one thread
//! makes and another gives back.

use std::mem::ManuallyDrop;
use std::sync::Arc;

/// What can be run with an `A`, or refused.
pub(crate) trait Runnable<A>: Send {
    fn run(self, with: &A);

    /// It will not be run.
    fn refuse(self);
}

/// A pointer that owns what it points to, or a share in it, and is one word.
///
/// # Safety
///
/// `from_raw` of what `into_raw` gave is the same pointer again.
pub(crate) unsafe trait Owner: Sized {
    fn into_raw(self) -> *const ();

    /// # Safety
    ///
    /// `raw` is what `into_raw` of the same type gave, and this is called once for it.
    unsafe fn from_raw(raw: *const ()) -> Self;
}

// SAFETY: as `Box` itself says.
unsafe impl<T> Owner for Box<T> {
    fn into_raw(self) -> *const () {
        Box::into_raw(self).cast_const().cast()
    }

    unsafe fn from_raw(raw: *const ()) -> Box<T> {
        // SAFETY: `Box<T>::into_raw` gave it, as the caller says.
        unsafe { Box::from_raw(raw.cast_mut().cast()) }
    }
}

// SAFETY: as `Arc` itself says.
unsafe impl<T> Owner for Arc<T> {
    fn into_raw(self) -> *const () {
        Arc::into_raw(self).cast()
    }

    unsafe fn from_raw(raw: *const ()) -> Arc<T> {
        // SAFETY: `Arc<T>::into_raw` gave it, as the caller says.
        unsafe { Arc::from_raw(raw.cast()) }
    }
}

/// Something that can be run with an `A`, whatever it is. Dropped, it is neither run nor refused.
pub(crate) struct Erased<A: 'static> {
    owner: *const (),
    calls: &'static Calls<A>,
}

/// What can be done with an `owner`. Each uses it up.
struct Calls<A> {
    run: unsafe fn(*const (), &A),
    refuse: unsafe fn(*const ()),
    drop: unsafe fn(*const ()),
}

// SAFETY: all that it ever holds is `Runnable`, and so `Send`.
unsafe impl<A> Send for Erased<A> {}

impl<A> Erased<A> {
    pub(crate) fn new<O: Owner + Runnable<A> + 'static>(owner: O) -> Erased<A> {
        Erased {
            owner: owner.into_raw(),
            calls: &Calls {
                // SAFETY: `calls` is used with this `owner` only, and only once; so also below.
                run: |owner, with| unsafe { O::from_raw(owner) }.run(with),
                // SAFETY: as above.
                refuse: |owner| unsafe { O::from_raw(owner) }.refuse(),
                // SAFETY: as above.
                drop: |owner| drop(unsafe { O::from_raw(owner) }),
            },
        }
    }

    pub(crate) fn run(self, with: &A) {
        let used = ManuallyDrop::new(self);
        // SAFETY: `calls` belongs to this owner, which is not touched again.
        unsafe { (used.calls.run)(used.owner, with) }
    }

    /// It will not be run.
    pub(crate) fn refuse(self) {
        let used = ManuallyDrop::new(self);
        // SAFETY: as in `run`.
        unsafe { (used.calls.refuse)(used.owner) }
    }
}

impl<A> Drop for Erased<A> {
    fn drop(&mut self) {
        // SAFETY: as in `run`; neither of the others has had it, or this would not be called.
        unsafe { (self.calls.drop)(self.owner) }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{channel, Sender};

    use super::*;

    /// Says what happens to it.
    struct Says(Sender<String>);

    impl Says {
        fn run(&self, with: &str) {
            self.0.send(format!("run with {with}")).unwrap();
        }
    }

    impl Drop for Says {
        fn drop(&mut self) {
            self.0.send("dropped".to_owned()).unwrap();
        }
    }

    macro_rules! runnable {
        ($($owner:ty),*) => {$(
            impl Runnable<String> for $owner {
                fn run(self, with: &String) {
                    Says::run(&self, with);
                }

                fn refuse(self) {
                    self.0.send("refused".to_owned()).unwrap();
                }
            }
        )*};
    }
    runnable!(Box<Says>, Arc<Says>);

    #[test]
    fn each_is_used_once_and_dropped_once() {
        let with = "this".to_owned();
        let (said, says) = channel();
        let boxed = || Erased::new(Box::new(Says(said.clone())));
        let shared = || Erased::new(Arc::new(Says(said.clone())));
        for make in [&boxed as &dyn Fn() -> Erased<String>, &shared] {
            make().run(&with);
            make().refuse();
            drop(make());
            let said: Vec<String> = says.try_iter().collect();
            assert_eq!(
                said,
                ["run with this", "dropped", "refused", "dropped", "dropped"]
            );
        }
    }

    #[test]
    fn a_share_is_only_a_share() {
        let (said, says) = channel();
        let ours = Arc::new(Says(said));
        Erased::new(Arc::clone(&ours)).run(&"that".to_owned());
        drop(Erased::<String>::new(Arc::clone(&ours)));
        assert_eq!(Arc::strong_count(&ours), 1);
        assert_eq!(says.try_iter().collect::<Vec<_>>(), ["run with that"]);
    }
}
