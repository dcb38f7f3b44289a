//! What users give us may panic, when it runs and when it is dropped.

use std::any::Any;
use std::panic::{catch_unwind, AssertUnwindSafe};

/// Drops what users gave us, whatever their destructors do.
pub(crate) fn drop_quietly<T>(value: T) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(value))) {
        message_of_panic(payload);
    }
}

/// The text of a panic's payload. The payload itself is dropped, and forgotten if that panics too.
pub(crate) fn message_of_panic(payload: Box<dyn Any + Send>) -> String {
    let message = describe_panic(&*payload);
    if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(again);
    }
    message
}

/// The text of a panic's payload.
pub(crate) fn describe_panic(payload: &(dyn Any + Send)) -> String {
    if let Some(text) = payload.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "a payload that is no string".to_owned()
    }
}
