//! What is made once.

use std::any::Any;
use std::ops::Deref;
use std::sync::atomic::Ordering;

use shuttle::sync as shut;
use shuttle::sync::atomic::AtomicBool;

use super::lock::hold;
use super::STATICS;

/// once_cell's `OnceCell`.
#[derive(Debug)]
pub(crate) struct OnceCell<T> {
    /// Held while it is made.
    making: shut::Mutex<()>,
    /// A look at this is what other threads may come before or after.
    made: AtomicBool,
    value: once_cell::sync::OnceCell<T>,
}

impl<T> OnceCell<T> {
    pub(crate) fn new() -> OnceCell<T> {
        OnceCell {
            making: shut::Mutex::new(()),
            made: AtomicBool::new(false),
            value: once_cell::sync::OnceCell::new(),
        }
    }

    pub(crate) fn with_value(value: T) -> OnceCell<T> {
        OnceCell {
            making: shut::Mutex::new(()),
            made: AtomicBool::new(true),
            value: once_cell::sync::OnceCell::with_value(value),
        }
    }

    pub(crate) fn get(&self) -> Option<&T> {
        match self.made.load(Ordering::Acquire) {
            true => self.value.get(),
            false => None,
        }
    }

    pub(crate) fn set(&self, value: T) -> Result<(), T> {
        let making = hold(&self.making);
        let set = self.value.set(value);
        self.made.store(true, Ordering::Release);
        drop(making);
        set
    }

    pub(crate) fn get_or_init(&self, make: impl FnOnce() -> T) -> &T {
        if self.get().is_none() {
            let making = hold(&self.making);
            if self.value.get().is_none() {
                // Into the cell only when it is made, as others may run meanwhile.
                let value = make();
                self.value.get_or_init(|| value);
                self.made.store(true, Ordering::Release);
            }
            drop(making);
        }
        self.value.get().expect("it has been made")
    }

    pub(crate) fn take(&mut self) -> Option<T> {
        self.value.take()
    }
}

impl<T> Default for OnceCell<T> {
    fn default() -> OnceCell<T> {
        OnceCell::new()
    }
}

/// once_cell's `Lazy`, for a static: one for each execution of a model, and never dropped.
pub(crate) struct Lazy<T> {
    make: fn() -> T,
}

impl<T> Lazy<T> {
    pub(crate) const fn new(make: fn() -> T) -> Lazy<T> {
        Lazy { make }
    }
}

impl<T: Any + Sync> Deref for Lazy<T> {
    type Target = T;

    fn deref(&self) -> &T {
        let key = std::ptr::addr_of!(*self) as usize;
        let made = STATICS.with(|statics| {
            let mut statics = statics.borrow_mut();
            *statics
                .entry(key)
                .or_insert_with(|| Box::leak(Box::new((self.make)())))
        });
        (made as &dyn Any).downcast_ref().expect("its own type")
    }
}
