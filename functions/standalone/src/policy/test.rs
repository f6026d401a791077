//! `ambit policy test`: do the policies decide as their authors expect?

use std::path::PathBuf;
use std::process::ExitCode;

use policies::cases::{CaseError, CaseFile};
use policies::{CompiledSet, PolicySource, compile, matrix};
use serde_json::json;
use similar::TextDiff;

use super::directory::{self, PolicyDirectory};
use super::{WRONG, telling};
use crate::operate::Failure;

/// Run the cases in cases/*.json, and hold access.txt against the policies.
///
/// A case is a request and what must be decided. With inventory.json it can name what it is about:
///
///   { "about": "who may post",
///     "base": { "agent": "oncall", "user": "ann", "tool": "slack/post" },
///     "cases": [
///       { "name": "into an incident", "args": { "channel": "C-INC-7" },
///         "expect": { "effect": "allow", "policies": ["oncall-incident-channels"] } } ] }
///
/// access.txt says what every agent of the inventory may do with every tool; --update writes it anew, for you to review.
///
/// Exit code: 0 all holds, 1 something does not, 2 the policies or the cases can't be read.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
#[allow(clippy::doc_link_with_quotes, reason = "that is JSON, for `--help`")]
pub(crate) struct Test {
    /// Directory of policies.
    #[arg(default_value = ".")]
    pub(crate) dir: PathBuf,
    /// Write access.txt anew.
    #[arg(long)]
    pub(crate) update: bool,
    /// Print the results as one JSON document.
    #[arg(long)]
    pub(crate) json: bool,
}

/// How the tests of a directory came out.
pub(crate) struct Outcome {
    cases: usize,
    /// File and reason.
    failed: Vec<(String, CaseError)>,
    matrix: Matrix,
}

enum Matrix {
    /// There is no inventory to make one from, or nobody asked for one.
    None,
    Holds(usize),
    Updated(usize),
    Differs(String),
}

impl Outcome {
    pub(crate) fn holds(&self) -> bool {
        self.failed.is_empty() && !matches!(self.matrix, Matrix::Differs(_))
    }

    pub(crate) fn tell(&self) -> Result<(), Failure> {
        for (file, error) in &self.failed {
            telling::say(&failure(file, error))?;
        }
        if let Matrix::Differs(diff) = &self.matrix {
            telling::say("access.txt differs; review this, then `ambit policy test --update`\n")?;
            telling::say(diff)?;
        }
        let cases = telling::count(self.cases, "case");
        let held = match self.failed.len() {
            0 => format!("ok: {cases}"),
            failed => format!("{failed} of {cases} failed"),
        };
        telling::say(&match self.matrix {
            Matrix::None => held,
            Matrix::Holds(lines) => format!("{held}, access.txt with {lines} lines"),
            Matrix::Updated(lines) => format!("{held}, access.txt written with {lines} lines"),
            Matrix::Differs(_) => format!("{held}, access.txt differs"),
        })
    }
}

pub(crate) fn run(options: &Test) -> Result<ExitCode, Failure> {
    let directory = PolicyDirectory::read(&options.dir)?;
    let outcome = outcome(&directory, options.update)?;
    if options.json {
        let failed: Vec<_> = outcome
            .failed
            .iter()
            .map(|(file, error)| json!({ "file": file, "reason": error.to_string() }))
            .collect();
        let diff = if let Matrix::Differs(diff) = &outcome.matrix { Some(diff) } else { None };
        telling::json(&json!({
            "v": 1, "ok": outcome.holds(), "cases": outcome.cases, "failed": failed, "access": { "diff": diff },
        }))?;
    } else {
        outcome.tell()?;
    }
    Ok(if outcome.holds() { ExitCode::SUCCESS } else { WRONG })
}

/// Runs the cases, and makes the matrix.
pub(crate) fn outcome(directory: &PolicyDirectory, update: bool) -> Result<Outcome, Failure> {
    let set = directory.compile()?;
    let (mut cases, mut failed) = (0, Vec::new());
    for path in directory::files(&directory.path.join("cases"), "json")? {
        let name = directory::name(&path);
        let file = CaseFile::parse(&directory::text(&path)?)
            .map_err(|error| format!("`{}`: {error}", path.display()))?;
        let own = with_policies_of(directory, &file)?;
        cases += file.cases.len();
        let errors = file.run_with(own.as_ref().unwrap_or(&set), directory.inventory.as_ref());
        failed.extend(errors.into_iter().map(|error| (name.clone(), error)));
    }
    Ok(Outcome { cases, failed, matrix: matrix(directory, &set, update)? })
}

/// A case file can bring policies of its own, on top of the directory's.
fn with_policies_of(directory: &PolicyDirectory, file: &CaseFile) -> Result<Option<CompiledSet>, Failure> {
    if file.policies.is_empty() {
        return Ok(None);
    }
    let files = directory.files.iter().chain(&file.policies).cloned().collect();
    let tools = directory.tools.iter().chain(&file.tools).cloned();
    let source = PolicySource::with_built_in(files).with_tools(tools);
    Ok(Some(compile(&source).map_err(|error| error.to_string())?))
}

fn matrix(directory: &PolicyDirectory, set: &CompiledSet, update: bool) -> Result<Matrix, Failure> {
    let path = directory.path.join("access.txt");
    let there = if path.is_file() { Some(directory::text(&path)?) } else { None };
    let Some(inventory) = directory.inventory.as_ref().filter(|_| update || there.is_some()) else {
        return Ok(Matrix::None);
    };
    let lines = matrix::lines(set, inventory);
    let now = matrix::text(&lines);
    if update {
        directory::write(&path, &now)?;
        return Ok(Matrix::Updated(lines.len()));
    }
    let there = there.unwrap_or_default();
    if there == now {
        return Ok(Matrix::Holds(lines.len()));
    }
    let diff = TextDiff::from_lines(&there, &now);
    Ok(Matrix::Differs(
        diff.unified_diff().context_radius(0).header("access.txt", "as the policies are now").to_string(),
    ))
}

/// A failed case: what was expected above what was decided.
fn failure(file: &str, error: &CaseError) -> String {
    match error {
        CaseError::Decided { case, expected, decided } => {
            format!("FAILED  {file}: {case}\n        expected  {expected}\n        decided   {decided}\n")
        }
        CaseError::File(_) | CaseError::Pointer { .. } | CaseError::Request { .. } => {
            format!("FAILED  {file}: {error}\n")
        }
    }
}
