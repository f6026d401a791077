//! `cargo verify`: everything that must hold, in one command, on a machine that has only Rust, Node, Python and Docker's client.
//!
//! Nothing is skipped in silence: a stage that cannot run fails and says why. Standard library only, so that this
//! compiles in seconds before anything else does.

mod command;
mod report;
mod setup;
mod stages;

use std::env;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use report::{Outcome, Report};
use stages::STAGES;

const HELP: &str = "\
Checks everything that must hold, and installs what that needs.

Usage: cargo verify [OPTIONS]

Options:
      --list          List the stages and what they do
      --only <STAGE>  Run this stage alone; may be given several times
      --json          Print a summary as one line of JSON on standard output; all else goes to standard error
  -h, --help          Print this

It fails with code 1 if any stage fails, and 2 if it does not understand its arguments. A failed stage does not stop
the ones after it, except `setup`: without it the others would only fail for want of tools.
";

struct Options {
    only: Vec<String>,
    json: bool,
}

enum Request {
    Run(Options),
    Print(String),
}

fn main() -> ExitCode {
    match parse(env::args().skip(1)) {
        Ok(Request::Run(options)) => run(&options),
        Ok(Request::Print(text)) => {
            let _ = write!(io::stdout(), "{text}");
            ExitCode::SUCCESS
        }
        Err(reason) => {
            let _ = writeln!(io::stderr(), "{reason}; see `cargo verify --help`");
            ExitCode::from(2)
        }
    }
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Request, String> {
    let mut options = Options { only: Vec::new(), json: false };
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--only" => options.only.push(known(arguments.next().ok_or("`--only` needs a stage")?)?),
            "--json" => options.json = true,
            "--list" => {
                let lines = STAGES.iter().map(|stage| format!("{:<8} {}\n", stage.name, stage.about));
                return Ok(Request::Print(lines.collect()));
            }
            "-h" | "--help" => return Ok(Request::Print(HELP.to_owned())),
            other => match other.strip_prefix("--only=") {
                Some(stage) => options.only.push(known(stage.to_owned())?),
                None => return Err(format!("`{other}` is no option")),
            },
        }
    }
    Ok(Request::Run(options))
}

fn known(stage: String) -> Result<String, String> {
    if STAGES.iter().any(|known| known.name == stage) {
        return Ok(stage);
    }
    let names: Vec<&str> = STAGES.iter().map(|stage| stage.name).collect();
    Err(format!("`{stage}` is no stage: there are {}", names.join(", ")))
}

fn run(options: &Options) -> ExitCode {
    let root = root();
    let mut report = Report::new(options.json);
    let chosen = STAGES
        .iter()
        .filter(|stage| options.only.is_empty() || options.only.iter().any(|name| name == stage.name));
    for stage in chosen {
        report.start(stage.name, stage.about);
        let start = Instant::now();
        let result = (stage.run)(&root, &mut report);
        let failed = result.is_err();
        report.end(Outcome { stage: stage.name, time: start.elapsed(), failure: result.err() });
        if failed && stage.name == "setup" {
            break;
        }
    }
    if report.finish() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The repository: two folders above this package.
fn root() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.ancestors().nth(2).unwrap_or(package).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(arguments: &[&str]) -> Result<Request, String> {
        parse(arguments.iter().map(|argument| (*argument).to_owned()))
    }

    #[test]
    fn arguments() {
        let Ok(Request::Run(options)) = asked(&["--only", "fmt", "--only=test", "--json"]) else { panic!() };
        assert_eq!((options.only, options.json), (vec!["fmt".to_owned(), "test".to_owned()], true));
        let Ok(Request::Print(list)) = asked(&["--list"]) else { panic!() };
        assert_eq!(list.lines().count(), STAGES.len());
        for (wrong, reason) in [
            (&["--only"][..], "`--only` needs a stage"),
            (&["--only", "tests"], "`tests` is no stage: there are setup, fmt, clippy, edge, tools, test"),
            (&["--quick"], "`--quick` is no option"),
        ] {
            assert_eq!(asked(wrong).err().as_deref(), Some(reason));
        }
    }

    #[test]
    fn the_root_is_the_workspace() {
        assert!(std::fs::read_to_string(root().join("Cargo.toml")).unwrap().contains("[workspace]"));
    }
}
