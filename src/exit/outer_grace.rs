//! How long whoever started the process waits between its request to stop and SIGKILL, and whether our deadline fits into that.
//!
//! Nobody tells a process. So it looks at `SUNDOWN_OUTER_GRACE`, which the unit or the pod sets beside the true figure; without that, in
//! a service of systemd, at the `TimeoutStopSec=` of the unit's files.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use log::Level;

use crate::base::logging;
use crate::base::text::{Printable, Short};

const VARIABLE: &str = "SUNDOWN_OUTER_GRACE";

/// Warns if a shutdown may take longer than what there is. `extensions` come on top, unless systemd is told of them.
pub(super) fn check(deadline: Duration, extensions: Duration) {
    if !logging::listens(Level::Warn) {
        return;
    }
    let with_extensions = deadline.saturating_add(extensions);
    let (allowed, needed, where_from) = match std::env::var(VARIABLE) {
        Ok(text) => match parse_span(&text) {
            Some(allowed) => (allowed, with_extensions, VARIABLE),
            None => {
                logging::log(
                    Level::Warn,
                    format_args!(
                        "{VARIABLE} is {:?}, which is no time: write seconds (30), or a span (1min 30s)",
                        Printable(&text).to_string()
                    ),
                );
                return;
            }
        },
        Err(_) => match stop_timeout_of_unit() {
            Some(allowed) => (allowed, deadline, "TimeoutStopSec= of the unit"),
            None => return,
        },
    };
    if needed > allowed {
        logging::log(
            Level::Warn,
            format_args!(
                "a shutdown may take {}, but {where_from} allows {}: it is killed before it is through; shorten the deadline or \
                 allow more",
                Short(needed),
                Short(allowed)
            ),
        );
    }
}

/// `TimeoutStopSec=` of the service that this process is, if its files say it.
fn stop_timeout_of_unit() -> Option<Duration> {
    // Set in every process that systemd starts for a unit.
    std::env::var_os("INVOCATION_ID")?;
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let (unit, of_a_user) = service_in(&groups)?;
    let home = std::env::var_os("HOME").map(PathBuf::from);
    stop_timeout(unit, &unit_folders(of_a_user, home))
}

/// Where unit files are, those first that others go before.
fn unit_folders(of_a_user: bool, home: Option<PathBuf>) -> Vec<PathBuf> {
    if of_a_user {
        let own = home.map(|home| home.join(".config/systemd/user"));
        let shared = ["/usr/lib/systemd/user", "/etc/systemd/user"];
        return shared.into_iter().map(PathBuf::from).chain(own).collect();
    }
    let system = [
        "/usr/lib/systemd/system",
        "/usr/local/lib/systemd/system",
        "/run/systemd/transient",
        "/run/systemd/system",
        "/etc/systemd/system",
    ];
    system.into_iter().map(PathBuf::from).collect()
}

/// The service that a process with these control groups is, and whether it is one of a user's manager.
fn service_in(groups: &str) -> Option<(&str, bool)> {
    let group = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    // A terminal's shell runs in a scope below some service, which is not its own.
    let unit = group.rsplit('/').next()?;
    unit.ends_with(".service")
        .then(|| (unit, group.contains("/user@")))
}

/// The same from the unit files in these folders, of which a later one goes before an earlier one, as systemd.unit(5) has it. Not read is
/// what is dropped in for several units at once (`service.d`, `name-.service.d`).
fn stop_timeout(unit: &str, folders: &[PathBuf]) -> Option<Duration> {
    // worker@7.service is made from worker@.service.
    let template = unit
        .split_once('@')
        .map(|(name, _)| format!("{name}@.service"));
    let names = [Some(unit), template.as_deref()].into_iter().flatten();
    // What is dropped in beside the unit's file comes after it, by file name, and the last word counts. Of several files of one name only
    // the first is read, whatever it says: first by folder, then the unit's own before its template's.
    let mut dropped_in: Vec<(OsString, Option<Duration>)> = Vec::new();
    for folder in folders.iter().rev() {
        let beside = |name: &str| files_in(folder.join(format!("{name}.d")));
        for file in names.clone().flat_map(beside) {
            let Some(name) = file.file_name() else {
                continue;
            };
            if !dropped_in.iter().any(|(known, _)| known == name) {
                let text = fs::read_to_string(&file).ok();
                dropped_in.push((name.to_owned(), text.and_then(|text| assigned(&text))));
            }
        }
    }
    let said = dropped_in
        .into_iter()
        .filter_map(|(name, says)| Some((name, says?)));
    if let Some((_, last)) = said.max() {
        return Some(last);
    }
    // Of the unit itself any file goes before its template's.
    let in_folders = |name: &str| {
        folders
            .iter()
            .rev()
            .map(|folder| folder.join(name))
            .collect::<Vec<_>>()
    };
    let mut own = names.flat_map(in_folders);
    assigned(&own.find_map(|file| fs::read_to_string(file).ok())?)
}

fn files_in(folder: PathBuf) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let files = entries.map(|entry| entry.path());
    let is_conf = |file: &PathBuf| file.extension() == Some(Path::new("conf").as_os_str());
    files.filter(is_conf).collect()
}

/// The last timeout that a unit file sets. Zero is none.
fn assigned(text: &str) -> Option<Duration> {
    let values = text.lines().filter_map(|line| {
        let (key, value) = line.split_once('=')?;
        matches!(key.trim(), "TimeoutStopSec" | "TimeoutSec").then_some(value)
    });
    let last = values.filter_map(parse_span).next_back()?;
    Some(if last.is_zero() { Duration::MAX } else { last })
}

/// A span of time as systemd writes it: seconds, or numbers with units, or `infinity`.
fn parse_span(text: &str) -> Option<Duration> {
    let text = text.trim();
    if text == "infinity" {
        return Some(Duration::MAX);
    }
    if text.is_empty() {
        return None;
    }
    let mut rest = text;
    let mut nanos: u64 = 0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !(c.is_ascii_digit() || c == '.'));
        let (number, after) = rest.split_at(end.unwrap_or(rest.len()));
        let after = after.trim_start();
        let end = after.find(|c: char| c.is_ascii_digit() || c == '.' || c.is_whitespace());
        let (unit, after) = after.split_at(end.unwrap_or(after.len()));
        let one = match unit {
            "" | "s" | "sec" | "second" | "seconds" => 1_000_000_000,
            "ms" | "msec" => 1_000_000,
            "us" | "usec" | "µs" => 1_000,
            "m" | "min" | "minute" | "minutes" => 60_000_000_000,
            "h" | "hr" | "hour" | "hours" => 3_600_000_000_000,
            "d" | "day" | "days" => 86_400_000_000_000,
            _ => return None,
        };
        nanos = nanos.checked_add(times(number, one)?)?;
        rest = after.trim_start();
    }
    Some(Duration::from_nanos(nanos))
}

/// So many times `one`; a number without sign or exponent.
fn times(number: &str, mut one: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let mut times = match whole {
        "" => 0,
        whole => whole.parse::<u64>().ok()?.checked_mul(one)?,
    };
    for digit in fraction.chars() {
        one /= 10;
        times = times.checked_add(u64::from(digit.to_digit(10)?) * one)?;
    }
    Some(times)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_as_systemd_writes_them() {
        let seconds = |text| parse_span(text).map(|span| span.as_secs_f64());
        assert_eq!(seconds("30"), Some(30.0));
        assert_eq!(seconds(" 1min 30s "), Some(90.0));
        assert_eq!(seconds("1min30"), Some(90.0));
        assert_eq!(seconds("2.5 sec"), Some(2.5));
        assert_eq!(seconds("500ms"), Some(0.5));
        assert_eq!(seconds("250 msec"), Some(0.25));
        for micro in ["2us", "2usec", "2µs"] {
            assert_eq!(seconds(micro), Some(0.000_002), "{micro}");
        }
        for minute in ["3m", "3min", "3 minute", "3 minutes"] {
            assert_eq!(seconds(minute), Some(180.0), "{minute}");
        }
        for hour in ["2h", "2hr", "2 hour", "2 hours"] {
            assert_eq!(seconds(hour), Some(7200.0), "{hour}");
        }
        for day in ["1d", "1day", "1 days"] {
            assert_eq!(seconds(day), Some(86_400.0), "{day}");
        }
        assert_eq!(seconds(".5s 5. 0.25min"), Some(20.5));
        assert_eq!(parse_span("infinity"), Some(Duration::MAX));
        for bad in [
            "",
            "soon",
            "10 parsecs",
            "-5",
            "1..5",
            ".",
            "1.2.3",
            "s",
            "1e400s",
            "99999999999999999999999d",
        ] {
            assert_eq!(parse_span(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_service_is_known_by_its_control_group() {
        let service = |groups| service_in(groups);
        assert_eq!(service(""), None);
        assert_eq!(service("0::/"), None);
        assert_eq!(service("1:name=systemd:/system.slice/a.service"), None);
        let system = "1:cpu:/\n0::/system.slice/a.service\n";
        assert_eq!(service(system), Some(("a.service", false)));
        let user = "0::/user.slice/user-7.slice/user@7.service/app.slice/b@1.service";
        assert_eq!(service(user), Some(("b@1.service", true)));
        let shell = "0::/user.slice/user-7.slice/user@7.service/app.slice/shell.scope";
        assert_eq!(service(shell), None);
    }

    #[test]
    fn units_of_a_user_are_elsewhere() {
        let home = || Some(PathBuf::from("/home/a"));
        let last = |of_a_user, home| unit_folders(of_a_user, home).pop();
        assert_eq!(last(false, home()), Some("/etc/systemd/system".into()));
        assert_eq!(last(true, None), Some("/etc/systemd/user".into()));
        assert_eq!(
            last(true, home()),
            Some("/home/a/.config/systemd/user".into())
        );
    }

    #[test]
    fn the_unit_s_files_are_read_in_systemd_s_order() {
        let root = std::env::temp_dir().join(format!("sundown-units-{}", std::process::id()));
        let write = |name: &str, text: &str| {
            let file = root.join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        };
        let folders = [root.join("usr"), root.join("etc")];
        let found = |unit| stop_timeout(unit, &folders);
        assert_eq!(found("a.service"), None);
        write("usr/a.service", "[Service]\nTimeoutStopSec=10\n");
        assert_eq!(found("a.service"), Some(Duration::from_secs(10)));
        // What the administrator writes replaces what the package has brought.
        write(
            "etc/a.service",
            "[Service]\n# TimeoutStopSec=1\nTimeoutSec = 1min 5s\n",
        );
        assert_eq!(found("a.service"), Some(Duration::from_secs(65)));
        // Dropped in, wherever: by file name.
        write("usr/a.service.d/20.conf", "[Service]\nTimeoutStopSec=20\n");
        write("etc/a.service.d/10.conf", "[Service]\nTimeoutStopSec=30\n");
        write("etc/a.service.d/30.txt", "[Service]\nTimeoutStopSec=40\n");
        assert_eq!(found("a.service"), Some(Duration::from_secs(20)));
        // Of one name the administrator's, also if it says nothing of the kind.
        write("etc/a.service.d/20.conf", "[Service]\nTimeoutStopSec=50\n");
        assert_eq!(found("a.service"), Some(Duration::from_secs(50)));
        write("etc/a.service.d/20.conf", "[Service]\nRestart=no\n");
        assert_eq!(found("a.service"), Some(Duration::from_secs(30)));
        // However the system lists them.
        for name in 11..20 {
            let text = format!("[Service]\nTimeoutStopSec={}\n", 100 + name);
            write(&format!("etc/c.service.d/{name}.conf"), &text);
        }
        write("etc/c.service.d/99.conf", "[Service]\nRestart=no\n");
        assert_eq!(found("c.service"), Some(Duration::from_secs(119)));
        write("usr/b@.service", "[Service]\nTimeoutStopSec=7\n");
        assert_eq!(found("b@one.service"), Some(Duration::from_secs(7)));
        write(
            "etc/b@one.service.d/x.conf",
            "[Service]\nTimeoutStopSec=8\n",
        );
        assert_eq!(found("b@one.service"), Some(Duration::from_secs(8)));
        assert_eq!(found("b@two.service"), Some(Duration::from_secs(7)));
        // The administrator's goes before the package's, also if that is the unit's own.
        write(
            "usr/b@one.service.d/z.conf",
            "[Service]\nTimeoutStopSec=2\n",
        );
        write("etc/b@.service.d/z.conf", "[Service]\nTimeoutStopSec=3\n");
        assert_eq!(found("b@one.service"), Some(Duration::from_secs(3)));
        fs::remove_file(root.join("usr/b@one.service.d/z.conf")).unwrap();
        fs::remove_file(root.join("etc/b@.service.d/z.conf")).unwrap();
        // Beside the template: by name as well, and that of the unit itself replaces it.
        write("etc/b@.service.d/y.conf", "[Service]\nTimeoutStopSec=9\n");
        write("etc/b@.service.d/x.conf", "[Service]\nTimeoutStopSec=6\n");
        assert_eq!(found("b@one.service"), Some(Duration::from_secs(9)));
        fs::remove_file(root.join("etc/b@.service.d/y.conf")).unwrap();
        assert_eq!(found("b@one.service"), Some(Duration::from_secs(8)));
        assert_eq!(found("b@two.service"), Some(Duration::from_secs(6)));
        // No limit, in systemd's words; and what is no time changes nothing.
        write("etc/d.service", "[Service]\nTimeoutStopSec=0\n");
        assert_eq!(found("d.service"), Some(Duration::MAX));
        write(
            "etc/e.service",
            "[Service]\nTimeoutStopSec=7\nTimeoutStopSec=\n",
        );
        assert_eq!(found("e.service"), Some(Duration::from_secs(7)));
        fs::remove_dir_all(&root).unwrap();
    }
}
