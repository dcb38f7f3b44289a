//! What is printed of the public types, by `Display` and by `Debug`, says what it is, and errors name their cause.

use std::error::Error;
use std::io;

use sundown::{Cause, EntryKind, InstallError, StopReason, StopSource, Stopped, Supervisor};

#[test]
fn a_token_says_whether_it_is_stopped() {
    let source = StopSource::new();
    let token = source.token();
    let callback = token.on_stop(|| ());
    assert_eq!(format!("{source:?}"), "StopSource { stopped: false, .. }");
    assert_eq!(format!("{token:?}"), "StopToken { stopped: false, .. }");
    assert_eq!(format!("{callback:?}"), "StopCallback { .. }");
    source.stop();
    assert_eq!(format!("{source:?}"), "StopSource { stopped: true, .. }");
    assert_eq!(format!("{token:?}"), "StopToken { stopped: true, .. }");
}

#[test]
fn stopped_is_an_error_with_words() {
    assert_eq!(Stopped.to_string(), "told to stop");
    let error = io::Error::from(Stopped);
    assert_eq!(error.kind(), io::ErrorKind::Interrupted);
    assert_eq!(error.to_string(), "told to stop");
}

#[test]
fn a_supervisor_says_its_name_and_whether_it_is_shutting_down() {
    let supervisor = Supervisor::builder().name("tier").build();
    let shown =
        |stopping| format!("Supervisor {{ name: Some(\"tier\"), shutting_down: {stopping}, .. }}");
    assert_eq!(format!("{supervisor:?}"), shown(false));
    let hook = supervisor.on_shutdown("flush", || ());
    let shown_hook = format!("{hook:?}");
    assert!(
        shown_hook.starts_with("Hook { id: WorkerId("),
        "{shown_hook}"
    );
    assert!(
        shown_hook.ends_with("name: \"flush\", .. }"),
        "{shown_hook}"
    );
    supervisor.shutdown();
    assert_eq!(format!("{supervisor:?}"), shown(true));
}

#[test]
fn a_guard_says_which_signals_it_has() {
    let guard = sundown::init().unwrap();
    let shown = format!("{guard:?}");
    assert!(
        shown.starts_with("Guard { parts: Some(Parts { signals: Some("),
        "{shown}"
    );
    drop(guard);
}

#[test]
fn why_an_installation_failed_is_said_and_who_said_so() {
    let refused = || io::Error::from(io::ErrorKind::PermissionDenied);
    let thread = InstallError::Thread(refused());
    assert!(
        thread
            .to_string()
            .contains("cannot start the coordinator thread"),
        "{thread}"
    );
    for error in [thread, InstallError::Signals(refused())] {
        let source = error.source().expect("the system's error");
        assert_eq!(source.to_string(), refused().to_string());
        assert!(
            error.to_string().contains(&refused().to_string()),
            "{error}"
        );
    }
    let ctrlc = InstallError::Ctrlc(ctrlc::Error::MultipleHandlers);
    assert!(ctrlc
        .source()
        .is_some_and(|source| source.is::<ctrlc::Error>()));
    for error in [
        InstallError::AlreadyInstalled,
        InstallError::ShuttingDown,
        InstallError::HandlerExists(15),
    ] {
        assert!(error.source().is_none(), "{error}");
    }
}

#[test]
fn why_an_installation_failed_says_what_to_do() {
    for (error, words) in [
        (InstallError::AlreadyInstalled, "keep one guard, in main"),
        (
            InstallError::ShuttingDown,
            "install again when that is through",
        ),
        (
            InstallError::HandlerExists(15),
            "the program has a handler for SIGTERM already",
        ),
        (InstallError::HandlerExists(2), "request_shutdown"),
        (
            InstallError::NoHandlerFor(9),
            "signal 9 can have no handler",
        ),
        (InstallError::SignalsOff(10), "leave one of them out"),
        (InstallError::Forked, "fork before installing"),
        (
            InstallError::Ctrlc(ctrlc::Error::MultipleHandlers),
            "with ctrlc already",
        ),
        (
            InstallError::Ctrlc(ctrlc::Error::NoSuchSignal(ctrlc::SignalType::Ctrlc)),
            "ctrlc cannot",
        ),
    ] {
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[test]
fn what_an_entry_is_has_a_name() {
    for (kind, name) in [
        (EntryKind::Worker, "worker"),
        (EntryKind::OnShutdown, "on_shutdown hook"),
        (EntryKind::OnExit, "on_exit hook"),
        (EntryKind::Supervisor, "supervisor"),
    ] {
        assert_eq!(kind.to_string(), name);
    }
}

#[test]
fn a_reason_to_stop_has_words() {
    for (reason, words) in [
        (StopReason::Source, "its own source"),
        (StopReason::TimeLimit, "its time limit"),
        (StopReason::Restart, "the restart of a sibling"),
        (StopReason::Terminated, "terminate"),
        (StopReason::Shutdown(Cause::Requested), "shutdown"),
        (
            StopReason::Parent(Box::new(StopReason::Source)),
            "its parent's stop, by its own source",
        ),
    ] {
        assert!(reason.to_string().contains(words), "{reason}");
    }
    assert!(!StopSource::default().is_stopped());
    assert!(!Supervisor::default().is_shutting_down());
}
