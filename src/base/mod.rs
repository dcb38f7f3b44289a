//! What everything above needs: why a shutdown began, text for people, the log, panics of users' code, threads for work that may
//! hang. Knows of nothing but `sys`.

pub(crate) mod apart;
pub(crate) mod cause;
pub(crate) mod log_queue;
pub(crate) mod logging;
pub(crate) mod mailbox;
pub(crate) mod ordered;
pub(crate) mod panics;
pub(crate) mod restart;
pub(crate) mod sort;
pub(crate) mod text;
