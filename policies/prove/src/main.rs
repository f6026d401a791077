//! Proves what a policy set can never allow, or shows a request that it does allow.
//!
//! Cedar's symbolic compiler turns policies into formulas over every request there can be, kind by kind (principal, action,
//! resource), and an SMT solver searches for a request that breaks a rule. None there is a proof; one is shown in words.
//!
//! | module | what |
//! |---|---|
//! | [`document`] | the JSON that is read and written |
//! | [`subject`] | schema, policies and invariants, and how the gateway reads a policy set |
//! | [`proving`] | the questions, and the threads that put them |
//! | [`solver`] | which solver there is |
//! | [`counterexample`] | the solver's finding, confirmed by Cedar and stripped to what matters |
//! | [`model`] | requests and entities as JSON, where facts can be changed |
//! | [`telling`] | a counterexample in words |

mod counterexample;
mod document;
mod model;
mod proving;
mod solver;
mod subject;
mod telling;

use std::ffi::OsString;
use std::io::{self, Read as _, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;

use crate::document::{Report, Task, Verdict};
use crate::proving::Effort;
use crate::solver::Solver;
use crate::subject::Subject;

const DOCUMENTS: &str = "\
Reads one JSON document from standard input:
  {\"schema\": TEXT, \"policies\": [{\"name\", \"text\"}], \"old\": [{\"name\", \"text\"}], \"invariants\": [{\"name\", \"text\"}]}
`old` (optional) are the policies in use: is anything newly allowed? `invariants` (optional) are Cedar forbids with @id and @doc:
no request that one matches is ever allowed. Those that Ambit always keeps are asked besides.

Writes one JSON document to standard output:
  {\"v\": 1, \"verdict\", \"solver\", \"answers\": [{\"question\", \"id\", \"file\", \"about\", \"verdict\", \"findings\":
    [{\"principal\", \"action\", \"resource\", \"verdict\", \"reason\", \"detail\", \"counterexample\", \"milliseconds\"}]}]}
`question` is never_errs, invariant or nothing_new; `verdict` is proved, refuted or not_proved; `reason` is no_solver, timeout,
solver_failed, unsupported or unconfirmed; `counterexample` has `text`, `policies`, and `request` and `entities` as Cedar's own
command line reads them.

Exit code: 0 all is proved, 1 something is refuted, 3 something is not proved, 2 the arguments or the input are wrong.

The solver is cvc5: the executable that CVC5 names, or `cvc5` on the PATH, or the module `cvc5` (1.4.2) of a Python.";

/// Proves what a Cedar policy set can never allow, or shows a request that it does allow.
#[derive(Debug, clap::Parser)]
#[command(version, about, after_help = DOCUMENTS)]
struct Arguments {
    /// Longest time for one question about one kind of request, in seconds.
    #[arg(long, default_value_t = 10.0, value_parser = seconds)]
    timeout: f64,
    /// Kinds of requests to ask about at the same time; by default one per core.
    #[arg(long)]
    jobs: Option<usize>,
    /// Python interpreter whose module `cvc5` is the solver if there is no executable.
    #[arg(long, default_value = "python3", env = "AMBIT_PROVER_PYTHON")]
    python: OsString,
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.001..=86_400.0).contains(&seconds) => Ok(seconds),
        Ok(_) | Err(_) => Err("not between 0.001 and 86400".to_owned()),
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match answer(&arguments) {
        Ok(Verdict::Proved) => ExitCode::SUCCESS,
        Ok(Verdict::Refuted) => ExitCode::FAILURE,
        Ok(Verdict::NotProved) => ExitCode::from(3),
        Err(reason) => {
            let _ = writeln!(io::stderr(), "{reason}");
            ExitCode::from(2)
        }
    }
}

fn answer(arguments: &Arguments) -> Result<Verdict, String> {
    let mut input = String::new();
    io::stdin().read_to_string(&mut input).map_err(|error| format!("cannot read standard input: {error}"))?;
    let task: Task =
        serde_json::from_str(&input).map_err(|error| format!("this is no task, see `--help`: {error}"))?;
    let subject = Subject::read(&task).map_err(|problems| problems.to_string())?;
    let solver = Solver::find(&arguments.python);
    let effort = Effort {
        timeout: Duration::from_secs_f64(arguments.timeout),
        jobs: arguments.jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from)),
    };
    let known = solver.as_ref().map_err(String::as_str);
    let answers = proving::prove(&subject, known, &effort).map_err(|error| error.to_string())?;
    let verdict = answers.iter().map(|answer| answer.verdict).max().unwrap_or(Verdict::NotProved);
    let report = Report { v: 1, verdict, solver: solver.ok().map(|solver| solver.name), answers };
    let mut output = serde_json::to_string(&report).map_err(|error| error.to_string())?;
    output.push('\n');
    io::stdout()
        .write_all(output.as_bytes())
        .map_err(|error| format!("cannot write standard output: {error}"))?;
    Ok(verdict)
}
