//! `ambit policy prove`: what the policies of a directory can never allow, whatever anybody asks.
//!
//! The proof is made by `ambit-prove`, a program of its own: it needs an SMT solver and a Cedar that proves, and a gateway needs
//! neither. Without them nothing is proved, and that is what is said.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use policies::{PolicySource, SourceFile, compile};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::operate::Failure;
use crate::policy::directory::{PolicyDirectory, cedar};
use crate::policy::telling::say;

/// Prove what the policies never allow, or show a request that they do allow.
///
/// Asks whether every policy can always be evaluated, whether Ambit's own invariants and those in DIR/invariants hold for every
/// request there can be, and with --old whether anything is newly allowed.
///
/// Ends with 0 if all is proved, 1 if something is refuted, 3 if something is not proved (no prover, no solver, not enough time),
/// 2 if the arguments or the policies are wrong.
#[derive(Debug, clap::Args)]
pub(crate) struct Prove {
    /// Directory of the policies.
    pub(crate) dir: PathBuf,
    /// Directory of the policies in use: is anything newly allowed?
    #[arg(long, value_name = "DIR")]
    pub(crate) old: Option<PathBuf>,
    /// Longest time for one question about one kind of request, in seconds.
    #[arg(long, default_value = "10")]
    pub(crate) timeout: f64,
    /// Print the prover's answer as one JSON document.
    #[arg(long)]
    pub(crate) json: bool,
    /// The prover; by default `ambit-prove` beside this program or on the PATH.
    #[arg(long, env = "AMBIT_PROVER")]
    pub(crate) prover: Option<PathBuf>,
}

/// Exit code: something is not proved.
const NOT_PROVED: u8 = 3;

/// Exit code of the prover: it cannot work with its arguments or the policies.
const REFUSED: i32 = 2;

/// How many counterexamples, or reasons, of one question are told; `--json` has them all.
const TOLD: usize = 3;

pub(crate) fn run(options: &Prove) -> Result<ExitCode, Failure> {
    let task = task(options)?;
    let start = Instant::now();
    let (report, document) = match ask(options, &task)? {
        Ok(answered) => answered,
        Err(reason) => {
            if options.json {
                let none = json!({ "v": 1, "verdict": "not_proved", "solver": null, "answers": [] });
                say(&none.to_string())?;
            }
            writeln!(std::io::stderr(), "not proved: {reason}")?;
            return Ok(ExitCode::from(NOT_PROVED));
        }
    };
    if options.json {
        say(&document.to_string())?;
    } else {
        say(&format!("{} ({:.1} s)", report.tell(), start.elapsed().as_secs_f64()))?;
    }
    Ok(match report.verdict {
        Verdict::Proved => ExitCode::SUCCESS,
        Verdict::Refuted => ExitCode::FAILURE,
        Verdict::NotProved => ExitCode::from(NOT_PROVED),
    })
}

/// Proves a directory for another command: whether something is refuted, and what to say of it.
pub(crate) fn proof(dir: &Path) -> Result<(bool, String), Failure> {
    let prover = std::env::var_os("AMBIT_PROVER").map(PathBuf::from);
    let options = Prove { dir: dir.to_owned(), old: None, timeout: 10.0, json: false, prover };
    Ok(match ask(&options, &task(&options)?)? {
        Ok((report, _)) => (report.verdict == Verdict::Refuted, report.tell()),
        Err(reason) => (false, format!("not proved: {reason}")),
    })
}

/// What the prover is given. Everything is checked before, so that errors have their places.
fn task(options: &Prove) -> Result<Value, Failure> {
    let new = PolicyDirectory::read(&options.dir)?;
    let invariants = cedar(&options.dir.join("invariants"))?;
    let old = options.old.as_deref().map(PolicyDirectory::read).transpose()?;
    // One schema for all: with the typed action of every tool that any of them names.
    let files = [&new.files, &invariants].into_iter().chain(old.as_ref().map(|old| &old.files));
    let everything = PolicySource::with_built_in(files.flatten().cloned().collect());
    let tools = new.tools.iter().chain(old.iter().flat_map(|old| &old.tools));
    let everything = everything.with_tools(tools.cloned());
    let source = |files: Vec<SourceFile>| PolicySource { files, ..everything.clone() };
    let policies = source(PolicySource::with_built_in(new.files).files);
    let old = old.map(|old| (old.path, source(PolicySource::with_built_in(old.files).files)));
    check(&options.dir, &policies)?;
    check(&options.dir.join("invariants"), &source(invariants.clone()))?;
    if let Some((path, old)) = &old {
        check(path, old)?;
    }
    Ok(json!({
        "schema": everything.schema_text()?,
        "policies": policies.files,
        "old": old.map(|(_, old)| old.files),
        "invariants": invariants,
    }))
}

fn check(path: &Path, source: &PolicySource) -> Result<(), Failure> {
    compile(source).map(|_| ()).map_err(|error| format!("in `{}`:\n{error}", path.display()).into())
}

/// Asks the prover. Its answer, read and as it is, or why there is none.
fn ask(options: &Prove, task: &Value) -> Result<Result<(Report, Value), String>, Failure> {
    let program = options.prover.clone().unwrap_or_else(beside_this);
    let shown = program.display();
    let mut command = Command::new(&program);
    command.arg("--timeout").arg(options.timeout.to_string());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            return Ok(Err(format!(
                "`{shown}` does not start ({error}); build it with `cargo build` in policies/prove, and put it beside this \
                 program or on the PATH, or name it by AMBIT_PROVER"
            )));
        }
    };
    if let Some(mut input) = child.stdin.take() {
        // If it stopped reading, its exit code and its words say more than the broken pipe.
        let _ = input.write_all(task.to_string().as_bytes());
    }
    let output = child.wait_with_output()?;
    let words = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if output.status.code() == Some(REFUSED) {
        return Err(words.into());
    }
    let document: Option<Value> = serde_json::from_slice(&output.stdout).ok();
    let document = document.filter(|document| document.get("v") == Some(&json!(1)));
    let read = document.and_then(|document| Some((Report::deserialize(&document).ok()?, document)));
    let unreadable =
        || format!("`{shown}` gave no answer that this version reads ({}): {words}", output.status);
    Ok(read.ok_or_else(unreadable))
}

/// The prover beside this program, else the one on the PATH.
fn beside_this() -> PathBuf {
    let name = format!("ambit-prove{}", std::env::consts::EXE_SUFFIX);
    let beside = std::env::current_exe().ok().map(|this| this.with_file_name(&name));
    beside.filter(|path| path.is_file()).unwrap_or_else(|| name.into())
}

/// The prover's answer: see `ambit-prove --help`.
#[derive(Debug, Deserialize)]
struct Report {
    verdict: Verdict,
    solver: Option<String>,
    answers: Vec<Answer>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Proved,
    Refuted,
    NotProved,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Question {
    NeverErrs,
    Invariant,
    NothingNew,
}

#[derive(Debug, Deserialize)]
struct Answer {
    question: Question,
    #[serde(default)]
    id: String,
    about: String,
    verdict: Verdict,
    findings: Vec<Finding>,
}

#[derive(Debug, Deserialize)]
struct Finding {
    action: String,
    resource: String,
    detail: Option<String>,
    counterexample: Option<Counterexample>,
}

#[derive(Debug, Deserialize)]
struct Counterexample {
    text: String,
}

impl Report {
    /// For people: a line for what is proved, and below the rest why it is not.
    fn tell(&self) -> String {
        let mut told = String::new();
        let errs = || self.answers.iter().filter(|answer| answer.question == Question::NeverErrs);
        if errs().all(|answer| answer.verdict == Verdict::Proved) {
            let _ =
                writeln!(told, "proved      each of the {} policies can always be evaluated", errs().count());
        }
        for answer in &self.answers {
            answer.tell(self.solver.is_some(), &mut told);
        }
        if self.solver.is_none() {
            let mut reasons = self.answers.iter().flat_map(|answer| &answer.findings);
            let reason = reasons.find_map(|finding| finding.detail.as_deref());
            let _ = writeln!(told, "not proved: {}", reason.unwrap_or("there is no solver"));
        }
        let count = |verdict| self.answers.iter().filter(|answer| answer.verdict == verdict).count();
        let [proved, refuted, rest] = [Verdict::Proved, Verdict::Refuted, Verdict::NotProved].map(count);
        let by = self.solver.as_ref().map(|solver| format!(", by {solver}")).unwrap_or_default();
        let _ = write!(told, "{proved} proved, {refuted} refuted, {rest} not proved{by}");
        told
    }
}

impl Answer {
    fn tell(&self, solved: bool, told: &mut String) {
        let about = match self.question {
            Question::Invariant => format!("{}: {}", self.id, self.about),
            Question::NeverErrs | Question::NothingNew => self.about.clone(),
        };
        let word = match (self.verdict, self.question) {
            // Told in one line for all policies.
            (Verdict::Proved, Question::NeverErrs) => return,
            // Without a solver there is one reason for all.
            (Verdict::NotProved, _) if !solved => return,
            (Verdict::Proved, _) => "proved",
            (Verdict::Refuted, _) => "REFUTED",
            (Verdict::NotProved, _) => "not proved",
        };
        let _ = writeln!(told, "{word:<10}  {about}");
        let why: Vec<String> = self.findings.iter().filter_map(Finding::tell).collect();
        for line in why.iter().take(TOLD) {
            let _ = writeln!(told, "            {line}");
        }
        if why.len() > TOLD {
            let _ = writeln!(told, "            and {} more: see --json", why.len() - TOLD);
        }
    }
}

impl Finding {
    /// What is to be said about it, if it does not hold or nobody knows.
    fn tell(&self) -> Option<String> {
        let unknown = self.detail.as_ref();
        let counterexample = self.counterexample.as_ref().map(|counterexample| counterexample.text.clone());
        counterexample
            .or_else(|| unknown.map(|detail| format!("`{}` on {}: {detail}", self.action, self.resource)))
    }
}
