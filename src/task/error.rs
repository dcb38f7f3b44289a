//! Why work has no value.

use std::any::Any;
use std::error::Error;
use std::fmt;

/// Why there is no value: the error of [`Task::wait`](super::Task::wait).
///
/// ```
/// use sundown::{Pool, TaskError};
///
/// let pool = Pool::builder().workers(1).build()?;
/// let task = pool.submit(|| -> u32 { std::panic::resume_unwind(Box::new("out of cheese")) });
/// match task.wait() {
///     Err(TaskError::Panicked(payload)) => assert_eq!(payload.downcast_ref(), Some(&"out of cheese")),
///     other => panic!("{other:?}"),
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
#[non_exhaustive]
pub enum TaskError {
    /// It was not carried out to its end.
    Cancelled(Cancelled),
    /// It panicked, with this payload.
    Panicked(Box<dyn Any + Send>),
    /// An earlier wait has taken the outcome.
    Taken,
}

/// Why work was not carried out to its end, or (the last two) why it cannot be waited for here.
///
/// ```
/// use sundown::pool::{Pending, Pool};
/// use sundown::{Cancelled, TaskError};
///
/// let pool = Pool::builder().workers(1).build()?;
/// pool.shutdown(Pending::Cancel);
/// let refused = pool.submit(|| 1).wait();
/// assert!(matches!(refused, Err(TaskError::Cancelled(Cancelled::Ended))));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cancelled {
    /// Somebody called [`Task::cancel`](super::Task::cancel).
    OnRequest,
    /// What was to carry it out was told to stop, or has ended.
    Ended,
    /// It would have to be carried out by the thread that waits for it, which would wait for ever.
    OwnThread,
    /// It waits, itself or through others, for the very job that waits for it.
    Circular,
}
impl TaskError {
    /// Whether it was not carried out to its end.
    pub fn is_cancelled(&self) -> bool {
        matches!(self, TaskError::Cancelled(_))
    }

    /// The payload, if it panicked.
    pub fn into_panic(self) -> Option<Box<dyn Any + Send>> {
        match self {
            TaskError::Panicked(payload) => Some(payload),
            _ => None,
        }
    }
}

impl fmt::Debug for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TaskError::Cancelled(why) => f.debug_tuple("Cancelled").field(why).finish(),
            TaskError::Panicked(payload) => f
                .debug_tuple("Panicked")
                .field(&message(&**payload))
                .finish(),
            TaskError::Taken => f.write_str("Taken"),
        }
    }
}

impl fmt::Display for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TaskError::Cancelled(why) => why.fmt(f),
            TaskError::Panicked(payload) => {
                // Quoted, and with control characters escaped: the message is anybody's.
                write!(f, "the task panicked: {:?}", message(&**payload))
            }
            TaskError::Taken => {
                f.write_str("the task's value was given out already, to an earlier wait")
            }
        }
    }
}

/// The text of a panic's payload.
fn message(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a payload that is no string")
}

impl Error for TaskError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            TaskError::Cancelled(why) => Some(why),
            _ => None,
        }
    }
}

impl From<Cancelled> for TaskError {
    fn from(why: Cancelled) -> TaskError {
        TaskError::Cancelled(why)
    }
}

impl fmt::Display for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Cancelled::OnRequest => "the task was cancelled",
            Cancelled::Ended => "the task was cancelled: what it was to run on has ended, or was told to",
            Cancelled::OwnThread => {
                "the task would have to run on the very thread that waits for it: await it there, or wait on another thread"
            }
            Cancelled::Circular => {
                "the task cannot be waited for here: it waits, itself or through others, for the job that would wait for it"
            }
        })
    }
}

impl Error for Cancelled {}
