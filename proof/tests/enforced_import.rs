//! `docs/clippy.toml` has clippy refuse what goes past sundown, and nothing else.
//!
//! Clippy runs on two small programs in a package of their own, which only differ in the import.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Six calls, each of another method that the file refuses; `THREAD` stands for the module and `EXIT` for the way out.
const PROGRAM: &str = r#"
use THREAD as thread;

fn main() {
    thread::spawn(|| ()).join().unwrap();
    thread::Builder::new().spawn(|| ()).unwrap().join().unwrap();
    thread::scope(|scope| {
        thread::Builder::new().spawn_scoped(scope, || ()).unwrap();
    });
    if std::env::args().count() > 9 {
        ABORT
    }
    EXIT(0)
}
"#;

#[test]
fn what_goes_past_sundown_is_refused() {
    let program = PROGRAM
        .replace("THREAD", "std::thread")
        .replace("ABORT", "std::process::abort()")
        .replace("EXIT", "std::process::exit");
    let output = clippy("refused", &program);
    assert!(!output.status.success());
    let said = String::from_utf8(output.stderr).unwrap();
    let refused = disallowed();
    assert_eq!(refused.len(), 6, "{refused:?}");
    for path in &refused {
        let line = format!("use of a disallowed method `{path}`");
        assert!(said.contains(&line), "{path}\n{said}");
    }
    assert_eq!(
        said.matches("use of a disallowed method").count(),
        6,
        "{said}"
    );
    // The reasons are printed: they say what to use.
    assert!(said.contains("use `sundown::thread::spawn`"), "{said}");
}

#[test]
fn the_same_program_on_sundown_is_accepted() {
    let program = PROGRAM
        .replace("THREAD", "sundown::thread")
        .replace("ABORT", "sundown::exit(1)")
        .replace("EXIT", "sundown::exit");
    let output = clippy("accepted", &program);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
}

/// The methods that the file names.
fn disallowed() -> Vec<String> {
    let text = fs::read_to_string(root().join("docs/clippy.toml")).unwrap();
    text.split("path = \"")
        .skip(1)
        .map(|rest| rest.split('"').next().unwrap().to_owned())
        .collect()
}

/// Clippy's verdict on a program that has our file as its clippy.toml.
fn clippy(name: &str, program: &str) -> Output {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(folder.join("src")).unwrap();
    fs::copy(root().join("docs/clippy.toml"), folder.join("clippy.toml")).unwrap();
    fs::write(folder.join("src/main.rs"), program).unwrap();
    let manifest = format!(
        "[package]\nname = \"{name}\"\nversion = \"0.0.0\"\nedition = \"2021\"\n\n[workspace]\n\n[dependencies]\nsundown.path = {:?}\n",
        root()
    );
    fs::write(folder.join("Cargo.toml"), manifest).unwrap();
    // What sundown depends on is there already: this package depends on it too.
    Command::new(env!("CARGO"))
        .args([
            "clippy",
            "--offline",
            "--",
            "-D",
            "clippy::disallowed_methods",
        ])
        .current_dir(&folder)
        .env("CARGO_TARGET_DIR", folder.with_file_name("target"))
        .env("CARGO_TERM_COLOR", "never")
        .output()
        .expect("cargo")
}

/// Where sundown is.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .canonicalize()
        .unwrap()
}
