//! The accepted public surface stands in `surface.txt`; any change of it fails here until it is accepted.
//!
//! rustdoc describes the crate as JSON, `public-api` makes a list of it, and the list is compared line by line. The automatic traits
//! (`Send`, `Sync`, `Unpin`, `UnwindSafe`, `RefUnwindSafe`) of each type are lines too. To accept a change, look at it, then run
//! `UPDATE_SNAPSHOTS=yes cargo test --test surface` here and commit the list with the change.
//!
//! The list is that of Linux, which has everything.
#![cfg(target_os = "linux")]

use std::path::{Path, PathBuf};
use std::process::Command;

/// The description of the crate, by the toolchain that runs this test. rustdoc writes JSON on a stable toolchain too if it is told that
/// it may.
fn described() -> PathBuf {
    let library = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    // Beside this test's own folder: a build directory of its own, so that nothing here waits for the one that runs it.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("surface");
    let output = Command::new(env!("CARGO"))
        .args([
            "rustdoc",
            "--lib",
            "--all-features",
            "--quiet",
            "--target-dir",
        ])
        .arg(&target)
        .args(["--", "-Zunstable-options", "--output-format", "json"])
        .args(["--cap-lints", "allow"])
        .env("RUSTC_BOOTSTRAP", "1")
        .env_remove("RUSTDOCFLAGS")
        .current_dir(library)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo rustdoc: {said}");
    target.join("doc/sundown.json")
}

#[test]
fn the_public_surface_is_the_accepted_one() {
    let json = described();
    let surface = public_api::Builder::from_rustdoc_json(&json)
        .omit_blanket_impls(true)
        .build()
        .unwrap_or_else(|error| {
            panic!(
                "{error}\nrustdoc and the crate `public-api` must agree on a format: run this with Rust 1.95, or change the version \
                 of `public-api` in proof/Cargo.toml to the one that reads what this toolchain's rustdoc writes"
            )
        });
    surface.assert_eq_or_update(concat!(env!("CARGO_MANIFEST_DIR"), "/surface.txt"));
}
