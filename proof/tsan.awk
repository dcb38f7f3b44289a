# Reads reports of ThreadSanitizer, prints those that are findings, and says how many of all there were.
#
# The standard library that rustup installs is not instrumented, so what its locks, scopes and barriers order is not seen as ordered.
# Our code has no lock of std's, the tests have. So a report counts if both sides of it are code of ours or of a crate (the innermost frame
# that has a source outside of the standard library decides), and not if one of them is a test's own code, or std's alone.

function side(line) {
    if (line ~ /\/rustc\/|\/rust\/deps\//) return ""
    if (line ~ /\/tests\/[a-z_\/]*\.rs:/) return "test"
    if (line ~ /\/src\/[a-z_\/]*\.rs:/) return "ours"
    return ""
}

function finish() {
    if (report == "") return
    reports++
    if (sides[1] == "ours" && sides[2] == "ours" || !race) {
        findings++
        printf "%s\n", report
    }
    report = ""
}

/WARNING: ThreadSanitizer/ { report = ""; stack = 0; race = /data race/; delete sides; reading = 1 }
/^==================/ { if (reading && stack) { finish(); reading = 0 } }
reading {
    report = report $0 "\n"
    # "Write of size 8 at", "Previous atomic read of size 4 at": a stack begins.
    if ($0 ~ / of size [0-9]+ at /) stack++
    else if ($0 ~ /^  [A-Z]/) stack = (stack > 0 ? 3 : 0) # what follows says where things came from
    else if ($0 ~ /^ +#[0-9]+ / && stack <= 2 && sides[stack] == "") sides[stack] = side($0)
}
END {
    if (reading) finish()
    printf "%d reports, %d findings\n", reports, findings
}
