//! What the compiler must refuse. Each example has a twin that differs in one thing and compiles, so that it is this thing which is
//! refused and no slip of the pen.
//!
//! The error codes are checked only where rustdoc may use what is unstable: `RUSTC_BOOTSTRAP=1 cargo test --doc`.

/// A worker may outlive the frame that spawned it, so it must own what it uses.
///
/// ```compile_fail,E0373
/// let name = String::from("borrowed");
/// sundown::thread::spawn(|| println!("{name}")).join().unwrap();
/// ```
///
/// ```
/// let name = String::from("owned");
/// sundown::thread::spawn(move || println!("{name}")).join().unwrap();
/// ```
pub struct WorkerBorrows;

/// What a worker uses must be sent to its thread.
///
/// ```compile_fail,E0277
/// let count = std::rc::Rc::new(1);
/// sundown::thread::spawn(move || drop(count)).join().unwrap();
/// ```
///
/// ```
/// let count = std::sync::Arc::new(1);
/// sundown::thread::spawn(move || drop(count)).join().unwrap();
/// ```
pub struct WorkerTakesRc;

/// What a worker returns must be sent back.
///
/// ```compile_fail,E0277
/// sundown::thread::spawn(|| std::rc::Rc::new(1)).join().unwrap();
/// ```
///
/// ```
/// sundown::thread::spawn(|| std::sync::Arc::new(1)).join().unwrap();
/// ```
pub struct WorkerReturnsRc;

/// A scoped thread must not outlive what it borrows.
///
/// ```compile_fail,E0373
/// sundown::thread::scope(|scope| {
///     let inner = 1;
///     scope.spawn(|| println!("{inner}"));
/// });
/// ```
///
/// ```
/// let outer = 1;
/// sundown::thread::scope(|scope| {
///     scope.spawn(|| println!("{outer}"));
/// });
/// ```
pub struct ScopeBorrowsTooLittle;

/// A scope's handle must not leave the scope.
///
/// ```compile_fail,E0521
/// let mut kept = None;
/// sundown::thread::scope(|scope| kept = Some(scope));
/// ```
///
/// ```
/// let mut kept = None;
/// sundown::thread::scope(|_scope| kept = Some(1));
/// assert!(kept.is_some());
/// ```
pub struct ScopeEscapes;

/// A terminate callback may run when the frame that registered it is gone.
///
/// ```compile_fail,E0597
/// let flag = std::sync::atomic::AtomicBool::new(false);
/// let told = &flag;
/// sundown::thread::Builder::new()
///     .on_terminate(move || told.store(true, std::sync::atomic::Ordering::Release))
///     .spawn(|| ())
///     .unwrap();
/// ```
///
/// ```
/// static FLAG: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);
/// let told = &FLAG;
/// sundown::thread::Builder::new()
///     .on_terminate(move || told.store(true, std::sync::atomic::Ordering::Release))
///     .spawn(|| ())
///     .unwrap();
/// ```
pub struct CallbackBorrows;

/// It runs on another thread.
///
/// ```compile_fail,E0277
/// let shared = std::rc::Rc::new(1);
/// sundown::thread::Builder::new().on_terminate(move || drop(shared)).spawn(|| ()).unwrap();
/// ```
///
/// ```
/// let shared = std::sync::Arc::new(1);
/// sundown::thread::Builder::new().on_terminate(move || drop(shared)).spawn(|| ()).unwrap();
/// ```
pub struct CallbackTakesRc;

/// So do hooks and callbacks of a token.
///
/// ```compile_fail,E0277
/// let shared = std::rc::Rc::new(1);
/// sundown::Supervisor::new().on_exit("hook", move || drop(shared));
/// ```
///
/// ```compile_fail,E0277
/// let shared = std::rc::Rc::new(1);
/// let _callback = sundown::StopSource::new().token().on_stop(move || drop(shared));
/// ```
///
/// ```
/// let shared = std::sync::Arc::new(1);
/// let other = shared.clone();
/// sundown::Supervisor::new().on_exit("hook", move || drop(shared));
/// let _callback = sundown::StopSource::new().token().on_stop(move || drop(other));
/// ```
pub struct HookTakesRc;

/// What is no way to make a worker stop is none.
///
/// ```compile_fail,E0277
/// sundown::thread::Builder::new().on_terminate("stop, please").spawn(|| ()).unwrap();
/// ```
///
/// ```
/// sundown::thread::Builder::new().on_terminate(|| println!("stop, please")).spawn(|| ()).unwrap();
/// ```
pub struct TextIsNoTerminator;

/// A worker is joined once.
///
/// ```compile_fail,E0382
/// let worker = sundown::thread::spawn(|| ());
/// worker.join().unwrap();
/// worker.join().unwrap();
/// ```
///
/// ```
/// let worker = sundown::thread::spawn(|| ());
/// let other = sundown::thread::spawn(|| ());
/// worker.join().unwrap();
/// other.join().unwrap();
/// ```
pub struct JoinedTwice;

/// A guard finishes once, and nobody has a copy of it.
///
/// ```compile_fail,E0382
/// let guard = sundown::Supervisor::builder().signals(false).install().unwrap();
/// guard.finish();
/// guard.on_terminate(|| ());
/// ```
///
/// ```
/// let guard = sundown::Supervisor::builder().signals(false).install().unwrap();
/// guard.on_terminate(|| ());
/// guard.finish();
/// ```
pub struct GuardUsedAfterItsEnd;

/// A hook is taken back once; its name and number are its own.
///
/// ```compile_fail,E0505
/// let hook = sundown::Supervisor::new().on_exit("hook", || ());
/// let name = hook.name();
/// hook.remove();
/// println!("{name}");
/// ```
///
/// ```
/// let hook = sundown::Supervisor::new().on_exit("hook", || ());
/// let name = hook.name().to_owned();
/// hook.remove();
/// println!("{name}");
/// ```
pub struct HookNameOutlivesIt;

/// Numbers are drawn by the library.
///
/// ```compile_fail,E0603
/// let id = sundown::WorkerId(std::num::NonZeroU64::MIN);
/// ```
///
/// ```
/// let id: sundown::WorkerId = sundown::thread::spawn(|| ()).id();
/// ```
pub struct IdIsMade;

/// A program must stand causes, outcomes and kinds that are added later.
///
/// ```compile_fail,E0004
/// match sundown::Cause::Requested {
///     sundown::Cause::Requested | sundown::Cause::Returned | sundown::Cause::Panicked => {}
///     sundown::Cause::Exit(_) | sundown::Cause::Signal(_) => {}
///     sundown::Cause::WorkerEnded { .. } => {}
/// }
/// ```
///
/// ```
/// match sundown::Cause::Requested {
///     sundown::Cause::Requested | sundown::Cause::Returned | sundown::Cause::Panicked => {}
///     sundown::Cause::Exit(_) | sundown::Cause::Signal(_) => {}
///     sundown::Cause::WorkerEnded { .. } => {}
///     _ => {}
/// }
/// ```
pub struct CauseIsMatchedWhole;

/// The cause of a worker's end is the library's to state.
///
/// ```compile_fail,E0639
/// let cause = sundown::Cause::WorkerEnded { name: None, panicked: true };
/// ```
///
/// ```
/// let cause = sundown::Cause::Exit(1);
/// ```
pub struct WorkerEndedIsMade;

/// What may never be dropped by mistake says so.
///
/// ```compile_fail
/// #![deny(unused_must_use)]
/// sundown::Supervisor::builder().signals(false).install().unwrap();
/// ```
///
/// ```compile_fail
/// #![deny(unused_must_use)]
/// sundown::StopSource::new().token().on_stop(|| ());
/// ```
///
/// ```compile_fail
/// #![deny(unused_must_use)]
/// sundown::thread::spawn(|| ()).into_guard();
/// ```
///
/// ```
/// #![deny(unused_must_use)]
/// let _guard = sundown::Supervisor::builder().signals(false).install().unwrap();
/// let _callback = sundown::StopSource::new().token().on_stop(|| ());
/// let _worker = sundown::thread::spawn(|| ()).into_guard();
/// ```
pub struct DroppedByMistake;
