//! The picture of the shutdown, as a file.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

/// A picture that is wanted. Drawn by [`draw`](Picture::draw), or when it is dropped by a panic.
pub(crate) struct Picture {
    path: PathBuf,
}

impl Picture {
    /// Sees whether the file can be written, and leaves everything as it was. It must not be the log.
    pub(crate) fn at(path: &Path, log: &Path) -> Result<Picture, String> {
        let refused = |why: &dyn std::fmt::Display| {
            Err(format!(
                "cannot write the timeline {}: {why}",
                path.display()
            ))
        };
        let is_log = match (fs::canonicalize(path), fs::canonicalize(log)) {
            (Ok(path), Ok(log)) => path == log,
            _ => path == log,
        };
        if is_log {
            return refused(&"it is the access log");
        }
        match fs::metadata(path) {
            // Opening a pipe would wait for whoever reads it.
            Ok(found) if !found.is_file() => return refused(&"it is not a regular file"),
            Ok(_) => match OpenOptions::new().append(true).open(path) {
                Ok(_) => {}
                Err(error) => return refused(&error),
            },
            Err(error) if error.kind() == ErrorKind::NotFound => {
                // Not through a link that leads nowhere, which is what would be removed.
                let new = OpenOptions::new().write(true).create_new(true).open(path);
                if let Err(error) = new.and_then(|_| fs::remove_file(path)) {
                    return refused(&error);
                }
            }
            Err(error) => return refused(&error),
        }
        Ok(Picture {
            path: path.to_owned(),
        })
    }

    /// Draws the shutdown, which is over or is carried out now.
    pub(crate) fn draw(&self) -> Result<(), String> {
        let svg = sundown::shutdown().to_svg();
        let drawn = File::create(&self.path).and_then(|mut file| file.write_all(svg.as_bytes()));
        drawn.map_err(|error| format!("cannot write the timeline {}: {error}", self.path.display()))
    }
}

impl Drop for Picture {
    fn drop(&mut self) {
        if std::thread::panicking() {
            if let Err(message) = self.draw() {
                super::refuse(message);
            }
        }
    }
}
