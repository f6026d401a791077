//! `ambit policy replay`: what a draft would have decided otherwise.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use policies::replay::{Change, Group, Report};
use serde_json::json;

use super::directory::PolicyDirectory;
use super::records::Records;
use super::telling;
use crate::operate::Failure;

/// Replay recorded calls against a draft: what it would newly allow, newly deny, and what cannot be told.
///
/// Records hold the arguments that policies looked into when they were made. Where the draft looks into more, it cannot be told
/// what it would decide, unless it decides so whatever they are.
///
///   ambit policy replay DRAFT --org acme --since 7d
///   ambit policy replay DRAFT --records yesterday.jsonl --sets sets/
///
/// Exit code: 0 replayed, whatever came of it; 1 with --refuse-any-change if anything changes; 2 it could not be done.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Replay {
    /// Directory of the draft.
    #[arg(default_value = ".")]
    pub(crate) draft: PathBuf,
    /// Fail if anything would be decided otherwise, or cannot be told.
    #[arg(long)]
    pub(crate) refuse_any_change: bool,
    /// Print the report as one JSON document.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) records: Records,
}

/// Groups of one kind that are told; `--json` has them all.
const TOLD: usize = 12;

pub(crate) fn run(options: &Replay) -> Result<ExitCode, Failure> {
    let start = Instant::now();
    let report = report(&options.draft, &options.records)?;
    if options.json {
        telling::json(&json!({ "v": 1, "report": report }))?;
    } else {
        tell(&report)?;
        let seconds = start.elapsed().as_secs_f64();
        telling::say(&format!("({seconds:.1} s)"))?;
    }
    let changes = report.decided != report.unchanged;
    Ok(if changes && options.refuse_any_change { super::WRONG } else { ExitCode::SUCCESS })
}

fn report(draft: &Path, records: &Records) -> Result<Report, Failure> {
    let set = PolicyDirectory::read(draft)?.compile()?;
    records.replay(&set, draft)
}

/// The report for people: numbers, then what changes, the most frequent first.
pub(crate) fn tell(report: &Report) -> Result<(), Failure> {
    let Report { decided, unchanged, newly_allowed, newly_denied, cannot_tell, .. } = report;
    telling::say(&format!(
        "{decided} recorded decisions: {unchanged} unchanged, {newly_allowed} newly allowed, {newly_denied} newly denied, {cannot_tell} \
         cannot be told"
    ))?;
    let left_out = [(report.older, "older"), (report.unreadable, "no events")];
    for (number, what) in left_out.into_iter().filter(|(number, _)| *number > 0) {
        telling::say(&format!("  besides {number} lines that are {what}"))?;
    }
    for (change, title) in [
        (Change::NewlyAllowed, "newly allowed"),
        (Change::NewlyDenied, "newly denied"),
        (Change::CannotTell, "cannot be told: the draft looks into arguments that are not on record"),
    ] {
        let groups: Vec<&Group> = report.groups.iter().filter(|group| group.change == change).collect();
        if groups.is_empty() {
            continue;
        }
        telling::say(&format!("\n{title}"))?;
        for group in groups.iter().take(TOLD) {
            telling::say(&line(group))?;
        }
        if groups.len() > TOLD {
            telling::say(&format!("  and {} more; --json has them all", groups.len() - TOLD))?;
        }
    }
    Ok(())
}

fn line(group: &Group) -> String {
    let Group { who, action, what, count, example, .. } = group;
    let by =
        |policies: &[String]| if policies.is_empty() { "nothing".to_owned() } else { policies.join(", ") };
    let asks =
        if example.asks.is_empty() { String::new() } else { format!(", asks {}", example.asks.join(", ")) };
    let event = example.event.as_ref().map(|event| format!("  e.g. {event}")).unwrap_or_default();
    let would = match group.change {
        Change::CannotTell => String::new(),
        Change::NewlyAllowed | Change::NewlyDenied | Change::Unchanged => {
            format!(", would be by {}{asks}", by(&example.draft_by))
        }
    };
    format!("  {count:>7} x  {who}  {action}  {what}  (was by {}{would}){event}", by(&example.by))
}
