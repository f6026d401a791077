//! Running other programs: what they print is printed, and kept where somebody needs it.

use std::io::{self, BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::report::Report;

/// Runs a program to its end, printing its output line by line and handing each line on.
pub(crate) fn watch(
    report: &mut Report,
    mut command: Command,
    mut line_seen: impl FnMut(&mut Report, &str),
) -> Result<(), String> {
    let shown = show(&command);
    report.say(&format!("$ {shown}"));
    let failed = |error: io::Error| {
        if error.kind() == io::ErrorKind::NotFound {
            format!("`{}` is not installed", command_name(&shown))
        } else {
            format!("`{shown}` did not run: {error}")
        }
    };
    // One pipe for both streams: `Running ...` goes to one and `test result: ...` to the other, and their order matters.
    let (reader, writer) = io::pipe().map_err(failed)?;
    command.stdin(Stdio::null()).stdout(writer.try_clone().map_err(failed)?).stderr(writer);
    let mut child = command.spawn().map_err(failed)?;
    // It holds the writing ends; the pipe would never end.
    drop(command);
    for line in BufReader::new(reader).split(b'\n') {
        let line = line.map_err(failed)?;
        let line = String::from_utf8_lossy(&line);
        report.say(&line);
        line_seen(report, &line);
    }
    let status = child.wait().map_err(failed)?;
    if status.success() { Ok(()) } else { Err(format!("`{shown}` failed ({status})")) }
}

/// Runs a program to its end, printing its output.
pub(crate) fn run(report: &mut Report, command: Command) -> Result<(), String> {
    watch(report, command, |_, _| {})
}

/// Runs a program quietly; its output, or `None` if it is not there or fails.
pub(crate) fn ask(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A program that runs in a folder.
pub(crate) fn program(folder: &Path, name: impl AsRef<std::ffi::OsStr>, arguments: &[&str]) -> Command {
    let mut command = Command::new(name);
    command.args(arguments).current_dir(folder);
    command
}

/// The same cargo that runs this, on the versions of the lock file.
pub(crate) fn cargo(root: &Path, arguments: &[&str]) -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    program(root, cargo, arguments)
}

fn show(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<String> = words.map(|word| word.to_string_lossy().into_owned()).collect();
    let name = words.first().map_or("", |word| command_name(word)).to_owned();
    std::iter::once(name).chain(words.into_iter().skip(1)).collect::<Vec<_>>().join(" ")
}

fn command_name(shown: &str) -> &str {
    let path = shown.split(' ').next().unwrap_or(shown);
    path.rsplit('/').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_streams_in_order_and_the_reason_of_a_failure() {
        let mut report = Report::new(true);
        let mut seen = Vec::new();
        let script = "echo one; echo two >&2; echo three; exit 3";
        let command = program(Path::new("/"), "sh", &["-c", script]);
        let result = watch(&mut report, command, |_, line| seen.push(line.to_owned()));
        assert_eq!(seen, ["one", "two", "three"]);
        assert_eq!(result, Err(format!("`sh -c {script}` failed (exit status: 3)")));
    }

    #[test]
    fn what_is_missing_is_named() {
        let command = program(Path::new("/"), "/no/such/program", &["--version"]);
        assert_eq!(run(&mut Report::new(true), command), Err("`program` is not installed".to_owned()));
    }
}
