//! Times that do not fit into one another are said in a warning, with both figures.

#![cfg(unix)]

mod support;

use std::process::Command;

use support::process::{production, run};

/// What the scenario logs.
fn warnings(args: &[&str], outer: Option<&str>) -> Vec<String> {
    let mut command = Command::new(production());
    command
        .args(args)
        .env_remove("SUNDOWN_OUTER_GRACE")
        .env_remove("INVOCATION_ID");
    if let Some(outer) = outer {
        command.env("SUNDOWN_OUTER_GRACE", outer);
    }
    let ended = run(&mut command);
    ended.assert_code(0);
    let warnings = ended
        .out
        .into_iter()
        .filter(|line| line.starts_with("WARN"));
    warnings.collect()
}

#[track_caller]
fn assert_one(warnings: &[String], parts: &[&str]) {
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    for part in parts {
        assert!(warnings[0].contains(part), "{part:?}: {warnings:?}");
    }
}

#[test]
fn a_deadline_longer_than_the_outer_grace() {
    // With the extensions that the program allows: 500 ms.
    let said = warnings(&["a deadline", "10000"], Some("5"));
    assert_one(&said, &["10.50 s", "5.00 s", "SUNDOWN_OUTER_GRACE"]);
    let said = warnings(&["a deadline", "60000"], Some("1min"));
    assert_one(&said, &["60.50 s", "60.00 s"]);
}

#[test]
fn one_that_fits_is_no_matter() {
    for outer in [None, Some("10.5"), Some("1min 30s"), Some("infinity")] {
        assert_eq!(
            warnings(&["a deadline", "10000"], outer),
            [""; 0],
            "{outer:?}"
        );
    }
}

#[test]
fn what_is_no_time_is_said_too() {
    let said = warnings(&["a deadline", "10000"], Some("a while"));
    assert_one(&said, &["a while", "SUNDOWN_OUTER_GRACE", "seconds"]);
}

#[test]
fn graces_that_do_not_fit_into_the_deadline() {
    let said = warnings(&["graces one by one"], None);
    assert_one(&said, &["1.20 s", "1.00 s"]);
    let said = warnings(&["graces in tiers"], None);
    assert_one(&said, &["1.20 s", "1.00 s"]);
    let said = warnings(&["a grace that is too long"], None);
    assert_one(&said, &["3.00 s", "1.00 s"]);
    assert_eq!(warnings(&["graces side by side"], None), [""; 0]);
    assert_eq!(warnings(&["graces that just fit"], None), [""; 0]);
}
