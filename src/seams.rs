//! Where the core calls up: which adapter sits at each of its seams is decided here, and nowhere else.

pub(crate) use crate::diagnose::examine;
pub(crate) use crate::status::Status;
