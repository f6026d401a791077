//! `ambit policy explain`: why is this allowed or denied?

use std::fmt::Write as _;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use policies::check::formatted;
use policies::explain::{ClauseReading, Holds, Reading};
use policies::{CompiledSet, Explanation, Scenario, compile, explain};
use schemas::decision::{DecisionRecord, DecisionRequest};
use serde_json::Value;

use super::directory::{self, PolicyDirectory};
use super::{records, telling};
use crate::operate::Failure;
use crate::remote::At;

/// Say why a request is allowed or denied, and what would turn it.
///
/// REQUEST is a file, `-` for standard input, or JSON itself. It holds one of these:
///
///   a request by names     {"agent": "oncall", "user": "ann", "tool": "slack/post", "args": {"channel": "C-1"}}
///   an event of the trail  as `GET /api/v1/orgs/{org}/audit` gives it
///   a decision record, or its request
///
/// Shows which policies decided and on which facts, which nearly did, and the smallest permit that would allow exactly this.
///
/// Exit code: 0 explained, 2 the request or the policies can't be read.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Explain {
    /// The request.
    #[arg(required_unless_present = "event")]
    pub(crate) request: Option<String>,
    /// An event of a gateway's trail, instead: `evt_...`. It is explained by the policies that decided it, or by those of --dir.
    #[arg(long, conflicts_with = "request")]
    pub(crate) event: Option<String>,
    /// Directory of policies; by default this one.
    #[arg(long)]
    pub(crate) dir: Option<PathBuf>,
    /// Print the explanation as one JSON document.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) at: At,
}

pub(crate) fn run(options: &Explain) -> Result<ExitCode, Failure> {
    let explanation = if let Some(event) = &options.event {
        of_event(options, event)?
    } else {
        let directory = PolicyDirectory::read(options.dir.as_deref().unwrap_or(Path::new(".")))?;
        let set = directory.compile()?;
        let (request, given) = request(&directory, &set, read(options.request.as_deref().unwrap_or("-"))?)?;
        explain(&set, &request, given.as_ref())
    };
    if options.json {
        telling::json(&explanation)?;
    } else {
        telling::say(text(&explanation)?.trim_end())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// An event of a gateway's trail, by the policies that decided it, or by those of a directory.
fn of_event(options: &Explain, event: &str) -> Result<Explanation, Failure> {
    let gateway = options.at.open()?;
    let event = gateway.get(&format!("/decisions/{event}?view=auditor"))?;
    let decision = event.get("decision").filter(|decision| !decision.is_null());
    let decision =
        decision.ok_or("nothing was decided in this event: it is the outcome of another, or a note")?;
    let record: DecisionRecord = serde_json::from_value(decision.clone())?;
    let set = match &options.dir {
        Some(dir) => PolicyDirectory::read(dir)?.compile()?,
        None => compile(&records::source_of(&gateway, record.policy_set.as_str())?)
            .map_err(|error| error.to_string())?,
    };
    Ok(explain(&set, &record.request, None))
}

/// JSON from a file, from standard input, or from the command line itself.
fn read(source: &str) -> Result<Value, Failure> {
    let text = if source == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text)?;
        text
    } else if source.trim_start().starts_with('{') {
        source.to_owned()
    } else {
        directory::text(Path::new(source))?
    };
    Ok(serde_json::from_str(&text).map_err(|error| format!("the request is no JSON: {error}"))?)
}

/// The request that a document holds, and the arguments of the call, if it has them all.
fn request(
    directory: &PolicyDirectory,
    set: &CompiledSet,
    document: Value,
) -> Result<(DecisionRequest, Option<Value>), Failure> {
    // An event, or what holds one.
    let record = ["/event/decision", "/decision"]
        .into_iter()
        .find_map(|place| document.pointer(place).filter(|record| record.get("request").is_some()));
    let record = record.or_else(|| document.get("policy_set").map(|_| &document));
    if let Some(record) = record {
        let record: DecisionRecord = serde_json::from_value(record.clone())?;
        return Ok((record.request, None));
    }
    if document.get("principal").is_some() {
        return Ok((serde_json::from_value(document)?, None));
    }
    let scenario: Scenario =
        serde_json::from_value(document).map_err(|error| format!("this is no request: {error}"))?;
    Ok((scenario.request(set, directory.needed_inventory()?)?, scenario.args))
}

/// An explanation for people.
pub(crate) fn text(explanation: &Explanation) -> Result<String, std::fmt::Error> {
    let mut out = String::new();
    writeln!(out, "{}\n", explanation.summary)?;
    let asked = &explanation.asked;
    let on_behalf = asked.on_behalf_of.as_ref().map(|user| format!(" for {user}")).unwrap_or_default();
    writeln!(out, "  who     {}{on_behalf}", asked.principal)?;
    writeln!(out, "  action  {}", asked.action)?;
    writeln!(out, "  what    {}", asked.resource)?;
    for reading in &explanation.deciding {
        self::reading(&mut out, reading, "decided")?;
    }
    for reading in &explanation.near {
        let met = reading.scope_missed.is_empty()
            && reading.clauses.iter().all(|clause| clause.holds == Holds::Yes);
        self::reading(&mut out, reading, if met { "would permit" } else { "nearly permits" })?;
    }
    if !explanation.way_out.is_empty() {
        writeln!(out, "\nway out")?;
        for way in &explanation.way_out {
            writeln!(out, "  {way}")?;
        }
    }
    if let Some(permit) = &explanation.smallest_permit {
        writeln!(out, "\nsmallest permit")?;
        let text = formatted(&permit.text).unwrap_or_else(|_| permit.text.clone());
        for line in text.lines() {
            writeln!(out, "  {line}")?;
        }
        for open in &permit.open {
            writeln!(out, "  // {open}")?;
        }
    }
    Ok(out)
}

fn reading(out: &mut String, reading: &Reading, what: &str) -> std::fmt::Result {
    let Reading { id, file, line, .. } = reading;
    writeln!(out, "\n{what}: {id} ({file}:{line})")?;
    for part in &reading.scope_missed {
        writeln!(out, "  NO   {part}")?;
    }
    for clause in &reading.clauses {
        self::clause(out, clause)?;
    }
    if reading.scope_missed.is_empty() && reading.clauses.is_empty() {
        writeln!(out, "  without condition")?;
    }
    Ok(())
}

fn clause(out: &mut String, clause: &ClauseReading) -> std::fmt::Result {
    let mark = match clause.holds {
        Holds::Yes => "yes ",
        Holds::No => "NO  ",
        Holds::NotReached => "-   ",
        Holds::Fails => "ERR ",
    };
    let line = clause.line.map(|line| format!("  (line {line})")).unwrap_or_default();
    writeln!(out, "  {mark} {}{line}", clause.text)?;
    for saw in &clause.saw {
        let value = saw.value.as_deref().unwrap_or("not there");
        writeln!(out, "         {} = {value}", saw.what)?;
    }
    Ok(())
}
