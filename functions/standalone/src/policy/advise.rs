//! `ambit policy advise`: what an agent may do and never does.

use std::path::PathBuf;
use std::process::ExitCode;

use policies::advice::{Advice, Use};
use policies::check::formatted;
use schemas::decision::DecisionRecord;
use serde_json::Value;

use super::directory::PolicyDirectory;
use super::records::Records;
use super::telling;
use crate::operate::Failure;

/// From recorded use, advise the narrowest grants that still allow all of it.
///
/// Every recorded call is replayed against the advice before it is given. Needs inventory.json, to count what it takes away.
///
///   ambit policy advise --agent oncall --org acme --since 30d
///
/// Exit code: 0 advised, 1 some recorded call would no longer be allowed, 2 it could not be done.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Advise {
    /// Directory of policies.
    #[arg(default_value = ".")]
    pub(crate) dir: PathBuf,
    /// The agent.
    #[arg(long)]
    pub(crate) agent: String,
    /// Print the advice as one JSON document.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) records: Records,
}

/// How many names are told in a row; `--json` has them all.
const TOLD: usize = 20;

pub(crate) fn run(options: &Advise) -> Result<ExitCode, Failure> {
    let directory = PolicyDirectory::read(&options.dir)?;
    let set = directory.compile()?;
    let inventory = directory.needed_inventory()?;
    let mut seen = Use::of(&options.agent);
    // Most lines are of others: they are not taken apart.
    let name = serde_json::to_string(&options.agent)?;
    options.records.each_line(|line| {
        if let Some(record) = line.contains(&name).then(|| record(line)).flatten() {
            seen.add(&record);
        }
    })?;
    let advice = seen.advise(&directory.source(), &set, inventory)?;
    if options.json {
        telling::json(&advice)?;
    } else {
        tell(&advice)?;
    }
    Ok(if advice.still_allowed == advice.replayed { ExitCode::SUCCESS } else { super::WRONG })
}

fn record(line: &str) -> Option<DecisionRecord> {
    let mut event: Value = serde_json::from_str(line).ok()?;
    if let Some(inner) = event.get_mut("event") {
        event = inner.take();
    }
    let record = if event.get("request").is_some() { event } else { event.get_mut("decision")?.take() };
    serde_json::from_value(record).ok()
}

fn tell(advice: &Advice) -> Result<(), Failure> {
    let Advice { agent, used, can_call, taken_away, replayed, still_allowed, .. } = advice;
    telling::say(&format!(
        "{agent} was allowed {}, of {}; it can call {}",
        telling::count(usize::try_from(*replayed)?, "call"),
        telling::count(used.len(), "thing"),
        telling::count(can_call.len(), "tool")
    ))?;
    if used.is_empty() {
        return telling::say("nothing was used, so there is nothing to keep: take its grants away");
    }
    telling::say("\nused")?;
    let mut by_count: Vec<_> = used.iter().collect();
    by_count.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    for (name, count) in by_count.iter().take(TOLD) {
        telling::say(&format!("  {count:>7} x  {name}"))?;
    }
    let row = |names: &[String]| {
        let more = names.len().saturating_sub(TOLD);
        let more = if more == 0 { String::new() } else { format!(", and {more} more") };
        format!("{}{more}", names.iter().take(TOLD).cloned().collect::<Vec<_>>().join(", "))
    };
    telling::say("\ngrants that suffice")?;
    let servers = advice.grants.servers.iter().map(|server| format!("server/{server}"));
    let grants: Vec<String> =
        servers.chain(advice.grants.tools.iter().map(|tool| format!("tool/{tool}"))).collect();
    telling::say(&if grants.is_empty() {
        "  none: other policies permit all that it did".to_owned()
    } else {
        format!("  {}", grants.join("\n  "))
    })?;
    if let Some(policy) = &advice.policy {
        telling::say("\nor, instead of grants, this policy")?;
        let text = formatted(policy).unwrap_or_else(|_| policy.clone());
        telling::say(&text.lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n"))?;
        telling::say(&format!(
            "  // {} of {replayed} recorded calls still allowed by it",
            advice.still_allowed_by_policy
        ))?;
    }
    telling::say(&format!("\n{still_allowed} of {replayed} recorded calls still allowed"))?;
    telling::say(&match taken_away.len() {
        0 => "nothing is taken away: it uses all that it has".to_owned(),
        number => format!("{number} of {} tools taken away: {}", can_call.len(), row(taken_away)),
    })
}
