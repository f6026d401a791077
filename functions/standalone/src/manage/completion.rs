//! `ambit completion`.

use std::io::Write as _;
use std::process::ExitCode;

use clap::CommandFactory as _;

use crate::arguments::Arguments;

/// Print what completes these commands in a shell.
///
/// For bash, `source <(ambit completion bash)` in `~/.bashrc` is all; zsh and fish read it from a directory of theirs.
#[derive(Debug, clap::Args)]
pub(crate) struct Completion {
    shell: clap_complete::Shell,
}

impl Completion {
    pub(crate) fn run(&self) -> ExitCode {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Arguments::command(), "ambit", &mut script);
        match std::io::stdout().write_all(&script) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        }
    }
}
