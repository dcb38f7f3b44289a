//! A pool: hashes the files of a folder, with a progress bar. Stop it with Ctrl-C at any moment: what has been hashed is right.
//!
//! Run it with `cargo run --example pool --features progress -- FOLDER` (default: the current one).

use std::collections::hash_map::DefaultHasher;
use std::fs::{self, File};
use std::hash::Hasher;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use indicatif::{ProgressBar, ProgressStyle};
use sundown::{Cause, Pool, StopToken, TaskError};

fn main() -> ExitCode {
    let guard = match sundown::init() {
        Ok(guard) => guard,
        Err(error) => {
            eprintln!("pool: {error}");
            return ExitCode::FAILURE;
        }
    };
    let folder = std::env::args_os()
        .nth(1)
        .map_or_else(|| ".".into(), PathBuf::from);
    if let Err(error) = hash_all(&folder) {
        eprintln!("pool: {}: {error}", folder.display());
        sundown::request_shutdown(Cause::Exit(1));
    }
    guard.finish()
}

fn hash_all(folder: &Path) -> io::Result<()> {
    // `main` asks it, so a shutdown waits until `main` has printed its result.
    let stop = sundown::stop_token();
    let files = files_below(folder, &stop)?;
    let pool = Pool::builder().name("hash").build()?;
    let bar = ProgressBar::new(files.len() as u64).with_style(style());
    let hand_in = |path: &PathBuf| {
        let (path, bar) = (path.clone(), bar.clone());
        pool.submit_with(move |stop| {
            let hash = hash(&path, &stop);
            bar.inc(1);
            hash
        })
    };
    // More files than the queue holds: then this waits for room, and the workers are busy meanwhile.
    let tasks: Vec<_> = files.iter().map(hand_in).collect();
    let (mut hashed, mut failed, mut left) = (0_u64, 0_u64, 0_u64);
    let mut combined = 0;
    for (path, task) in files.iter().zip(&tasks) {
        match task.wait() {
            Ok(Ok(hash)) => {
                hashed += 1;
                combined ^= hash;
            }
            // A job that was told to stop in the middle of its file has no right result, so it gives none.
            Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => left += 1,
            Err(TaskError::Cancelled(_)) => left += 1,
            Ok(Err(error)) => {
                failed += 1;
                bar.suspend(|| eprintln!("{}: {error}", path.display()));
            }
            Err(error) => {
                failed += 1;
                bar.suspend(|| eprintln!("{}: {error}", path.display()));
            }
        }
    }
    bar.finish_and_clear();
    println!(
        "{hashed} of {} files hashed ({failed} failed, {left} left): {combined:016x}",
        files.len()
    );
    Ok(())
}

/// The hash of a file's path and content. Looks at the token between blocks, so that a large file holds nobody up.
fn hash(path: &Path, stop: &StopToken) -> io::Result<u64> {
    let mut file = File::open(path)?;
    let mut hasher = DefaultHasher::new();
    hasher.write(path.to_string_lossy().as_bytes());
    let mut block = vec![0; 64 * 1024];
    loop {
        stop.check()?;
        match file.read(&mut block)? {
            0 => return Ok(hasher.finish()),
            read => hasher.write(&block[..read]),
        }
    }
}

/// All files below a folder; links are not followed. Told to stop, it gives those that it has found.
fn files_below(folder: &Path, stop: &StopToken) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            match entry.file_type()? {
                kind if kind.is_dir() => folders.push(entry.path()),
                kind if kind.is_file() => files.push(entry.path()),
                _ => {}
            }
        }
        if stop.is_stopped() {
            break;
        }
    }
    files.sort();
    Ok(files)
}

fn style() -> ProgressStyle {
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} files, {per_sec}, {eta} left");
    style.unwrap_or_else(|_| ProgressStyle::default_bar())
}
