//! What a dependency costs: time to build, crates in the tree, and bytes in a program that does little more than use it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::measure::{time, Spread};
use crate::table::Table;

/// A program that uses a library as its README's first example does, or nothing.
struct Program {
    name: &'static str,
    dependencies: &'static str,
    main: &'static str,
}

const PROGRAMS: [Program; 5] = [
    Program { name: "nothing", dependencies: "", main: "fn main() { println!(\"hello\"); }" },
    Program {
        name: "sundown",
        dependencies: "sundown = { path = \"SUNDOWN\" }",
        main: "fn main() { let _guard = sundown::init(); sundown::thread::spawn(|| println!(\"hello\")); sundown::wait_for_shutdown(); }",
    },
    Program {
        name: "`ctrlc`",
        dependencies: "ctrlc = { version = \"3.5\", features = [\"termination\"] }",
        main: "fn main() { ctrlc::set_handler(|| std::process::exit(1)).unwrap(); std::thread::spawn(|| println!(\"hello\")).join().unwrap(); }",
    },
    Program {
        name: "`signal-mod`",
        dependencies: "signal-mod = { version = \"2\", default-features = false, features = [\"std\", \"agnostic\"] }",
        main: "fn main() { let c = signal_mod::Coordinator::builder().build(); c.install().unwrap(); std::thread::spawn(|| println!(\"hello\")); c.token().wait_blocking(); c.run_hooks(signal_mod::ShutdownReason::Requested); }",
    },
    Program {
        name: "`tokio-graceful-shutdown`",
        dependencies: "tokio-graceful-shutdown = \"0.20\"\ntokio = { version = \"1\", features = [\"rt-multi-thread\", \"macros\"] }",
        main: "use tokio_graceful_shutdown::{SubsystemHandle, Toplevel};\n#[tokio::main]\nasync fn main() { Toplevel::<Box<dyn std::error::Error + Send + Sync>>::new(async |s: &mut SubsystemHandle<_>| { println!(\"hello\"); s.on_shutdown_requested().await; }).catch_signals().handle_shutdown_requests(std::time::Duration::from_secs(8)).await.unwrap(); }",
    },
];

pub fn of_a_program(table: &mut Table) {
    let root = std::env::temp_dir().join(format!("sundown-size-{}", std::process::id()));
    let places: Vec<PathBuf> = PROGRAMS
        .iter()
        .map(|program| make(&root, program))
        .collect();
    let mut taken: Vec<Vec<f64>> = vec![Vec::new(); places.len()];
    for _ in 0..3 {
        for (place, taken) in places.iter().zip(&mut taken) {
            taken.push(build(place).as_secs_f64());
        }
    }
    let bytes: Vec<u64> = places.iter().map(|place| size(place)).collect();
    let crates: Vec<usize> = places.iter().map(|place| crates(place)).collect();
    let (ours, peers) = (1, 2..PROGRAMS.len());
    for peer in peers.clone() {
        let ratio = taken[ours].iter().zip(&taken[peer]).map(|(a, b)| a / b);
        table.ratio(
            "clean release build",
            PROGRAMS[peer].name,
            "",
            Spread::of(ratio.collect()),
        );
    }
    for peer in peers.clone() {
        let figure = format!("{} : {}", crates[ours] - 1, crates[peer] - 1);
        table.figure(
            "crates in the tree, ours : theirs",
            PROGRAMS[peer].name,
            "",
            figure,
        );
    }
    for peer in peers {
        let added = |which: usize| format!("{:.0} KiB", (bytes[which] - bytes[0]) as f64 / 1024.0);
        let figure = format!("{} : {}", added(ours), added(peer));
        table.figure(
            "added to a stripped hello-world, ours : theirs",
            PROGRAMS[peer].name,
            "",
            figure,
        );
    }
    fs::remove_dir_all(&root).expect("our own folder");
}

fn make(root: &Path, program: &Program) -> PathBuf {
    let sundown = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .canonicalize()
        .expect("the library");
    let place = root.join(program.name.replace('`', ""));
    fs::create_dir_all(place.join("src")).expect("room in the temporary folder");
    let manifest = format!(
        "[package]\nname = \"program\"\nversion = \"0.0.0\"\nedition = \"2021\"\n[workspace]\n[dependencies]\n{}\n[profile.release]\nstrip = true\n",
        program.dependencies.replace("SUNDOWN", &sundown.display().to_string())
    );
    fs::write(place.join("Cargo.toml"), manifest).expect("room");
    fs::write(place.join("src/main.rs"), program.main).expect("room");
    // Everything is fetched before the clock runs.
    run(Command::new("cargo").arg("fetch").current_dir(&place));
    place
}

fn build(place: &Path) -> Duration {
    run(Command::new("cargo")
        .arg("clean")
        .current_dir(place)
        .env_remove("CARGO_TARGET_DIR"));
    time(|| {
        run(Command::new("cargo")
            .args(["build", "--release", "--offline"])
            .current_dir(place)
            .env_remove("CARGO_TARGET_DIR"))
    })
}

fn size(place: &Path) -> u64 {
    fs::metadata(place.join("target/release/program"))
        .expect("it was built")
        .len()
}

/// How many packages the program is built from on this system, itself included.
fn crates(place: &Path) -> usize {
    let output = Command::new("cargo")
        .args([
            "tree",
            "--offline",
            "--prefix",
            "none",
            "--no-dedupe",
            "-e",
            "normal,build",
        ])
        .current_dir(place)
        .output()
        .expect("cargo");
    let text = String::from_utf8(output.stdout).expect("names");
    text.lines()
        .map(|line| line.trim_end_matches(" (*)"))
        .filter(|line| !line.is_empty())
        .collect::<std::collections::BTreeSet<_>>()
        .len()
}

fn run(command: &mut Command) {
    let output = command.output().expect("cargo");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
