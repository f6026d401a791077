//! `ambit policy publish`, `history`, `rollback` and `proposals`: a version in force, and back.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use http::Method;
use policies::SourceFile;
use policies::check::Severity;
use serde_json::{Value, json};

use super::directory::{self, PolicyDirectory};
use super::{WRONG, check, prove, records, replay, telling, test};
use crate::operate::Failure;
use crate::remote::{At, Gateway};

/// Publish a directory: check it, test it, replay recent calls, prove it, and put it in force at the next call.
///
/// Nothing is published that fails, or of which the prover, if there is one, refutes an invariant. What replay finds is told, not
/// judged. A set that takes a forbid away, or changes one, becomes a proposal: somebody else who
/// may publish accepts it with `ambit policy proposals`.
///
/// Exit code: 0 published or unchanged, 1 something is wrong and nothing was published, 2 it could not be tried, 4 it waits
/// for a second person.
#[derive(Debug, clap::Args)]
pub(crate) struct Publish {
    /// Directory of policies.
    #[arg(default_value = ".")]
    pub(crate) dir: PathBuf,
    /// What the change is for; it is kept with the version.
    #[arg(long, default_value = "")]
    pub(crate) note: String,
    /// Why nobody else can accept that a forbid goes. Only for the deployment's operator; it is on record.
    #[arg(long, value_name = "REASON")]
    pub(crate) break_glass: Option<String>,
    /// Recorded calls of this age and younger are replayed: `24h`, `7d`; `0m` for none.
    #[arg(long, value_name = "AGE", default_value = "24h", value_parser = records::age)]
    pub(crate) since: Duration,
    /// Do everything but publish.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Print the result as one JSON document.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) at: At,
}

/// It waits for a second person.
const WAITS: u8 = 4;

pub(crate) fn run(options: &Publish) -> Result<ExitCode, Failure> {
    let directory = PolicyDirectory::read(&options.dir)?;
    let gateway = options.at.open()?;
    if !fit(&directory, options.json)? {
        return Ok(WRONG);
    }
    let body = json!({ "files": directory.files, "cases": cases(&directory)? });
    let checked = gateway.ask(Method::POST, "/policies/check", &body)?;
    if checked.get("hash") == checked.get("live") {
        telling::say("these policies are in force already")?;
        return Ok(ExitCode::SUCCESS);
    }
    if !options.json {
        let report = records::recent(&gateway, &directory.compile()?, options.since)?;
        replay::tell(&report)?;
    }
    let (refuted, proof) = prove::proof(&options.dir)?;
    if refuted || !options.json {
        telling::say(&proof)?;
    }
    if refuted {
        return Ok(WRONG);
    }
    if options.dry_run {
        telling::say("nothing was published: this was a dry run")?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut body = body;
    if let Some(body) = body.as_object_mut() {
        body.insert("replaces".to_owned(), checked.get("live").cloned().unwrap_or_default());
        body.insert("note".to_owned(), options.note.as_str().into());
        body.extend(options.break_glass.as_ref().map(|why| ("breakGlass".to_owned(), why.as_str().into())));
    }
    let answer = gateway.ask(Method::PUT, "/policies", &body)?;
    if options.json {
        telling::json(&answer)?;
    } else {
        telling::say(&outcome(&answer))?;
    }
    Ok(if answer.get("proposal").is_some() { ExitCode::from(WAITS) } else { ExitCode::SUCCESS })
}

/// Whether a directory passes its own checks and tests; tells what does not.
pub(super) fn fit(directory: &PolicyDirectory, json: bool) -> Result<bool, Failure> {
    let findings = check::found(directory)?;
    if findings.iter().any(|finding| finding.severity == Severity::Error) {
        if json {
            telling::json(&json!({ "ok": false, "findings": findings }))?;
        } else {
            telling::findings(&directory.path, &directory.files, &findings)?;
        }
        return Ok(false);
    }
    let tested = test::outcome(directory, false)?;
    if !tested.holds() || !json {
        tested.tell()?;
    }
    Ok(tested.holds())
}

/// The case files of a directory, as they are published.
pub(super) fn cases(directory: &PolicyDirectory) -> Result<Vec<SourceFile>, Failure> {
    let files = directory::files(&directory.path.join("cases"), "json")?;
    files.iter().map(|path| Ok(SourceFile::new(directory::name(path), directory::text(path)?))).collect()
}

fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value.get(member).and_then(Value::as_str).unwrap_or_default()
}

fn outcome(answer: &Value) -> String {
    match answer.get("proposal") {
        Some(proposal) => format!(
            "it waits for a second person: {}\n  ambit policy proposals accept {}",
            text(proposal, "why"),
            text(proposal, "id")
        ),
        None => format!(
            "version {} is in force ({})",
            answer.get("version").unwrap_or(&Value::Null),
            text(answer, "hash")
        ),
    }
}

/// What was published, newest first.
#[derive(Debug, clap::Args)]
pub(crate) struct History {
    /// Print it as one JSON document.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) at: At,
}

pub(crate) fn history(options: &History) -> Result<ExitCode, Failure> {
    let answer = options.at.open()?.get("/policies/history")?;
    if options.json {
        telling::json(&answer)?;
        return Ok(ExitCode::SUCCESS);
    }
    let versions = answer.get("versions").and_then(Value::as_array).cloned().unwrap_or_default();
    if versions.is_empty() {
        telling::say("nothing was published yet; the built-in policies are in force")?;
    }
    for (index, version) in versions.iter().enumerate() {
        let live = if index == 0 { "*" } else { " " };
        let at = version.get("publishedAt").and_then(Value::as_i64).unwrap_or_default();
        let accepted = version.get("acceptedBy").and_then(Value::as_str);
        let accepted = accepted.map(|by| format!(", accepted by {by}")).unwrap_or_default();
        telling::say(&format!(
            "{live} {:>4}  {}  {}{accepted}  {}",
            version.get("version").unwrap_or(&Value::Null),
            telling::time(at),
            text(version, "publishedBy"),
            text(version, "note")
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Put an earlier version back in force, under today's guardrails.
#[derive(Debug, clap::Args)]
pub(crate) struct Rollback {
    /// The version to go back to, as `history` counts.
    #[arg(value_name = "VERSION")]
    pub(crate) to: i64,
    /// Why nobody else can accept that a forbid goes. Only for the deployment's operator; it is on record.
    #[arg(long, value_name = "REASON")]
    pub(crate) break_glass: Option<String>,
    #[command(flatten)]
    pub(crate) at: At,
}

pub(crate) fn rollback(options: &Rollback) -> Result<ExitCode, Failure> {
    let body = json!({ "to": options.to, "breakGlass": options.break_glass });
    let answer = options.at.open()?.ask(Method::POST, "/policies/rollback", &body)?;
    telling::say(&outcome(&answer))?;
    Ok(if answer.get("proposal").is_some() { ExitCode::from(WAITS) } else { ExitCode::SUCCESS })
}

/// Policy sets that wait for a second person: list, accept or refuse them.
#[derive(Debug, clap::Args)]
pub(crate) struct Proposals {
    #[command(subcommand)]
    pub(crate) word: Option<Word>,
    #[command(flatten)]
    pub(crate) at: At,
}

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Word {
    /// Put it in force. Nobody accepts their own.
    Accept {
        /// The proposal, `prp_…`.
        id: String,
    },
    /// It will not be in force.
    Refuse {
        /// The proposal, `prp_…`.
        id: String,
    },
}

pub(crate) fn proposals(options: &Proposals) -> Result<ExitCode, Failure> {
    let gateway = options.at.open()?;
    let decide = |gateway: &Gateway, id: &str, word: &str| {
        gateway.ask(Method::POST, &format!("/policies/proposals/{id}"), &json!({ "decision": word }))
    };
    match &options.word {
        Some(Word::Accept { id }) => telling::say(&outcome(&decide(&gateway, id, "accept")?))?,
        Some(Word::Refuse { id }) => {
            decide(&gateway, id, "refuse")?;
            telling::say("refused")?;
        }
        None => {
            let answer = gateway.get("/policies/proposals")?;
            let all = answer.get("proposals").and_then(Value::as_array).cloned().unwrap_or_default();
            let waiting: Vec<&Value> = all.iter().filter(|one| text(one, "state") == "pending").collect();
            if waiting.is_empty() {
                telling::say("nothing waits for a second person")?;
            }
            for one in waiting {
                telling::say(&format!(
                    "{}  by {}  {}  {}",
                    text(one, "id"),
                    text(one, "proposedBy"),
                    text(one, "why"),
                    text(one, "note")
                ))?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
