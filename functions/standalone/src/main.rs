//! `ambit`: the gateway on this machine, and its command line.

mod arguments;
mod dev;
mod logging;
mod manage;
mod operate;
mod operator;
mod policy;
mod remote;
mod telling;

use std::process::ExitCode;

use clap::Parser as _;

use crate::arguments::{Arguments, Command};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // Who serves wants to see that it does; at a terminal the answer is enough.
    let usual = match arguments.command {
        Command::Serve(_) | Command::Dev(_) | Command::Migrate(_) => "info",
        Command::Policy(_) | Command::Manage(_) | Command::Completion(_) => "warn",
    };
    logging::start(arguments.json_logs, usual);
    let done = match arguments.command {
        Command::Serve(options) => operate::serve(&options),
        Command::Dev(options) => dev::run(&options),
        Command::Migrate(options) => operate::migrate(&options),
        Command::Policy(options) => return policy::run(&options),
        Command::Manage(command) => return manage::run(&command),
        Command::Completion(options) => return options.run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}
