//! From a URL to an answer: files of one folder, and nothing outside of it.

use std::fmt::Write;
use std::fs::{self, File};
use std::io::{self, Cursor, ErrorKind, Read};
use std::path::{Path, PathBuf};

use tiny_http::{Header, Method, Response, StatusCode};

pub(crate) struct Answer {
    pub(crate) status: u16,
    /// How many bytes of body are sent.
    pub(crate) size: u64,
    /// The length of the body, which is what a HEAD request asks for.
    length: u64,
    kind: &'static str,
    body: Box<dyn Read + Send>,
}

/// The folder to serve, as it is called without links, if it can be read.
pub(crate) fn open_root(root: &Path) -> Result<Box<Path>, String> {
    let opened = fs::read_dir(root).and_then(|_| root.canonicalize());
    match opened {
        Ok(root) => Ok(root.into()),
        Err(error) => Err(format!(
            "cannot read the folder {}: {error}",
            root.display()
        )),
    }
}

/// What to answer to `method url`. Never fails: a failure is an answer too.
pub(crate) fn find(root: &Path, method: &Method, url: &str) -> Answer {
    let mut answer = match method {
        Method::Get | Method::Head => match open(root, url) {
            Ok(answer) => answer,
            Err(error) => failure(&error),
        },
        _ => text(405, "405 only GET and HEAD\n"),
    };
    if *method == Method::Head {
        answer.size = 0;
    }
    answer
}

/// For a server that cannot log.
pub(crate) fn unavailable() -> Answer {
    text(503, "503 the server is about to end\n")
}

impl Answer {
    pub(crate) fn into_response(self) -> Response<Box<dyn Read + Send>> {
        let header = |name: &str, value: &str| Header::from_bytes(name, value);
        let allow = (self.status == 405).then(|| header("Allow", "GET, HEAD"));
        // Constants, which are valid headers.
        let headers = [Some(header("Content-Type", self.kind)), allow];
        let headers = headers.into_iter().flatten().flatten().collect();
        // A body of known length is never sent in chunks: the client can tell a whole answer from a part.
        let length = usize::try_from(self.length).ok();
        Response::new(StatusCode(self.status), headers, self.body, length, None)
            .with_chunked_threshold(usize::MAX)
    }
}

fn failure(error: &io::Error) -> Answer {
    match error.kind() {
        ErrorKind::InvalidInput => text(400, "400 that is no path\n"),
        ErrorKind::NotFound => text(404, "404 not found\n"),
        ErrorKind::PermissionDenied => text(403, "403 not for you\n"),
        _ => text(500, "500 cannot read it\n"),
    }
}

fn text(status: u16, body: &str) -> Answer {
    bytes(status, "text/plain; charset=utf-8", body.into())
}

fn bytes(status: u16, kind: &'static str, body: Vec<u8>) -> Answer {
    let length = body.len() as u64;
    Answer {
        status,
        size: length,
        length,
        kind,
        body: Box::new(Cursor::new(body)),
    }
}

fn open(root: &Path, url: &str) -> io::Result<Answer> {
    let path = decode(url.split(['?', '#']).next().unwrap_or_default())?;
    let relative = path.strip_prefix('/').ok_or(ErrorKind::InvalidInput)?;
    // Links and `..` are followed first; what counts is where they end.
    let found = match root.join(relative.trim_start_matches('/')).canonicalize() {
        // A name that cannot exist, such as `file/x`, is one that does not.
        Err(error) if !matches!(error.kind(), ErrorKind::PermissionDenied) => {
            return Err(ErrorKind::NotFound.into())
        }
        found => found?,
    };
    if !found.starts_with(root) {
        return Err(ErrorKind::NotFound.into());
    }
    if found.is_dir() {
        let index = found.join("index.html");
        return match index.is_file() && index.canonicalize()?.starts_with(root) {
            true => file(&index),
            false => listing(root, &found),
        };
    }
    file(&found)
}

fn file(path: &Path) -> io::Result<Answer> {
    // Before it is opened: that would wait for a writer if this is a pipe.
    if !fs::metadata(path)?.is_file() {
        return Err(ErrorKind::NotFound.into());
    }
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    let kind = match path.extension().and_then(|e| e.to_str()) {
        Some("html" | "htm") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("json") => "application/json",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("jpg" | "jpeg") => "image/jpeg",
        Some("md" | "txt" | "rs" | "toml" | "log") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    };
    Ok(Answer {
        status: 200,
        size: length,
        length,
        kind,
        // A file that grows meanwhile is sent as long as it was.
        body: Box::new(file.take(length)),
    })
}

/// The names in a folder, as links.
fn listing(root: &Path, folder: &Path) -> io::Result<Answer> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let slash = if entry.path().is_dir() { "/" } else { "" };
        names.push(format!("{}{slash}", entry.file_name().to_string_lossy()));
    }
    names.sort();
    let here: PathBuf = folder.strip_prefix(root).unwrap_or(folder).into();
    let mut html = String::from("<!DOCTYPE html>\n<meta charset=\"utf-8\">\n<ul>\n");
    for name in names {
        let link = encode(&format!("/{}", here.join(&name).display()));
        // Writing to a String does not fail.
        let _ = writeln!(html, "<li><a href=\"{link}\">{}</a>", escape(&name));
    }
    html.push_str("</ul>\n");
    Ok(bytes(200, "text/html; charset=utf-8", html.into()))
}

/// Text as HTML.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

/// A path as part of a URL.
fn encode(path: &str) -> String {
    let mut url = String::new();
    for byte in path.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' | b'~' => {
                url.push(char::from(byte));
            }
            _ => {
                // Writing to a String does not fail.
                let _ = write!(url, "%{byte:02X}");
            }
        }
    }
    url
}

/// Undoes `%41`. What is no text, or contains NUL, is no path.
fn decode(path: &str) -> io::Result<String> {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let [first, more @ ..] = rest {
        rest = more;
        let byte = match (first, more) {
            (b'%', [high, low, more @ ..]) => {
                rest = more;
                let digit = |byte: &u8| char::from(*byte).to_digit(16);
                let (high, low) = digit(high).zip(digit(low)).ok_or(ErrorKind::InvalidInput)?;
                (high * 16 + low) as u8
            }
            (b'%', _) => return Err(ErrorKind::InvalidInput.into()),
            (byte, _) => *byte,
        };
        bytes.push(byte);
    }
    if bytes.contains(&0) {
        return Err(ErrorKind::InvalidInput.into());
    }
    String::from_utf8(bytes).map_err(|_| ErrorKind::InvalidInput.into())
}
