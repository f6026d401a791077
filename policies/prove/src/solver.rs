//! The SMT solver: a `cvc5` on this machine, or the library of that name in a Python environment.

use std::ffi::OsString;
use std::process::Stdio;

use cedar_policy_symcc::solver::LocalSolver;
use tokio::process::Command;

/// The cvc5 of `PyPI` as a program that reads from standard input.
const PYTHON_SOLVER: &str = include_str!("../cvc5.py");

/// A solver that answered when it was asked for its version.
#[derive(Debug, Clone)]
pub(crate) struct Solver {
    program: OsString,
    arguments: Vec<&'static str>,
    /// Name and version.
    pub(crate) name: String,
}

impl Solver {
    /// The one named by the environment variable `CVC5`, else `cvc5` on the `PATH`, else the library of the Python given.
    pub(crate) fn find(python: &OsString) -> Result<Self, String> {
        let executable = |program: OsString| {
            let version = ask(&program, &["--version"])?;
            let version =
                version.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit()));
            let name = format!("cvc5 {}", version.unwrap_or("of unknown version"));
            Some(Self { program, arguments: vec!["--lang", "smt", "--quiet"], name })
        };
        if let Some(program) = std::env::var_os("CVC5").filter(|program| !program.is_empty()) {
            let shown = program.to_string_lossy().into_owned();
            return executable(program)
                .ok_or_else(|| format!("`CVC5` names `{shown}`, which does not answer to `--version`"));
        }
        // Isolated (-I): a file `cvc5.py` in this folder is not the library.
        let library = || {
            let version = ask(python, &["-I", "-c", "import cvc5; print(cvc5.__version__)"])?;
            let name = format!("cvc5 {} of Python", version.trim());
            Some(Self { program: python.clone(), arguments: vec!["-I", "-c", PYTHON_SOLVER], name })
        };
        executable("cvc5".into()).or_else(library).ok_or_else(|| {
            let python = python.to_string_lossy();
            format!(
                "there is no `cvc5` on the PATH, and `{python}` has no module `cvc5`; install the one, or `pip install \
                 cvc5==1.4.2` into a Python environment and name its interpreter by AMBIT_PROVER_PYTHON"
            )
        })
    }

    /// Starts it. It ends when it is dropped.
    pub(crate) fn start(&self) -> Result<LocalSolver, String> {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).kill_on_drop(true);
        LocalSolver::from_command(&mut command)
            .map_err(|error| format!("{} does not start: {error}", self.name))
    }
}

fn ask(program: &OsString, arguments: &[&str]) -> Option<String> {
    let mut command = std::process::Command::new(program);
    let output = command.args(arguments).stdin(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}
