//! Everything that stable `std::thread` has, from Rust 1.71 to 1.95, is in `sundown::thread` with the same signature.
//!
//! The list is compiled twice, with each import: where ours lacks a name or differs, this file does not compile; where std does,
//! the list is wrong. After each item stands the Rust version that has it. What is std's own type here has all of std's methods.

use std::fmt::Debug;
use std::io;
use std::num::NonZeroUsize;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::time::Duration;

macro_rules! surface {
    ($module:ident, $thread:path) => {
        #[allow(deprecated, dead_code, unused_imports)]
        mod $module {
            use super::*;
            use $thread as thread;
            // By name, so that what is missing is named by the compiler.
            use $thread::{
                available_parallelism, // 1.59
                current,               // 1.0
                panicking,             // 1.0
                park,                  // 1.0
                park_timeout,          // 1.4
                park_timeout_ms,       // 1.0, deprecated 1.6
                scope,                 // 1.63
                sleep,                 // 1.4
                sleep_ms,              // 1.0, deprecated 1.6
                spawn,                 // 1.0
                yield_now,             // 1.0
                AccessError,           // 1.26
                Builder,               // 1.0
                JoinHandle,            // 1.0
                LocalKey,              // 1.0
                Result,                // 1.0
                Scope,                 // 1.63
                ScopedJoinHandle,      // 1.63
                Thread,                // 1.0
                ThreadId,              // 1.19
            };

            pub(super) fn functions() {
                let _: fn() -> io::Result<NonZeroUsize> = available_parallelism;
                let _: fn() -> Thread = current;
                let _: fn() -> bool = panicking;
                let _: fn() = park;
                let _: fn(Duration) = park_timeout;
                let _: fn(u32) = park_timeout_ms;
                let _: fn(Duration) = sleep;
                let _: fn(u32) = sleep_ms;
                let _: fn() = yield_now;
            }

            // The generic ones: a shim with std's very bounds, which calls with no more than they give.

            pub(super) fn spawn_<F, T>(f: F) -> JoinHandle<T>
            where
                F: FnOnce() -> T + Send + 'static,
                T: Send + 'static,
            {
                thread::spawn::<F, T>(f)
            }

            // 1.63. `'env` may be any lifetime, and the closure of any thread may borrow for it.
            pub(super) fn scope_<'env, F, T>(f: F) -> T
            where
                F: for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> T,
            {
                thread::scope::<'env, F, T>(f)
            }

            pub(super) fn builder() {
                let _: fn() -> Builder = Builder::new; // 1.0
                let _: fn(Builder, String) -> Builder = Builder::name; // 1.0
                let _: fn(Builder, usize) -> Builder = Builder::stack_size; // 1.0
            }

            // 1.0
            pub(super) fn builder_spawn<F, T>(builder: Builder, f: F) -> io::Result<JoinHandle<T>>
            where
                F: FnOnce() -> T + Send + 'static,
                T: Send + 'static,
            {
                builder.spawn::<F, T>(f)
            }

            // 1.63
            pub(super) fn builder_spawn_scoped<'scope, 'env, F, T>(
                builder: Builder,
                scope: &'scope Scope<'scope, 'env>,
                f: F,
            ) -> io::Result<ScopedJoinHandle<'scope, T>>
            where
                F: FnOnce() -> T + Send + 'scope,
                T: Send + 'scope,
            {
                builder.spawn_scoped::<F, T>(scope, f)
            }

            // 1.63
            pub(super) fn scope_spawn<'scope, 'env, F, T>(
                scope: &'scope Scope<'scope, 'env>,
                f: F,
            ) -> ScopedJoinHandle<'scope, T>
            where
                F: FnOnce() -> T + Send + 'scope,
                T: Send + 'scope,
            {
                scope.spawn::<F, T>(f)
            }

            pub(super) fn join_handle<T>() {
                let _: fn(&JoinHandle<T>) -> &Thread = JoinHandle::<T>::thread; // 1.0
                let _: fn(JoinHandle<T>) -> Result<T> = JoinHandle::<T>::join; // 1.0
                let _: fn(&JoinHandle<T>) -> bool = JoinHandle::<T>::is_finished; // 1.61
            }

            type Scoped<'scope, T> = ScopedJoinHandle<'scope, T>;

            #[allow(clippy::extra_unused_lifetimes)] // used by the types within
            pub(super) fn scoped_join_handle<'scope, T>() {
                // 1.63
                let _: for<'a> fn(&'a Scoped<'scope, T>) -> &'a Thread = Scoped::<'scope, T>::thread;
                let _: fn(Scoped<'scope, T>) -> Result<T> = Scoped::<'scope, T>::join; // 1.63
                let _: fn(&Scoped<'scope, T>) -> bool = Scoped::<'scope, T>::is_finished; // 1.63
            }

            pub(super) fn thread_and_key() {
                let _: fn(&Thread) = Thread::unpark; // 1.0
                let _: fn(&Thread) -> ThreadId = Thread::id; // 1.19
                let _: fn(&Thread) -> Option<&str> = Thread::name; // 1.0
                std::thread_local!(static KEY: u8 = const { 7 });
                let key: &'static LocalKey<u8> = &KEY;
                let _: u8 = key.with(|value| *value); // 1.0
                let _: std::result::Result<u8, AccessError> = key.try_with(|value| *value);
                // 1.26
            }

            // Traits, the automatic ones too. Each bound that std's type fulfils, for every `T` for which it does.

            fn is<T: ?Sized + Send + Sync + Unpin + UnwindSafe + RefUnwindSafe + Debug>() {}

            pub(super) fn traits<'scope, 'env: 'scope, T: 'static>() {
                is::<Builder>();
                is::<Thread>();
                is::<ThreadId>();
                is::<AccessError>();
                is::<LocalKey<T>>();
                shared::<JoinHandle<T>>();
                shared::<ScopedJoinHandle<'scope, u8>>();
                shared::<Scope<'scope, 'env>>();
                fn shared<T: ?Sized + Send + Sync + Unpin + Debug>() {}
            }

            /// `Scope` is invariant in both lifetimes, and `'static` is as good as any.
            pub(super) fn lifetimes() -> &'static str {
                let words = String::from("a b");
                let count = thread::scope(|scope| {
                    // A scoped thread spawns another, in the same scope.
                    scope
                        .spawn(|| scope.spawn(|| words.len()).join().unwrap())
                        .join()
                        .unwrap()
                });
                assert_eq!(count, words.len());
                stringify!($module)
            }

            /// No generic parameters besides these two, and in this order.
            pub(super) fn turbofish() {
                let number = thread::spawn::<fn() -> u8, u8>(|| 7).join().unwrap();
                assert_eq!(number, 7);
            }
        }
    };
}

surface!(in_std, std::thread);
surface!(in_sundown, sundown::thread);

#[test]
fn every_name_is_there_with_its_signature() {
    // That it compiles is most of the proof. The names differ in nothing but where they come from.
    for (functions, builder, keys) in [
        (
            in_std::functions as fn(),
            in_std::builder as fn(),
            in_std::thread_and_key as fn(),
        ),
        (
            in_sundown::functions,
            in_sundown::builder,
            in_sundown::thread_and_key,
        ),
    ] {
        functions();
        builder();
        keys();
    }
    in_std::join_handle::<*mut u8>();
    in_sundown::join_handle::<*mut u8>();
    in_std::scoped_join_handle::<*mut u8>();
    in_sundown::scoped_join_handle::<*mut u8>();
    assert_eq!(in_std::lifetimes(), "in_std");
    assert_eq!(in_sundown::lifetimes(), "in_sundown");
    in_std::turbofish();
    in_sundown::turbofish();
    assert_eq!(in_sundown::spawn_(|| 1).join().unwrap(), 1);
    let built = in_sundown::builder_spawn(sundown::thread::Builder::new(), || 2);
    assert_eq!(built.unwrap().join().unwrap(), 2);
    let local = 3;
    let scoped = in_sundown::scope_(|scope| {
        let first = in_sundown::scope_spawn(scope, || local);
        let builder = sundown::thread::Builder::new();
        let second = in_sundown::builder_spawn_scoped(builder, scope, || local);
        first.join().unwrap() + second.unwrap().join().unwrap()
    });
    assert_eq!(scoped, 6);
}

/// 1.82, two years after the oldest Rust that we support, so std's own cannot stand beside it.
#[test]
fn spawn_unchecked_is_there_for_every_rust() {
    type Borrowing<'a> = Box<dyn FnOnce() -> &'a str + Send + 'a>;
    type Handle<'a> = sundown::thread::JoinHandle<&'a str>;
    // It is unsafe to call, not only to name, and borrows for any lifetime.
    fn shim<'a>() -> unsafe fn(sundown::thread::Builder, Borrowing<'a>) -> io::Result<Handle<'a>> {
        sundown::thread::Builder::spawn_unchecked::<Borrowing<'a>, &'a str>
    }
    let text = String::from("borrowed");
    let job: Borrowing<'_> = Box::new(|| text.as_str());
    // SAFETY: the thread is joined below, while `text` lives.
    let worker = unsafe { shim()(sundown::thread::Builder::new(), job) };
    assert_eq!(worker.unwrap().join().unwrap(), "borrowed");
}

#[test]
fn what_is_not_spawned_by_us_is_std_s_very_type() {
    // Its methods, the newest too, are std's then: 1.73 has `LocalKey::{set, get, take, replace, with_borrow, with_borrow_mut}`.
    fn thread(theirs: std::thread::Thread) -> sundown::thread::Thread {
        theirs
    }
    fn id(theirs: std::thread::ThreadId) -> sundown::thread::ThreadId {
        theirs
    }
    fn access(theirs: std::thread::AccessError) -> sundown::thread::AccessError {
        theirs
    }
    fn key<T>(theirs: &'static std::thread::LocalKey<T>) -> &'static sundown::thread::LocalKey<T> {
        theirs
    }
    fn result<T>(theirs: std::thread::Result<T>) -> sundown::thread::Result<T> {
        theirs
    }
    fn scoped<'a, T>(
        theirs: std::thread::ScopedJoinHandle<'a, T>,
    ) -> sundown::thread::ScopedJoinHandle<'a, T> {
        theirs
    }
    std::thread_local!(static KEY: u8 = const { 7 });
    assert_eq!(key(&KEY).with(|value| *value), 7);
    let here = std::thread::current();
    assert_eq!(id(here.id()), thread(here).id());
    assert_eq!(result(Ok(1)).unwrap(), 1);
    let joined = std::thread::scope(|scope| scoped(scope.spawn(|| 2)).join().unwrap());
    assert_eq!(joined, 2);
    let _: fn(std::thread::AccessError) -> sundown::thread::AccessError = access;
}

/// Whether a type has an automatic trait, also when it has not: a method of the type goes before one of a trait.
macro_rules! has {
    ($type:ty: $bound:path) => {{
        struct Probe<T: ?Sized>(std::marker::PhantomData<T>);
        #[allow(dead_code)] // the answer may be yes
        trait No {
            fn has(&self) -> bool {
                false
            }
        }
        impl<T: ?Sized> No for Probe<T> {}
        #[allow(dead_code)] // the answer may be no
        impl<T: ?Sized + $bound> Probe<T> {
            fn has(&self) -> bool {
                true
            }
        }
        Probe::<$type>(std::marker::PhantomData).has()
    }};
}

macro_rules! assert_as_std {
    ($($name:ident $(<$($parameter:tt),*>)?),* $(,)?) => {$(
        assert_as_std!(@ $name $(<$($parameter),*>)?: Send, Sync, Unpin, UnwindSafe, RefUnwindSafe, Clone, Copy, Default, PartialEq);
    )*};
    (@ $name:ident $(<$($parameter:tt),*>)?: $first:ident $(, $rest:ident)*) => {
        assert_eq!(
            has!(sundown::thread::$name $(<$($parameter),*>)?: $first),
            has!(std::thread::$name $(<$($parameter),*>)?: $first)
                // Ours besides, which breaks nobody.
                || (stringify!($name), stringify!($first)) == ("Builder", "Default"),
            concat!(stringify!($name), ": ", stringify!($first))
        );
        assert_as_std!(@ $name $(<$($parameter),*>)?: $($rest),*);
    };
    (@ $name:ident $(<$($parameter:tt),*>)?:) => {};
}

#[test]
fn the_automatic_traits_are_std_s() {
    // The probe can say no, and yes.
    assert!(!has!(std::rc::Rc<u8>: Send));
    assert!(has!(u8: Send));
    type Pointer = *mut u8;
    type Cell = std::cell::Cell<u8>;
    type Exclusive = &'static mut u8;
    assert_as_std!(
        Builder,
        JoinHandle<u8>,
        JoinHandle<Pointer>,
        JoinHandle<Cell>,
        JoinHandle<Exclusive>,
        Scope<'static, 'static>,
    );
}
