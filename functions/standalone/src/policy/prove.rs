//! `ambit policy prove`: what the policies of a directory can never allow, whatever anybody asks.
//!
//! The proof is made by `ambit-prove`, a program of its own: it needs an SMT solver and a Cedar that proves, and a gateway needs
//! neither. Without them nothing is proved, and that is what is said.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use policies::{PolicySource, PublishError, SourceFile, compile};
use schemas::inventory::ToolDefinition;
use serde_json::{Value, json};

use crate::operate::Failure;

/// Prove what policies never allow, or show a request that they do allow.
///
/// Asks whether every policy can always be evaluated, whether Ambit's own invariants and those in DIR/invariants hold for every
/// request there can be, and with --old whether anything is newly allowed.
///
/// Exit code: 0 all is proved, 1 something is refuted, 3 something is not proved (there is no prover, or no solver, or not enough
/// time), 2 the arguments or the policies are wrong.
#[derive(Debug, clap::Args)]
pub(crate) struct Prove {
    /// Directory of an organisation's own policies: *.cedar, tools/<server>.json, invariants/*.cedar.
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

/// Something is not proved.
const NOT_PROVED: u8 = 3;
/// The arguments or the policies are wrong.
const WRONG: u8 = 2;

/// How many counterexamples of one question are told; `--json` has them all.
const TOLD: usize = 3;

pub(crate) fn run(options: &Prove) -> Result<ExitCode, Failure> {
    let task = match task(options) {
        Ok(task) => task,
        Err(reason) => {
            writeln!(io::stderr(), "{reason}")?;
            return Ok(ExitCode::from(WRONG));
        }
    };
    let start = Instant::now();
    let report = match ask(options, &task)? {
        Asked::Answered(report) => report,
        Asked::Refused(reason) => {
            writeln!(io::stderr(), "{reason}")?;
            return Ok(ExitCode::from(WRONG));
        }
        Asked::Unanswered(reason) => {
            if options.json {
                let report = json!({ "v": 1, "verdict": "not_proved", "solver": null, "answers": [], "problem": reason });
                writeln!(io::stdout(), "{report}")?;
            }
            writeln!(io::stderr(), "not proved: {reason}")?;
            return Ok(ExitCode::from(NOT_PROVED));
        }
    };
    if options.json {
        writeln!(io::stdout(), "{report}")?;
    } else {
        let told = tell(&report);
        writeln!(io::stdout(), "{told} ({:.1} s)", start.elapsed().as_secs_f64())?;
    }
    Ok(match word(&report, "verdict") {
        "proved" => ExitCode::SUCCESS,
        "refuted" => ExitCode::FAILURE,
        _ => ExitCode::from(NOT_PROVED),
    })
}

/// What the prover is given: everything is checked before, so that errors have their places.
fn task(options: &Prove) -> Result<Value, Failure> {
    let new = Directory::read(&options.dir)?;
    let old = options.old.as_deref().map(Directory::read).transpose()?;
    // One schema for all: with the typed action of every tool that any of them names.
    let files = [&new.policies, &new.invariants].into_iter().chain(old.as_ref().map(|old| &old.policies));
    let everything = PolicySource::with_built_in(files.flatten().cloned().collect());
    let definitions = new.tools.iter().chain(old.iter().flat_map(|old| &old.tools)).cloned();
    let everything = everything.with_tools(definitions);
    let with_tools = |files: Vec<SourceFile>| PolicySource { files, ..everything.clone() };
    let set = |own: &[SourceFile]| with_tools(PolicySource::with_built_in(own.to_vec()).files);
    let policies = set(&new.policies);
    check(&options.dir, &policies)?;
    check(&options.dir.join("invariants"), &with_tools(new.invariants.clone()))?;
    let old = old.map(|old| set(&old.policies));
    if let (Some(dir), Some(old)) = (&options.old, &old) {
        check(dir, old)?;
    }
    Ok(json!({
        "schema": everything.schema_text()?,
        "policies": policies.files,
        "old": old.map(|old| old.files),
        "invariants": new.invariants,
    }))
}

fn check(dir: &Path, source: &PolicySource) -> Result<(), Failure> {
    compile(source)
        .map(|_| ())
        .map_err(|error: PublishError| format!("in {}:\n{error}", dir.display()).into())
}

/// An organisation's own policies, as a directory.
#[derive(Debug, Default)]
struct Directory {
    policies: Vec<SourceFile>,
    invariants: Vec<SourceFile>,
    tools: Vec<ToolDefinition>,
}

impl Directory {
    fn read(dir: &Path) -> Result<Self, Failure> {
        if !dir.is_dir() {
            return Err(format!("`{}` is no directory", dir.display()).into());
        }
        let mut read =
            Self { policies: cedar(dir)?, invariants: cedar(&dir.join("invariants"))?, tools: Vec::new() };
        for path in files(&dir.join("tools"), "json")? {
            let server = path.file_stem().and_then(OsStr::to_str).unwrap_or_default().parse()?;
            let definitions: Value = serde_json::from_str(&text(&path)?)
                .map_err(|error| format!("`{}` is no JSON: {error}", path.display()))?;
            // What `tools/list` answers, or the definitions alone.
            let definitions = definitions.get("tools").unwrap_or(&definitions);
            let definitions = definitions.as_array().ok_or_else(|| {
                format!(
                    "`{}` is no list of tool definitions; write what `tools/list` answers",
                    path.display()
                )
            })?;
            let of = |definition: &Value| ToolDefinition {
                server: Clone::clone(&server),
                definition: definition.clone(),
            };
            read.tools.extend(definitions.iter().map(of));
        }
        Ok(read)
    }
}

fn cedar(dir: &Path) -> Result<Vec<SourceFile>, Failure> {
    let named = |path: PathBuf| {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        Ok(SourceFile::new(name, text(&path)?))
    };
    files(dir, "cedar")?.into_iter().map(named).collect()
}

/// Files of a kind, by name. A directory that is not there has none.
fn files(dir: &Path, extension: &str) -> Result<Vec<PathBuf>, Failure> {
    if !dir.exists() {
        return Ok(Vec::new());
    }
    let cannot = |error: io::Error| format!("cannot read `{}`: {error}", dir.display());
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).map_err(cannot)? {
        let path = entry.map_err(cannot)?.path();
        if path.is_file() && path.extension() == Some(OsStr::new(extension)) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn text(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|error| format!("cannot read `{}`: {error}", path.display()).into())
}

/// How it went with the prover.
enum Asked {
    Answered(Value),
    /// It does not accept the policies, or the arguments.
    Refused(String),
    /// It is not there, or broke down.
    Unanswered(String),
}

fn ask(options: &Prove, task: &Value) -> Result<Asked, Failure> {
    let program = options.prover.clone().unwrap_or_else(beside_this);
    let mut command = Command::new(&program);
    command.arg("--timeout").arg(options.timeout.to_string());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            return Ok(Asked::Unanswered(format!(
                "`{}` does not start ({error}); build it with `cargo build` in policies/prove, and put it beside this program \
                 or on the PATH, or name it by AMBIT_PROVER",
                program.display()
            )));
        }
    };
    if let Some(mut input) = child.stdin.take() {
        // If it stopped reading, its exit code and its words say more than the broken pipe.
        let _ = input.write_all(task.to_string().as_bytes());
    }
    let output = child.wait_with_output()?;
    let words = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if output.status.code() == Some(i32::from(WRONG)) {
        return Ok(Asked::Refused(words));
    }
    match serde_json::from_slice::<Value>(&output.stdout) {
        Ok(report) if report.get("v") == Some(&json!(1)) => Ok(Asked::Answered(report)),
        Ok(_) | Err(_) => Ok(Asked::Unanswered(format!(
            "`{}` gave no answer that this program reads ({}): {words}",
            program.display(),
            output.status
        ))),
    }
}

/// The prover beside this program, else the one on the PATH.
fn beside_this() -> PathBuf {
    let name = format!("ambit-prove{}", std::env::consts::EXE_SUFFIX);
    let beside = std::env::current_exe().ok().map(|this| this.with_file_name(&name));
    beside.filter(|path| path.is_file()).unwrap_or_else(|| name.into())
}

fn word<'v>(value: &'v Value, field: &str) -> &'v str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn list<'v>(value: &'v Value, field: &str) -> &'v [Value] {
    value.get(field).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// The answer for people: one line for what is proved, and for the rest the reasons below it.
fn tell(report: &Value) -> String {
    let mut lines = Vec::new();
    let answers = list(report, "answers");
    let count = |verdict: &str| answers.iter().filter(|answer| word(answer, "verdict") == verdict).count();
    let errs = |answer: &&Value| word(answer, "question") == "never_errs";
    let policies = answers.iter().filter(errs).count();
    if answers.iter().filter(errs).all(|answer| word(answer, "verdict") == "proved") {
        lines.push(format!("proved      each of the {policies} policies can always be evaluated"));
    }
    let solver = report.get("solver").and_then(Value::as_str);
    for answer in answers {
        let about = match (word(answer, "question"), word(answer, "id")) {
            ("invariant", id) => format!("{id}: {}", word(answer, "about")),
            _ => word(answer, "about").to_owned(),
        };
        match word(answer, "verdict") {
            "proved" if errs(&answer) => {}
            "proved" => lines.push(format!("proved      {about}")),
            "refuted" => {
                lines.push(format!("REFUTED     {about}"));
                lines.extend(counterexamples(answer));
            }
            // Without a solver there is one reason for all, told once below.
            _ if solver.is_none() => {}
            _ => {
                lines.push(format!("not proved  {about}"));
                lines.extend(reasons(answer));
            }
        }
    }
    if solver.is_none() {
        let findings = answers.iter().flat_map(|answer| list(answer, "findings"));
        let reason = findings.map(|finding| word(finding, "detail")).find(|detail| !detail.is_empty());
        lines.push(format!("not proved: {}", reason.unwrap_or("there is no solver")));
    }
    let (proved, refuted, unproved) = (count("proved"), count("refuted"), count("not_proved"));
    let by = solver.map(|solver| format!(", by {solver}")).unwrap_or_default();
    lines.push(format!("{proved} proved, {refuted} refuted, {unproved} not proved{by}"));
    lines.join("\n")
}

fn counterexamples(answer: &Value) -> Vec<String> {
    let texts = list(answer, "findings").iter().filter_map(|finding| finding.pointer("/counterexample/text"));
    let texts: Vec<&str> = texts.filter_map(Value::as_str).collect();
    let mut lines: Vec<String> = texts.iter().take(TOLD).map(|text| format!("            {text}")).collect();
    if texts.len() > TOLD {
        lines.push(format!("            and {} more kinds of requests: see --json", texts.len() - TOLD));
    }
    lines
}

fn reasons(answer: &Value) -> Vec<String> {
    let unproved = list(answer, "findings").iter().filter(|finding| word(finding, "verdict") == "not_proved");
    let told = unproved.map(|finding| {
        let (action, resource) = (word(finding, "action"), word(finding, "resource"));
        format!("            `{action}` on {resource}: {}", word(finding, "detail"))
    });
    told.take(TOLD).collect()
}
