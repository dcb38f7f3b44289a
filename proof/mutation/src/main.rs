//! Breaks the core on purpose, one place at a time, and demands that a test fails.
//!
//! The mutants are those of cargo-mutants. It compiles each by itself, which for a thousand of them takes a day; here all are compiled
//! at once, each behind a switch (`weave.rs`), and a mutant costs only the tests that come to its place (`trial.rs`).
//!
//! `run` says what it takes.

mod trial;
mod weave;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

/// One thing to break, as cargo-mutants lists it.
#[derive(Clone)]
pub struct Mutant {
    pub id: u32,
    pub name: String,
    pub file: String,
    pub genre: String,
    pub replacement: String,
    pub line: usize,
    pub column: usize,
}

fn main() -> Result<()> {
    let (tool, root, target) =
        match &std::env::args().collect::<Vec<_>>()[1..] {
            [tool, root, target, ..] => (tool.clone(), PathBuf::from(root), PathBuf::from(target)),
            _ => return Err(
                "the arguments are cargo-mutants, the project and a directory; `run` gives them"
                    .into(),
            ),
        };
    let wanted: Vec<String> = std::env::args().skip(4).collect();
    let mutants = list(&tool, &root)?;
    println!("{} mutants", mutants.len());
    let copy = target.join("woven");
    copy_project(&root, &copy)?;
    let unfit = weave_all(&root, &copy, &mutants)?;
    let mut unviable = 0;
    for (id, why) in &unfit {
        match why {
            Unfit::DoesNotCompile => unviable += 1,
            Unfit::NoSwitch => println!(
                "NO SWITCH  {} (for cargo-mutants itself)",
                mutants[*id as usize].name
            ),
        }
    }
    println!("{unviable} of them do not compile");
    let mut alive: Vec<&Mutant> = mutants
        .iter()
        .filter(|mutant| !unfit.contains_key(&mutant.id))
        .filter(|mutant| {
            wanted.is_empty()
                || wanted
                    .iter()
                    .any(|part| mutant.name.contains(part.as_str()))
        })
        .collect();
    // In no order, so that what was tried is a fair sample if this is broken off.
    alive.sort_by_key(|mutant| mutant.id.wrapping_mul(2_654_435_761));
    trial::try_all(&copy, &target, mutants.len(), &alive)
}

fn list(tool: &str, root: &Path) -> Result<Vec<Mutant>> {
    let mut command = Command::new(tool);
    command
        .args(["mutants", "--list", "--json"])
        .current_dir(root);
    for folder in ["stop", "supervisor", "exit"] {
        command.args(["--file", &format!("src/{folder}/**")]);
    }
    let output = command.stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(format!("cargo mutants: {}", output.status).into());
    }
    let listed: Vec<Value> = serde_json::from_slice(&output.stdout)?;
    let text = |of: &Value| of.as_str().unwrap_or_default().to_string();
    let number = |of: &Value| of.as_u64().unwrap_or(0) as usize;
    let mutant = |(id, of): (usize, &Value)| Mutant {
        id: id as u32,
        name: text(&of["name"]),
        file: text(&of["file"]),
        genre: text(&of["genre"]),
        replacement: text(&of["replacement"]),
        line: number(&of["span"]["start"]["line"]),
        column: number(&of["span"]["start"]["column"]),
    };
    Ok(listed.iter().enumerate().map(mutant).collect())
}

/// What git knows of, since a build directory is large.
fn copy_project(root: &Path, copy: &Path) -> Result<()> {
    let listed = Command::new("git")
        .args(["ls-files", "-z"])
        .current_dir(root)
        .output()?;
    for path in String::from_utf8(listed.stdout)?.split_terminator('\0') {
        let (from, to) = (root.join(path), copy.join(path));
        if !from.is_file() {
            continue; // deleted, and not yet for git
        }
        let mut content = fs::read(&from)?;
        if path == "Cargo.toml" {
            // The copy may stand inside of packages that take no part in it.
            content.extend_from_slice(b"\n[workspace]\n");
        }
        if content != fs::read(&to).unwrap_or_default() {
            fs::create_dir_all(to.parent().ok_or("a file has no directory")?)?;
            fs::write(&to, content)?;
            fs::set_permissions(to, fs::metadata(from)?.permissions())?;
        }
    }
    Ok(())
}

enum Unfit {
    DoesNotCompile,
    /// It may well compile, but not as a branch, such as in a constant.
    NoSwitch,
}

/// Weaves, and leaves out what does not compile until the rest does.
fn weave_all(root: &Path, copy: &Path, mutants: &[Mutant]) -> Result<BTreeMap<u32, Unfit>> {
    // A function that returns some `impl Iterator` has one type to return.
    let iterators = mutants
        .iter()
        .filter(|mutant| mutant.replacement.starts_with("::std::iter::"));
    let mut unfit: BTreeMap<u32, Unfit> = iterators
        .map(|mutant| (mutant.id, Unfit::NoSwitch))
        .collect();
    fs::write(copy.join("src/mutant.rs"), weave::SWITCH)?;
    let library = fs::read_to_string(root.join("src/lib.rs"))?;
    fs::write(copy.join("src/lib.rs"), library + "\nmod mutant;\n")?;
    // What some mutants do, and the models' clock never has to.
    let clock = "src/sync/model/mod.rs";
    let subtracts = "\nimpl std::ops::Sub<Duration> for Instant { type Output = Instant; \
        fn sub(self, by: Duration) -> Instant { Instant(self.0 - by) } }\n";
    fs::write(
        copy.join(clock),
        fs::read_to_string(root.join(clock))? + subtracts,
    )?;
    loop {
        let mut files: BTreeMap<&str, Vec<&Mutant>> = BTreeMap::new();
        for mutant in mutants {
            let of_file = files.entry(&mutant.file).or_default();
            if !unfit.contains_key(&mutant.id) {
                of_file.push(mutant);
            }
        }
        for (file, mutants) in files {
            let woven = weave::weave(&fs::read_to_string(root.join(file))?, &mutants)?;
            fs::write(copy.join(file), woven)?;
        }
        let before = unfit.len();
        let output = cargo(copy)
            .args(["check", "--lib", "--all-features", "--message-format=json"])
            .stderr(Stdio::null())
            .output()?;
        for line in String::from_utf8(output.stdout)?.lines() {
            let message = &serde_json::from_str::<Value>(line)?["message"];
            if message["level"] == "error" {
                blame(copy, message, &mut unfit)?;
            }
        }
        match (output.status.success(), unfit.len() - before) {
            (true, _) => return Ok(unfit),
            (false, 0) => return Err("the copy does not compile, and no mutant is to blame".into()),
            (false, more) => println!("{more} left out"),
        }
    }
}

fn blame(copy: &Path, message: &Value, unfit: &mut BTreeMap<u32, Unfit>) -> Result<()> {
    let code = message["code"]["code"].as_str().unwrap_or_default();
    let spans = message["spans"].as_array().into_iter().flatten();
    let (primary, others): (Vec<&Value>, Vec<&Value>) =
        spans.partition(|span| span["is_primary"] == true);
    for span in primary.into_iter().chain(others) {
        let file = span["file_name"].as_str().unwrap_or_default();
        if !file.starts_with("src/") {
            continue;
        }
        let woven = fs::read_to_string(copy.join(file))?;
        let byte = span["byte_start"].as_u64().unwrap_or(0) as usize;
        // An arm with a guard does not count, so a match may lack one now: the next that can be switched off.
        let ids = match code {
            "E0004" => weave::next_arm(&woven, byte).map(|id| vec![id]),
            _ => weave::blamed(&woven, byte),
        };
        let Some(ids) = ids else { continue };
        for id in &ids {
            // A call where only constants may stand says nothing about the mutant, nor does an arm in vain.
            let why = match ids.len() == 1 && !["E0004", "E0015"].contains(&code) {
                true => Unfit::DoesNotCompile,
                false => Unfit::NoSwitch,
            };
            unfit.insert(*id, why);
        }
        return Ok(());
    }
    if message["spans"]
        .as_array()
        .is_some_and(|spans| !spans.is_empty())
    {
        println!("{}", message["rendered"].as_str().unwrap_or_default());
    }
    Ok(())
}

/// Cargo on the copy: without debug information a test links in a fraction of the time, and nothing here needs it.
pub fn cargo(copy: &Path) -> Command {
    let mut command = Command::new("cargo");
    command
        .current_dir(copy)
        .env("RUSTFLAGS", "--cap-lints=allow")
        .env("CARGO_TARGET_DIR", copy.with_file_name("build"))
        .env("CARGO_PROFILE_DEV_DEBUG", "0")
        .env("CARGO_PROFILE_TEST_DEBUG", "0");
    command
}
