//! Every ready-made terminate callback wakes a worker that is really blocked in the call that it is for.
//!
//! On Linux the kernel says in which system call a thread is blocked, and each test waits until it says the right one before the
//! worker is told. Each is told twice over: by `terminate()`, and by a shutdown.

mod support;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, ToSocketAddrs, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{mpsc, Arc, Condvar, Mutex};
use std::time::Duration;

use crossbeam_channel::bounded;
use sundown::thread::JoinHandle;
use sundown::{terminate, CallbackFault, Outcome, StopSource, Supervisor, Terminate};
use support::{in_time, timed, Gate, Journal, PATIENCE};

/// What a worker blocks in.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(not(unix), allow(dead_code))] // what is there on Unix only
enum Call {
    Accept,
    /// A lock, a channel, a condition variable, a park.
    Futex,
    Poll,
    Read,
    /// Of a socket.
    Receive,
    /// Of a socket.
    Send,
    Sleep,
    WaitForChild,
}

#[cfg(target_os = "linux")]
mod place {
    use std::time::Instant;

    use super::{Call, PATIENCE};

    /// Where the kernel tells of one thread.
    pub(super) struct Place(std::path::PathBuf);

    impl Call {
        fn numbers(self) -> &'static [libc::c_long] {
            match self {
                Call::Accept => &[libc::SYS_accept4],
                Call::Futex => &[libc::SYS_futex],
                #[cfg(target_arch = "x86_64")]
                Call::Poll => &[libc::SYS_poll, libc::SYS_ppoll],
                #[cfg(not(target_arch = "x86_64"))]
                Call::Poll => &[libc::SYS_ppoll],
                Call::Read => &[libc::SYS_read],
                Call::Receive => &[libc::SYS_recvfrom, libc::SYS_read],
                Call::Send => &[libc::SYS_sendto, libc::SYS_write],
                Call::Sleep => &[libc::SYS_clock_nanosleep, libc::SYS_nanosleep],
                Call::WaitForChild => &[libc::SYS_waitid, libc::SYS_wait4],
            }
        }
    }

    impl Place {
        pub(super) fn here() -> Place {
            // `<pid>/task/<tid>`
            let this = std::fs::read_link("/proc/thread-self").unwrap();
            Place(std::path::Path::new("/proc").join(this).join("syscall"))
        }

        /// In which system call it is blocked; `None` while it runs.
        pub(super) fn call(&self) -> Option<libc::c_long> {
            // "running", or the number and its arguments
            let text = std::fs::read_to_string(&self.0).unwrap_or_default();
            text.split_whitespace().next()?.parse().ok()
        }

        /// Returns when it is blocked in `call`.
        pub(super) fn await_blocked(&self, call: Call) {
            let limit = Instant::now() + PATIENCE;
            while !self.call().is_some_and(|now| call.numbers().contains(&now)) {
                assert!(
                    Instant::now() < limit,
                    "it is not in {call:?} but in {:?}",
                    self.call()
                );
                std::thread::yield_now();
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod place {
    use super::Call;

    /// Where nobody can say what a thread is blocked in, the tests show that it has not come back from the call.
    pub(super) struct Place;

    impl Place {
        pub(super) fn here() -> Place {
            Place
        }

        pub(super) fn await_blocked(&self, _call: Call) {
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
    }
}

use place::Place;

/// A worker that runs `job`, blocked in `call` when this returns.
fn blocked_worker<T: Send + 'static>(
    supervisor: &Supervisor,
    call: Call,
    callback: impl Terminate,
    job: impl FnOnce() -> T + Send + 'static,
) -> JoinHandle<T> {
    let (announce, places) = bounded(1);
    let worker = supervisor.worker().name("blocked".into());
    let worker = worker.on_terminate(callback).spawn(move || {
        announce.send(Place::here()).unwrap();
        drop(announce);
        job()
    });
    let place = places.recv_timeout(PATIENCE).unwrap();
    place.await_blocked(call);
    let worker = worker.unwrap();
    assert!(!worker.is_finished(), "{call:?} did not block");
    worker
}

/// Shows that what `make` gives (a callback, and what a worker does) wakes the worker from `call`, and looks at its value.
fn wakes<C, J, T>(call: Call, make: impl Fn() -> (C, J) + Send + 'static, look: fn(T))
where
    C: Terminate,
    J: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    in_time(move || {
        let supervisor = Supervisor::new();
        let (callback, job) = make();
        let worker = blocked_worker(&supervisor, call, callback, job);
        worker.terminate();
        look(worker.join().unwrap());

        let (callback, job) = make();
        let worker = blocked_worker(&supervisor, call, callback, job);
        let report = supervisor.shutdown();
        assert!(report.is_clean(), "{report}");
        assert_eq!(*report.entries()[0].outcome(), Outcome::Finished);
        assert_eq!(report.entries()[0].callback_fault(), None);
        look(worker.join().unwrap());
    });
}

/// For callbacks that only the unpark or the token is needed for.
fn nothing() {}

// ---- streams

fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (near, listener.accept().unwrap().0)
}

/// Writes until that fails. The buffers fill up, since nobody reads.
fn write_on(mut stream: impl Write) -> std::io::Error {
    loop {
        if let Err(error) = stream.write_all(&[7; 65536]) {
            return error;
        }
    }
}

#[test]
fn a_tcp_stream_wakes_a_read() {
    let make = || {
        let (mut near, far) = tcp_pair();
        (near.try_clone().unwrap(), move || {
            let read = near.read(&mut [0; 64]);
            drop(far); // open until then
            read
        })
    };
    wakes(Call::Receive, make, |read| assert_eq!(read.unwrap(), 0));
}

#[test]
fn a_tcp_stream_wakes_a_write_into_full_buffers() {
    let make = || {
        let (near, far) = tcp_pair();
        (near.try_clone().unwrap(), move || {
            let error = write_on(near);
            drop(far); // open until then, and never read from
            error
        })
    };
    wakes(Call::Send, make, |error: std::io::Error| {
        assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
    });
}

#[test]
fn the_descriptor_of_a_stream_is_shut_down_and_not_closed() {
    in_time(|| {
        let (near, far) = tcp_pair();
        let address = near.local_addr().unwrap();
        near.try_clone().unwrap().terminate();
        // A closed descriptor has no address; or, worse, that of another file by now.
        assert_eq!(near.local_addr().unwrap(), address);
        assert_eq!((&near).read(&mut [0; 8]).unwrap(), 0);
        drop(far);
    });
}

// ---- listeners

/// A listener at each kind of address that this machine has.
fn wakes_accept_at(address: &'static str) {
    wakes(
        Call::Accept,
        move || {
            let listener = TcpListener::bind(address).unwrap();
            (listener.try_clone().unwrap(), move || {
                listener.accept().map(drop)
            })
        },
        |accepted| {
            // Elsewhere the callback connects.
            if cfg!(target_os = "linux") {
                accepted.unwrap_err();
            }
        },
    );
    // The callback for a listener out of reach: it connects, wherever that is.
    wakes(
        Call::Accept,
        move || {
            let listener = TcpListener::bind(address).unwrap();
            let connect = terminate::connect(listener.local_addr().unwrap());
            (connect, move || listener.accept().map(drop))
        },
        |accepted| accepted.unwrap(),
    );
}

#[test]
fn a_tcp_listener_wakes_accept() {
    wakes_accept_at("127.0.0.1:0");
}

#[test]
fn a_tcp_listener_at_any_address_wakes_accept() {
    wakes_accept_at("0.0.0.0:0");
}

/// Whether this machine has IPv6 at all: many a container has not.
fn has_ipv6() -> bool {
    TcpListener::bind("[::1]:0").is_ok()
}

#[test]
fn a_tcp_listener_of_ipv6_wakes_accept() {
    if has_ipv6() {
        wakes_accept_at("[::1]:0");
        wakes_accept_at("[::]:0");
    } else {
        // Then an address of IPv6 is refused, which is no reason to hang or to panic.
        let address = "[::1]:9".to_socket_addrs().unwrap().next().unwrap();
        in_time(move || terminate::connect(address).terminate());
    }
}

#[test]
fn a_listener_that_was_told_stays_awake() {
    in_time(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.try_clone().unwrap().terminate();
        // Told before the worker comes to its `accept`: no connection comes, and it must not block all the same.
        let accepted = listener.accept();
        assert!(accepted.is_err() || cfg!(not(target_os = "linux")));
    });
}

// ---- datagrams

#[test]
fn a_udp_socket_wakes_recv() {
    for address in ["127.0.0.1:0", "0.0.0.0:0"] {
        wakes(
            Call::Receive,
            move || {
                let socket = UdpSocket::bind(address).unwrap();
                (socket.try_clone().unwrap(), move || {
                    socket.recv(&mut [0; 64])
                })
            },
            |received| assert_eq!(received.unwrap(), 0),
        );
    }
}

#[test]
fn a_udp_socket_wakes_recv_from() {
    let make = || {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        (socket.try_clone().unwrap(), move || {
            socket.recv_from(&mut [0; 64]).map(|(length, _)| length)
        })
    };
    // With no bytes; std makes an error of it where the system gives no sender's address, as Linux does.
    wakes(Call::Receive, make, |received: std::io::Result<usize>| {
        assert_eq!(received.unwrap_or(0), 0);
    });
}

#[test]
fn a_connected_udp_socket_wakes_recv() {
    let make = || {
        let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(peer.local_addr().unwrap()).unwrap();
        (socket.try_clone().unwrap(), move || {
            let received = socket.recv(&mut [0; 64]);
            drop(peer); // open until then
            received
        })
    };
    wakes(Call::Receive, make, |received| {
        assert_eq!(received.unwrap(), 0);
    });
}

// ---- what is closed already

/// The lines that the library logged about sockets and children. Nothing else in this file makes any.
static COMPLAINTS: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Complaints;

impl log::Log for Complaints {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let line = record.args().to_string();
        if record.target() == "sundown" && line.contains("could not be told to stop") {
            COMPLAINTS.lock().unwrap().push(line);
        }
    }

    fn flush(&self) {}
}

#[test]
fn a_socket_that_is_closed_already_is_no_error() {
    log::set_logger(&Complaints).unwrap();
    log::set_max_level(log::LevelFilter::Trace);
    in_time(|| {
        let (near, far) = tcp_pair();
        let (again, peer_gone) = (near.try_clone().unwrap(), near.try_clone().unwrap());
        near.shutdown(Shutdown::Both).unwrap();
        near.terminate();
        drop(far);
        peer_gone.terminate();
        again.terminate();

        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        listener.try_clone().unwrap().terminate();
        listener.terminate();
        terminate::connect(address).terminate(); // nobody listens there any more

        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.try_clone().unwrap().terminate();
        socket.terminate();

        #[cfg(unix)]
        {
            let (near, far) = std::os::unix::net::UnixStream::pair().unwrap();
            drop(far);
            near.try_clone().unwrap().terminate();
            near.terminate();

            let mut child = std::process::Command::new("true").spawn().unwrap();
            child.wait().unwrap();
            child.terminate(); // ended, and reaped
        }
        assert_eq!(*COMPLAINTS.lock().unwrap(), [] as [String; 0]);

        // That there would have been a line: no system connects to a link-local address without its interface.
        let nowhere = "[fe80::1]:9".parse().unwrap();
        terminate::connect(nowhere).terminate();
        assert_eq!(COMPLAINTS.lock().unwrap().len(), 1);
    });
}

// ---- channels

#[test]
fn dropping_the_sender_wakes_recv() {
    let crossbeam = || {
        let (sender, receiver) = bounded::<u8>(1);
        (sender, move || receiver.recv().is_err())
    };
    wakes(Call::Futex, crossbeam, |ended| assert!(ended));
    let std = || {
        let (sender, receiver) = mpsc::channel::<u8>();
        (sender, move || receiver.recv().is_err())
    };
    wakes(Call::Futex, std, |ended| assert!(ended));
    let std_bounded = || {
        let (sender, receiver) = mpsc::sync_channel::<u8>(1);
        (sender, move || receiver.recv().is_err())
    };
    wakes(Call::Futex, std_bounded, |ended| assert!(ended));
}

#[test]
fn a_sentinel_wakes_recv_whoever_else_can_send() {
    let crossbeam = || {
        let (sender, receiver) = bounded(1);
        let sentinel = terminate::send(sender.clone(), "stop");
        (sentinel, move || {
            let received = receiver.recv();
            drop(sender); // open until then
            received.unwrap()
        })
    };
    wakes(Call::Futex, crossbeam, |told| assert_eq!(told, "stop"));
    let std = || {
        let (sender, receiver) = mpsc::channel();
        let sentinel = terminate::send(sender.clone(), "stop");
        (sentinel, move || {
            let received = receiver.recv();
            drop(sender);
            received.unwrap()
        })
    };
    wakes(Call::Futex, std, |told| assert_eq!(told, "stop"));
    let std_bounded = || {
        let (sender, receiver) = mpsc::sync_channel(1);
        let sentinel = terminate::send(sender.clone(), "stop");
        (sentinel, move || {
            let received = receiver.recv();
            drop(sender);
            received.unwrap()
        })
    };
    wakes(Call::Futex, std_bounded, |told| assert_eq!(told, "stop"));
    // A queue of no places at all: there is room only while the receiver waits.
    let rendezvous = || {
        let (sender, receiver) = bounded(0);
        let sentinel = terminate::send(sender.clone(), "stop");
        (sentinel, move || {
            let received = receiver.recv();
            drop(sender);
            received.unwrap()
        })
    };
    wakes(Call::Futex, rendezvous, |told| assert_eq!(told, "stop"));
}

/// The queue is full and its worker busy when it is told: telling does not wait for room, and the worker still gets what was
/// queued, then the end.
fn a_full_queue<C: Terminate>(
    callback: C,
    mut next: impl FnMut() -> Option<u32> + Send + 'static,
    open_until_the_end: impl Send + 'static,
) {
    in_time(move || {
        let mut busy = Gate::new();
        let passer = busy.passer();
        let supervisor = Supervisor::new();
        let worker = supervisor.worker().name("reader".into());
        let worker = worker
            .on_terminate(callback)
            .spawn(move || {
                passer();
                let got: Vec<u32> = std::iter::from_fn(&mut next).collect();
                drop(open_until_the_end);
                got
            })
            .unwrap();
        let ((), took) = timed(|| worker.terminate());
        // One that blocks on the queue is given up only after a second.
        assert!(took < Duration::from_millis(900), "{took:?}");
        busy.open();
        assert_eq!(worker.join().unwrap(), [1, 2]);
        assert!(supervisor.shutdown().is_clean());
    });
}

#[test]
fn a_full_queue_is_told_without_waiting_and_loses_nothing() {
    const STOP: u32 = 0;
    // Crossbeam, its sender dropped.
    let (sender, receiver) = bounded(2);
    sender.send(1).unwrap();
    sender.send(2).unwrap();
    a_full_queue(sender, move || receiver.recv().ok(), ());
    // Crossbeam, with a sentinel.
    let (sender, receiver) = bounded(2);
    sender.send(1).unwrap();
    sender.send(2).unwrap();
    let sentinel = terminate::send(sender.clone(), STOP);
    let next = move || receiver.recv().ok().filter(|&got| got != STOP);
    a_full_queue(sentinel, next, sender);
    // std, its sender dropped.
    let (sender, receiver) = mpsc::sync_channel(2);
    sender.send(1).unwrap();
    sender.send(2).unwrap();
    a_full_queue(sender, move || receiver.recv().ok(), ());
    // std, with a sentinel.
    let (sender, receiver) = mpsc::sync_channel(2);
    sender.send(1).unwrap();
    sender.send(2).unwrap();
    let sentinel = terminate::send(sender.clone(), STOP);
    let next = move || receiver.recv().ok().filter(|&got| got != STOP);
    a_full_queue(sentinel, next, sender);
}

#[test]
fn a_sentinel_for_a_receiver_that_is_gone_goes_nowhere() {
    in_time(|| {
        let (sender, receiver) = bounded(1);
        sender.send(1).unwrap();
        drop(receiver);
        terminate::send(sender, 2).terminate();
        let (sender, receiver) = mpsc::sync_channel(0);
        drop(receiver);
        terminate::send(sender, 2).terminate();
    });
}

#[test]
fn dropping_the_receiver_wakes_a_send_into_a_full_queue() {
    let make = || {
        let (sender, receiver) = bounded(1);
        (
            move || drop(receiver),
            move || {
                sender.send(1).unwrap();
                sender.send(2).is_err()
            },
        )
    };
    wakes(Call::Futex, make, |ended| assert!(ended));
    let make = || {
        let (sender, receiver) = mpsc::sync_channel(1);
        (
            move || drop(receiver),
            move || {
                sender.send(1).unwrap();
                sender.send(2).is_err()
            },
        )
    };
    wakes(Call::Futex, make, |ended| assert!(ended));
}

// ---- locks and parks

#[test]
fn a_closure_wakes_a_condvar_loop() {
    let make = || {
        let pair = Arc::new((Mutex::new(false), Condvar::new()));
        let theirs = Arc::clone(&pair);
        let callback = move || {
            *pair.0.lock().unwrap() = true;
            pair.1.notify_all();
        };
        (callback, move || {
            let stop = theirs.0.lock().unwrap();
            *theirs.1.wait_while(stop, |stop| !*stop).unwrap()
        })
    };
    wakes(Call::Futex, make, |stop| assert!(stop));
}

#[test]
fn who_parks_needs_no_callback() {
    let make = || {
        (nothing, || {
            let stop = sundown::stop_token();
            while !stop.is_stopped() {
                std::thread::park();
            }
        })
    };
    wakes(Call::Futex, make, |()| {});
}

#[test]
fn who_waits_on_its_token_needs_no_callback() {
    let wait = || (nothing, || sundown::stop_token().wait());
    wakes(Call::Futex, wait, |()| {});
    let sleep = || (nothing, || sundown::stop_token().sleep(Duration::MAX));
    wakes(Call::Futex, sleep, |slept| assert!(slept.is_err()));
}

#[test]
fn a_flag_wakes_who_parks_on_it() {
    let make = || {
        let flag = Arc::new(AtomicBool::new(false));
        (Arc::clone(&flag), move || {
            // The callback comes before the unpark, so who is unparked sees the flag.
            while !flag.load(Ordering::Acquire) {
                std::thread::park();
            }
        })
    };
    wakes(Call::Futex, make, |()| {});
}

#[test]
fn a_flag_ends_a_loop_that_polls_it() {
    in_time(|| {
        let flag = Arc::new(AtomicBool::new(false));
        let theirs = Arc::clone(&flag);
        let (announce, turns) = bounded(0);
        let worker = Supervisor::new()
            .worker()
            .on_terminate(flag)
            .spawn(move || {
                announce.send(()).unwrap();
                while !theirs.load(Ordering::Acquire) {
                    std::hint::spin_loop();
                }
            })
            .unwrap();
        turns.recv_timeout(PATIENCE).unwrap();
        assert!(!worker.is_finished());
        worker.terminate();
        worker.join().unwrap();
    });
}

#[test]
fn a_source_wakes_who_waits_for_its_token() {
    let make = || {
        let source = StopSource::new();
        let token = source.token();
        (source, move || token.wait())
    };
    wakes(Call::Futex, make, |()| {});
}

#[test]
fn a_thread_wakes_the_one_that_the_worker_waits_for() {
    let make = || {
        let inner = std::thread::spawn(std::thread::park);
        (inner.thread().clone(), move || inner.join().unwrap())
    };
    wakes(Call::Futex, make, |()| {});
}

// ---- several at once

#[test]
fn a_tuple_wakes_a_worker_that_needs_both() {
    let make = || {
        let (mut near, far) = tcp_pair();
        let flag = Arc::new(AtomicBool::new(false));
        ((near.try_clone().unwrap(), Arc::clone(&flag)), move || {
            let read = near.read(&mut [0; 64]).unwrap();
            while !flag.load(Ordering::Acquire) {
                std::thread::park();
            }
            drop(far);
            read
        })
    };
    wakes(Call::Receive, make, |read| assert_eq!(read, 0));
}

#[test]
fn a_tuple_runs_first_to_last() {
    let journal = Journal::new();
    let note = |what: &'static str| journal.noter(what);
    (note("a"), note("b")).terminate();
    (note("c"), note("d"), note("e")).terminate();
    (note("f"), note("g"), note("h"), note("i")).terminate();
    assert_eq!(
        journal.lines(),
        ["a", "b", "c", "d", "e", "f", "g", "h", "i"]
    );
}

#[test]
fn a_panic_in_the_first_of_a_tuple_still_runs_the_rest_and_is_reported() {
    in_time(|| {
        let supervisor = Supervisor::new();
        let (sender, receiver) = bounded::<()>(0);
        let (again, ended) = bounded::<()>(0);
        let callback = (
            || panic!("the first"),
            sender,
            || panic!("the third"),
            again,
        );
        let worker = blocked_worker(&supervisor, Call::Futex, callback, move || {
            receiver.recv().unwrap_err();
            ended.recv().unwrap_err();
        });
        let report = supervisor.shutdown();
        worker.join().unwrap();
        let fault = report.entries()[0].callback_fault().cloned();
        assert_eq!(fault, Some(CallbackFault::Panicked("the first".into())));
        assert_eq!(*report.entries()[0].outcome(), Outcome::Finished);
    });
}

// ---- what cannot be woken

#[test]
fn a_sleep_cannot_be_woken() {
    in_time(|| {
        let deadline = Duration::from_millis(300);
        let supervisor = Supervisor::builder().deadline(deadline).build();
        let worker = blocked_worker(&supervisor, Call::Sleep, nothing, || {
            std::thread::sleep(Duration::from_secs(3600));
        });
        let report = supervisor.shutdown();
        assert_eq!(*report.entries()[0].outcome(), Outcome::Straggler);
        assert!(!worker.is_finished());
    });
}

#[test]
fn a_mutex_cannot_be_woken() {
    in_time(|| {
        let deadline = Duration::from_millis(300);
        let supervisor = Supervisor::builder().deadline(deadline).build();
        let mutex = Arc::new(Mutex::new(()));
        let theirs = Arc::clone(&mutex);
        let held = mutex.lock().unwrap();
        let worker = blocked_worker(&supervisor, Call::Futex, nothing, move || {
            drop(theirs.lock().unwrap());
        });
        let report = supervisor.shutdown();
        assert_eq!(*report.entries()[0].outcome(), Outcome::Straggler);
        assert!(!worker.is_finished());
        drop(held);
        worker.join().unwrap();
    });
}

#[test]
fn instead_of_a_lock_a_worker_can_try_for_a_while_and_ask_its_token() {
    in_time(|| {
        let supervisor = Supervisor::new();
        let mutex = Arc::new(parking_lot::Mutex::new(()));
        let theirs = Arc::clone(&mutex);
        let held = mutex.lock();
        let worker = blocked_worker(&supervisor, Call::Futex, nothing, move || {
            let stop = sundown::stop_token();
            loop {
                if theirs.try_lock_for(Duration::from_millis(50)).is_some() {
                    return "locked";
                }
                if stop.is_stopped() {
                    return "stopped";
                }
            }
        });
        let report = supervisor.shutdown();
        assert!(report.is_clean(), "{report}");
        assert_eq!(worker.join().unwrap(), "stopped");
        drop(held); // until then
    });
}

// ---- Unix

#[cfg(unix)]
mod unix {
    use super::*;

    use std::io::{BufRead, BufReader};
    use std::os::fd::OwnedFd;
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Command, Stdio};

    #[test]
    fn a_unix_stream_wakes_a_read() {
        let make = || {
            let (mut near, far) = UnixStream::pair().unwrap();
            (near.try_clone().unwrap(), move || {
                let read = near.read(&mut [0; 64]);
                drop(far); // open until then
                read
            })
        };
        wakes(Call::Receive, make, |read| assert_eq!(read.unwrap(), 0));
    }

    #[test]
    fn a_unix_stream_wakes_a_write_into_full_buffers() {
        let make = || {
            let (near, far) = UnixStream::pair().unwrap();
            (near.try_clone().unwrap(), move || {
                let error = write_on(near);
                drop(far); // open until then, and never read from
                error
            })
        };
        wakes(Call::Send, make, |error: std::io::Error| {
            assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
        });
    }

    #[test]
    fn a_unix_listener_wakes_accept() {
        let make = || {
            let path = std::env::temp_dir().join(format!("sundown-{}", std::process::id()));
            let _ = std::fs::remove_file(&path); // of a run that was cut off
            let listener = UnixListener::bind(&path).unwrap();
            (listener.try_clone().unwrap(), move || {
                let accepted = listener.accept().map(drop);
                std::fs::remove_file(&path).unwrap();
                accepted
            })
        };
        wakes(Call::Accept, make, |accepted| {
            if cfg!(target_os = "linux") {
                accepted.unwrap_err();
            }
        });
    }

    #[test]
    fn an_interrupt_wakes_who_reads_a_pipe() {
        // Of a socket pair.
        let make = || {
            let (source, writer) = UnixStream::pair().unwrap();
            let (mut reader, interrupt) = terminate::interruptible(OwnedFd::from(source)).unwrap();
            (interrupt, move || {
                let read = reader.read(&mut [0; 64]);
                drop(writer); // open until then
                read
            })
        };
        wakes(Call::Poll, make, |read| assert_eq!(read.unwrap(), 0));
        // Of another process, which outlives the interrupt.
        let make = || {
            let mut sleep = Command::new("sleep");
            let mut child = sleep.arg("1000").stdout(Stdio::piped()).spawn().unwrap();
            let pipe = OwnedFd::from(child.stdout.take().unwrap());
            let (mut reader, interrupt) = terminate::interruptible(pipe).unwrap();
            (interrupt, move || {
                let read = reader.read(&mut [0; 64]);
                assert!(child.try_wait().unwrap().is_none(), "its end woke us");
                child.kill().unwrap();
                child.wait().unwrap();
                read
            })
        };
        wakes(Call::Poll, make, |read| assert_eq!(read.unwrap(), 0));
    }

    #[test]
    fn an_interruptible_pipe_reads_what_comes_and_its_end() {
        in_time(|| {
            let (source, mut writer) = UnixStream::pair().unwrap();
            let (reader, interrupt) = terminate::interruptible(OwnedFd::from(source)).unwrap();
            writer.write_all(b"one\ntwo\n").unwrap();
            drop(writer);
            let lines: Vec<_> = BufReader::new(reader).lines().map(Result::unwrap).collect();
            assert_eq!(lines, ["one", "two"]);
            drop(interrupt);
        });
    }

    #[test]
    fn an_interruptible_pipe_that_is_full_of_input_is_interrupted_all_the_same() {
        in_time(|| {
            let (source, mut writer) = UnixStream::pair().unwrap();
            let (mut reader, interrupt) = terminate::interruptible(OwnedFd::from(source)).unwrap();
            writer.write_all(&[1; 4096]).unwrap();
            assert_eq!(reader.read(&mut [0; 1]).unwrap(), 1);
            interrupt.terminate();
            assert_eq!(reader.read(&mut [0; 1]).unwrap(), 0);
            drop(writer);
        });
    }

    #[test]
    fn a_child_wakes_who_waits_for_it() {
        let make = || {
            let child = Command::new("sleep").arg("1000").spawn().unwrap();
            let (mut waiter, signal) = terminate::child(child);
            (signal, move || waiter.wait().unwrap())
        };
        wakes(
            Call::WaitForChild,
            make,
            |status: std::process::ExitStatus| {
                assert_eq!(status.signal(), Some(libc::SIGTERM));
            },
        );
    }

    #[test]
    fn a_child_that_was_waited_for_is_no_longer_signalled() {
        in_time(|| {
            let child = Command::new("true").spawn().unwrap();
            let (mut waiter, signal) = terminate::child(child);
            assert!(waiter.wait().unwrap().success());
            signal.terminate();
            assert!(waiter.wait().unwrap().success(), "asked twice, said twice");
        });
    }

    #[test]
    fn a_child_that_has_ended_before_the_signal_is_still_waited_for() {
        in_time(|| {
            let mut ended = Command::new("true");
            let mut child = ended.stdout(Stdio::piped()).spawn().unwrap();
            let mut output = child.stdout.take().unwrap();
            let id = libc::id_t::from(child.id());
            let (mut waiter, signal) = terminate::child(child);
            assert_eq!(output.read(&mut [0; 8]).unwrap(), 0);
            // SAFETY: waits for the child to end, and leaves it to be reaped; null: nothing is to be written.
            let waited = unsafe {
                let null = std::ptr::null_mut();
                libc::waitid(libc::P_PID, id, null, libc::WEXITED | libc::WNOWAIT)
            };
            assert_eq!(waited, 0);
            signal.terminate();
            assert!(waiter.wait().unwrap().success());
        });
    }

    #[test]
    fn a_child_wakes_who_reads_from_it() {
        let make = || {
            let mut sleep = Command::new("sleep");
            let mut child = sleep.arg("1000").stdout(Stdio::piped()).spawn().unwrap();
            let mut output = child.stdout.take().unwrap();
            (child, move || output.read(&mut [0; 64]))
        };
        wakes(Call::Read, make, |read| assert_eq!(read.unwrap(), 0));
    }

    // ---- standard input: in a process of its own, since ours may be closed, or a file

    /// What the child process of the two tests below does.
    #[test]
    #[ignore = "run in a process of its own by the tests of standard input"]
    fn child_that_reads_standard_input() {
        in_time(|| {
            let supervisor = Supervisor::new();
            let (stdin, interrupt) = terminate::stdin().unwrap();
            let (line, lines) = bounded(8);
            let (announce, places) = bounded(1);
            let worker = supervisor.worker().on_terminate(interrupt);
            let worker = worker
                .spawn(move || {
                    announce.send(Place::here()).unwrap();
                    for read in BufReader::new(stdin).lines() {
                        line.send(read.unwrap()).unwrap();
                    }
                })
                .unwrap();
            let place = places.recv_timeout(PATIENCE).unwrap();
            assert_eq!(lines.recv_timeout(PATIENCE).unwrap(), "hello");
            place.await_blocked(Call::Poll);
            worker.terminate();
            worker.join().unwrap();
            assert!(lines.recv().is_err(), "nothing more was said");
        });
    }

    fn reader_of_standard_input(stdin: Stdio) -> std::process::Child {
        Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact"])
            .arg("unix::child_that_reads_standard_input")
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// It comes to its end by itself, with the input still open.
    fn assert_passes(child: std::process::Child) {
        let id = child.id();
        let (done, ended) = bounded(1);
        std::thread::spawn(move || done.send(child.wait_with_output().unwrap()));
        let Ok(output) = ended.recv_timeout(2 * PATIENCE) else {
            support::process::signal_process(id.try_into().unwrap(), libc::SIGKILL);
            panic!("it hangs");
        };
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{said}");
        assert!(said.contains("1 passed"), "{said}");
    }

    #[test]
    fn standard_input_that_is_a_pipe_which_never_closes_is_interrupted() {
        let mut child = reader_of_standard_input(Stdio::piped());
        let mut pipe = child.stdin.take().unwrap();
        pipe.write_all(b"hello\n").unwrap();
        assert_passes(child);
        drop(pipe); // open until then
    }

    #[test]
    fn standard_input_that_is_a_terminal_is_interrupted() {
        use std::os::fd::FromRawFd;
        let (mut near, mut far) = (-1, -1);
        let null = std::ptr::null_mut();
        // SAFETY: two integers to write to; null means that no name and no settings are wanted.
        let opened = unsafe { libc::openpty(&mut near, &mut far, null, null as _, null as _) };
        assert_eq!(opened, 0, "{}", std::io::Error::last_os_error());
        // SAFETY: both have just been opened, and nobody else has them.
        let (near, far) = unsafe { (OwnedFd::from_raw_fd(near), OwnedFd::from_raw_fd(far)) };
        let mut keyboard = std::fs::File::from(near);
        let child = reader_of_standard_input(Stdio::from(far));
        keyboard.write_all(b"hello\n").unwrap();
        assert_passes(child);
        drop(keyboard); // on line until then
    }
}
