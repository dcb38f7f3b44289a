//! A shutdown as a picture: when each entry was told, how long its callback ran, when it was gone, and what the whole was made
//! of.
//!
//! Three pictures of one [`ShutdownReport`](crate::ShutdownReport), and each needs nothing but the report:
//!
//! | for | call | gives |
//! |---|---|---|
//! | a terminal | [`report.timeline()`](crate::ShutdownReport::timeline) | a [`Timeline`], to be printed |
//! | a page, a ticket, a CI artifact | [`report.to_svg()`](crate::ShutdownReport::to_svg) | an SVG document, light and dark |
//! | [Perfetto](https://ui.perfetto.dev), `chrome://tracing` | [`report.to_chrome_trace()`](crate::ShutdownReport::to_chrome_trace) | a JSON document |
//!
//! ```
//! use sundown::Supervisor;
//!
//! let supervisor = Supervisor::new();
//! supervisor.worker().name("reader".into()).spawn_with(|stop| stop.wait())?;
//! let report = supervisor.shutdown();
//! println!("{}", report.timeline());
//! assert!(report.to_svg().starts_with("<svg "));
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! All three show the same:
//!
//! - **A bar for each entry**, from the moment it was told to stop until it was gone or given up. The dark part is its callback.
//!   A callback that somebody ran before the shutdown (`JoinHandle::terminate`, a time limit) is drawn at the entry's turn too:
//!   the report knows how long it took, not when.
//! - **Stragglers** in red, and by a word: no meaning is carried by colour alone.
//! - **The critical path**: what the length of the shutdown was made of. Seen from its end: the last `on_exit` hooks, before them
//!   the entry that was gone last, before that whatever kept that one from being told. What is shorter than half a hundredth of
//!   the whole is not marked, nor is the time that belongs to nobody; if the two come to more than a tenth, that is said. To make
//!   a shutdown shorter, make something on this path shorter: nothing else helps.
//!
//! Text and SVG are bounded, however many entries there are and whatever their names hold: the most telling entries are shown
//! (stragglers, then what went wrong, then the critical path, then the slowest), and one line sums up the rest and says so. Names
//! are cut with an ellipsis; control characters are replaced and markup is escaped. The trace holds every entry, with its whole
//! name.

mod chart;
mod chrome_trace;
mod columns;
mod nesting;
mod path;
#[cfg(feature = "serde")]
mod serialize;
mod svg;
mod text;

pub use text::Timeline;
