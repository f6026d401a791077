//! `ambit policy diff`: what a change changes.

use std::path::PathBuf;
use std::process::ExitCode;

use policies::cases::CaseFile;
use policies::diff::{self, AccessChange, PolicyChange};
use policies::{CompiledSet, check::formatted};
use schemas::decision::Effect;
use serde_json::json;
use similar::TextDiff;

use super::directory::{self, PolicyDirectory};
use super::{WRONG, telling};
use crate::operate::Failure;

/// Show how two directories differ: in their policies, and in what they decide.
///
/// Decisions are compared over NEW's inventory.json (every agent, action and tool) and NEW's cases.
///
/// Exit code: 0 they decide alike, 1 they differ, 2 they can't be read.
#[derive(Debug, clap::Args)]
pub(crate) struct Diff {
    /// The directory as it was.
    pub(crate) old: PathBuf,
    /// The directory as it is.
    pub(crate) new: PathBuf,
    /// Print the differences as one JSON document.
    #[arg(long)]
    pub(crate) json: bool,
}

/// A case that is decided otherwise.
#[derive(Debug, serde::Serialize)]
struct CaseChange {
    file: String,
    case: String,
    before: Effect,
    after: Effect,
}

pub(crate) fn run(options: &Diff) -> Result<ExitCode, Failure> {
    let (before, after) = (PolicyDirectory::read(&options.old)?, PolicyDirectory::read(&options.new)?);
    let (old, new) = (before.compile()?, after.compile()?);
    let changes = diff::policies(&old, &new);
    let access = after.inventory.as_ref().map(|inventory| diff::access(&old, &new, inventory));
    let cases = cases(&after, &old, &new)?;
    if options.json {
        telling::json(&json!({ "v": 1, "policies": changes, "access": access, "cases": cases }))?;
    } else {
        policies(&changes)?;
        match &access {
            Some(access) => self::access(access)?,
            None => telling::say("no inventory.json: who may do what is not compared")?,
        }
        for CaseChange { file, case, before, after } in &cases {
            telling::say(&format!("  case {file}: {case}: {} -> {}", word(*before), word(*after)))?;
        }
    }
    let differ = !changes.is_empty() || access.is_some_and(|access| !access.is_empty());
    Ok(if differ { WRONG } else { ExitCode::SUCCESS })
}

fn word(effect: Effect) -> &'static str {
    if effect == Effect::Allow { "allow" } else { "deny" }
}

fn cases(
    directory: &PolicyDirectory,
    old: &CompiledSet,
    new: &CompiledSet,
) -> Result<Vec<CaseChange>, Failure> {
    let mut changes = Vec::new();
    for path in directory::files(&directory.path.join("cases"), "json")? {
        let file = CaseFile::parse(&directory::text(&path)?)
            .map_err(|error| format!("`{}`: {error}", path.display()))?;
        let effect = |set: &CompiledSet, case| {
            file.decide(set, directory.inventory.as_ref(), case).map(|decision| decision.effect)
        };
        for case in &file.cases {
            if let (Ok(before), Ok(after)) = (effect(old, case), effect(new, case))
                && before != after
            {
                changes.push(CaseChange {
                    file: directory::name(&path),
                    case: case.name.clone(),
                    before,
                    after,
                });
            }
        }
    }
    Ok(changes)
}

fn policies(changes: &[PolicyChange]) -> Result<(), Failure> {
    if changes.is_empty() {
        return telling::say("the policies are the same");
    }
    for PolicyChange { id, effect, before, after } in changes {
        let pretty = |text: &Option<String>| {
            let text = text.as_deref().unwrap_or_default();
            formatted(text).unwrap_or_else(|_| text.to_owned())
        };
        let what = match (before, after) {
            (None, _) => "added",
            (_, None) => "removed",
            _ => "changed",
        };
        telling::say(&format!("{what} {effect} {id}"))?;
        let (before, after) = (pretty(before), pretty(after));
        let diff = TextDiff::from_lines(&before, &after);
        telling::say(&diff.unified_diff().context_radius(20).to_string())?;
    }
    Ok(())
}

fn access(changes: &[AccessChange]) -> Result<(), Failure> {
    if changes.is_empty() {
        return telling::say("nobody may do more or less, of all in the inventory");
    }
    telling::say(&format!(
        "{} decided otherwise, of all in the inventory:",
        telling::count(changes.len(), "request")
    ))?;
    let width =
        |pick: fn(&AccessChange) -> &str| changes.iter().map(|change| pick(change).len()).max().unwrap_or(0);
    let (who, what) = (width(|change| &change.who), width(|change| &change.what));
    for change in changes {
        let AccessChange { who: name, action, what: thing, before, after } = change;
        let squeezed = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        telling::say(&format!(
            "  {name:<who$}  {action:<13}  {thing:<what$}  {} -> {}",
            squeezed(before),
            squeezed(after)
        ))?;
    }
    Ok(())
}
