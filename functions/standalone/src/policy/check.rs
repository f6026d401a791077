//! `ambit policy check`: are the files fit to be published?

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use policies::check::{Circumstances, Finding, Severity, check, formatted};
use schemas::ids::Timestamp;
use serde_json::json;

use super::directory::{self, PolicyDirectory};
use super::{WRONG, telling};
use crate::operate::Failure;

/// Check the files: syntax, types, names, layout, and policies that change nothing.
///
/// Cedar's warnings are errors here: a policy that can never match is an open door. With inventory.json, names of agents,
/// people, teams, servers and tools must be there too. Warnings are told and do not fail the check.
///
/// Exit code: 0 nothing is wrong, 1 there are errors, 2 the directory can't be read.
#[derive(Debug, clap::Args)]
pub(crate) struct Check {
    /// Directory of policies.
    #[arg(default_value = ".")]
    pub(crate) dir: PathBuf,
    /// Lay the files out first.
    #[arg(long)]
    pub(crate) fix: bool,
    /// Print the findings as one JSON document.
    #[arg(long)]
    pub(crate) json: bool,
}

pub(crate) fn run(options: &Check) -> Result<ExitCode, Failure> {
    let mut directory = PolicyDirectory::read(&options.dir)?;
    let fixed = if options.fix { fix(&mut directory)? } else { Vec::new() };
    let findings = found(&directory)?;
    let errors = findings.iter().filter(|finding| finding.severity == Severity::Error).count();
    if options.json {
        telling::json(&json!({ "v": 1, "ok": errors == 0, "fixed": fixed, "findings": findings }))?;
    } else {
        telling::findings(&directory.path, &directory.files, &findings)?;
        for file in &fixed {
            telling::say(&format!("laid out {file}"))?;
        }
        telling::say(&summary(&directory, errors, findings.len() - errors))?;
    }
    Ok(if errors == 0 { ExitCode::SUCCESS } else { WRONG })
}

/// Everything that is wrong with a directory.
pub(crate) fn found(directory: &PolicyDirectory) -> Result<Vec<Finding>, Failure> {
    let circumstances = Circumstances { inventory: directory.inventory.as_ref(), now: Some(now()) };
    Ok(check(&directory.source(), circumstances)?)
}

fn summary(directory: &PolicyDirectory, errors: usize, warnings: usize) -> String {
    let files = telling::count(directory.files.len(), "file");
    let warned =
        if warnings == 0 { String::new() } else { format!(", {}", telling::count(warnings, "warning")) };
    if errors == 0 {
        format!("ok: {files}{warned}")
    } else {
        format!("{} in {files}{warned}", telling::count(errors, "error"))
    }
}

/// Lays the files out, and tells which were changed. What does not parse stays for the check.
fn fix(directory: &mut PolicyDirectory) -> Result<Vec<String>, Failure> {
    let mut fixed = Vec::new();
    for file in &mut directory.files {
        if let Ok(pretty) = formatted(&file.text)
            && pretty != file.text
        {
            directory::write(&directory.path.join(&file.name), &pretty)?;
            file.text = pretty;
            fixed.push(file.name.clone());
        }
    }
    Ok(fixed)
}

/// The clock of this machine.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
