//! `ambit policy`: the workbench of whoever writes policies.

mod advise;
mod check;
mod diff;
mod directory;
mod explain;
mod init;
mod prove;
mod publish;
mod pull;
mod reach;
mod records;
mod replay;
mod shadow;
mod telling;
mod test;

use std::io::Write as _;
use std::process::ExitCode;

pub(crate) use self::records::age;
use crate::operate::Failure;

/// Write policies, check and test them, see what they change, publish them.
///
/// Policies are Cedar files in a directory, kept with the rest of your code:
///
///   DIR/*.cedar              the policies; the built-in guardrails always come on top
///   DIR/cases/*.json         tests: a request, and what must be decided
///   DIR/access.txt           who may do what, written by `test --update`; review its diff
///   DIR/inventory.json       agents, people, servers and tools, written by `pull`
///   DIR/tools/<server>.json  approved tool definitions: types of `context.input`
///   DIR/invariants/*.cedar   what must never be allowed, for `prove`
///
/// The way of a change:
///
///   init or pull   once, for a new directory
///   edit           any editor; `ambit.cedarschema` lets it complete and check names
///   check          errors with file, line and column; `--fix` lays the files out
///   test           cases hold, and access.txt shows what changed
///   replay         what the change would have decided otherwise, over recorded calls
///   publish        check, test, replay and proof once more, then in force at the next call
///   rollback       back to an earlier version
///
/// Why was that denied: `explain`. Who may do it: `who-can`, `what-can`. What is too much: `advise`.
///
/// Every command ends with 0 if all is well, 1 if it found something wrong, 2 if it could not do its work. `prove` and `publish`
/// know one more: see their --help.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Policy {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Init(init::Init),
    Check(check::Check),
    Test(test::Test),
    Diff(diff::Diff),
    Replay(replay::Replay),
    Explain(explain::Explain),
    WhoCan(reach::WhoCan),
    WhatCan(reach::WhatCan),
    Advise(advise::Advise),
    Prove(prove::Prove),
    Pull(pull::Pull),
    Publish(publish::Publish),
    History(publish::History),
    Rollback(publish::Rollback),
    Proposals(publish::Proposals),
    Shadow(shadow::Shadow),
}

/// Something is wrong with the policies.
const WRONG: ExitCode = ExitCode::FAILURE;

/// The work could not be done.
const UNDONE: u8 = 2;

pub(crate) fn run(policy: &Policy) -> ExitCode {
    let done = match &policy.command {
        Command::Init(options) => init::run(options),
        Command::Check(options) => check::run(options),
        Command::Test(options) => test::run(options),
        Command::Diff(options) => diff::run(options),
        Command::Replay(options) => replay::run(options),
        Command::Explain(options) => explain::run(options),
        Command::WhoCan(options) => reach::who_can(options),
        Command::WhatCan(options) => reach::what_can(options),
        Command::Advise(options) => advise::run(options),
        Command::Prove(options) => prove::run(options),
        Command::Pull(options) => pull::run(options),
        Command::Publish(options) => publish::run(options),
        Command::History(options) => publish::history(options),
        Command::Rollback(options) => publish::rollback(options),
        Command::Proposals(options) => publish::proposals(options),
        Command::Shadow(options) => shadow::run(options),
    };
    done.unwrap_or_else(|error: Failure| {
        let _ = writeln!(std::io::stderr(), "error: {error}");
        ExitCode::from(UNDONE)
    })
}
