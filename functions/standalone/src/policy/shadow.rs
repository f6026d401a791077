//! `ambit policy shadow`: a draft on trial beside the live set.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use http::Method;
use schemas::audit::AuditEvent;
use schemas::decision::Effect;
use serde_json::{Value, json};

use super::directory::PolicyDirectory;
use super::publish::{cases, fit};
use super::pull::part;
use super::{WRONG, telling};
use crate::operate::Failure;
use crate::remote::At;

/// Try a draft on live calls: it decides nothing, and every record says what it would have decided.
#[derive(Debug, clap::Args)]
pub(crate) struct Shadow {
    #[command(subcommand)]
    pub(crate) what: What,
    #[command(flatten)]
    pub(crate) at: At,
}

#[derive(Debug, clap::Subcommand)]
pub(crate) enum What {
    /// Put a directory on trial.
    On {
        /// Directory of policies.
        #[arg(default_value = ".")]
        dir: PathBuf,
    },
    /// End the trial.
    Off,
    /// What the draft would have decided otherwise so far.
    Report {
        /// Print it as one JSON document.
        #[arg(long)]
        json: bool,
    },
}

pub(crate) fn run(options: &Shadow) -> Result<ExitCode, Failure> {
    let gateway = options.at.open()?;
    match &options.what {
        What::On { dir } => {
            let directory = PolicyDirectory::read(dir)?;
            if !fit(&directory, false)? {
                return Ok(WRONG);
            }
            let body = json!({ "files": directory.files, "cases": cases(&directory)? });
            gateway.ask(Method::PUT, "/policies/shadow", &body)?;
            telling::say(
                "on trial; `ambit policy shadow report` tells what it would have decided otherwise",
            )?;
        }
        What::Off => {
            gateway.ask(Method::DELETE, "/policies/shadow", &Value::Null)?;
            telling::say("no draft is on trial")?;
        }
        What::Report { json } => report(&gateway, *json)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// What a draft said otherwise, by agent and thing.
#[derive(Debug, Default, serde::Serialize)]
struct Tally {
    calls: u64,
    newly_allowed: BTreeMap<String, u64>,
    newly_denied: BTreeMap<String, u64>,
}

fn report(gateway: &crate::remote::Gateway, as_json: bool) -> Result<(), Failure> {
    let live = gateway.get("/policies")?;
    let draft: Option<String> = part(&live, "shadow")?;
    let Some(draft) = draft else { return telling::say("no draft is on trial") };
    let mut tally = Tally::default();
    let mut after = String::new();
    loop {
        let page = gateway.get(&format!("/audit?decisions=true&limit=500&after={after}"))?;
        let rows = page.get("events").and_then(Value::as_array).cloned().unwrap_or_default();
        for row in &rows {
            let event: AuditEvent = part(row, "event")?;
            event.id.as_str().clone_into(&mut after);
            let Some(record) = event.decision else { continue };
            let Some(shadow) = record.shadow.filter(|shadow| shadow.policy_set.as_str() == draft) else {
                continue;
            };
            tally.calls += 1;
            let what = format!("{} · {}", record.request.principal.name(), record.request.resource.name());
            match (record.decision.effect, shadow.decision.effect) {
                (Effect::Deny, Effect::Allow) => *tally.newly_allowed.entry(what).or_default() += 1,
                (Effect::Allow, Effect::Deny) => *tally.newly_denied.entry(what).or_default() += 1,
                _ => {}
            }
        }
        if rows.is_empty() {
            break;
        }
    }
    if as_json {
        return telling::json(&json!({ "v": 1, "draft": draft, "tally": tally }));
    }
    telling::say(&format!(
        "{} decided beside the draft",
        telling::count(usize::try_from(tally.calls)?, "request")
    ))?;
    for (title, found) in [("newly allowed", &tally.newly_allowed), ("newly denied", &tally.newly_denied)] {
        telling::say(&format!("{title}: {}", found.values().sum::<u64>()))?;
        for (what, times) in found.iter().take(20) {
            telling::say(&format!("  {times:>6} × {what}"))?;
        }
    }
    Ok(())
}
