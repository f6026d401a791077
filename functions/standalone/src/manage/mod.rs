//! `ambit agent`, `ambit key` and so on: an organisation, managed from a terminal. Every command is one or a few requests to the management
//! API, and shows what that says: as tables for people, or with `--json` exactly as the API has it.

mod agent;
mod client;
mod completion;
mod connection;
mod grant;
mod idp;
mod key;
mod login;
mod org;
mod provider;
mod server;
mod table;
mod team;
mod things;
mod tool;
mod toolbox;
mod user;
mod vault;
mod work;

use std::io::Write as _;
use std::process::ExitCode;

pub(crate) use self::completion::Completion;
use self::work::Work;
use crate::operate::Failure;
use crate::remote::{At, Usage};

/// How every one of these commands works: on which gateway, and for whom to read.
#[derive(Debug, clap::Args)]
struct Manner {
    /// Print JSON, exactly as the management API has it.
    #[arg(long, global = true)]
    json: bool,
    #[command(flatten)]
    at: At,
}

impl Manner {
    /// At work on the organisation that is meant.
    fn open(&self) -> Result<Work, Failure> {
        Ok(Work { gateway: self.at.open()?, json: self.json })
    }

    /// At work on a gateway, whether or not an organisation is named.
    fn open_anywhere(&self) -> Result<Work, Failure> {
        Ok(Work { gateway: self.at.open_anywhere()?, json: self.json })
    }
}

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    Login(login::Login),
    Logout(login::Logout),
    Whoami(login::Whoami),
    Org(org::Org),
    User(user::User),
    Team(team::Team),
    Agent(agent::Agent),
    Key(key::Key),
    Toolbox(toolbox::Toolbox),
    Server(server::Server),
    Tool(tool::Tool),
    Grant(grant::Grant),
    Client(client::Client),
    Idp(idp::Idp),
    Provider(provider::Provider),
    Connection(connection::Connection),
    Vault(vault::Vault),
}

/// It was asked for in a way that makes no sense: as the arguments' own errors are told.
const MISUSED: u8 = 2;

pub(crate) fn run(command: &Command) -> ExitCode {
    let done = match command {
        Command::Login(options) => login::login(options),
        Command::Logout(options) => login::logout(options),
        Command::Whoami(options) => login::whoami(options),
        Command::Org(options) => org::run(options),
        Command::User(options) => user::run(options),
        Command::Team(options) => team::run(options),
        Command::Agent(options) => agent::run(options),
        Command::Key(options) => key::run(options),
        Command::Toolbox(options) => toolbox::run(options),
        Command::Server(options) => server::run(options),
        Command::Tool(options) => tool::run(options),
        Command::Grant(options) => grant::run(options),
        Command::Client(options) => client::run(options),
        Command::Idp(options) => idp::run(options),
        Command::Provider(options) => provider::run(options),
        Command::Connection(options) => connection::run(options),
        Command::Vault(options) => vault::run(options),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: {error}");
            if error.is::<Usage>() { ExitCode::from(MISUSED) } else { ExitCode::FAILURE }
        }
    }
}

/// `NAME=VALUE`.
fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write NAME=VALUE".to_owned()),
    }
}
