//! `ambit policy who-can` and `what-can`.

use std::path::PathBuf;
use std::process::ExitCode;

use policies::reach::{Can, Condition, Reach, Reaching};

use super::directory::PolicyDirectory;
use super::telling;
use crate::operate::Failure;

/// Say which agents can call a tool, and on which conditions.
///
/// Needs inventory.json. Asked is a call for an active person of the organisation, or for nobody.
///
/// Exit code: 0 answered, 2 the tool is not there or the policies can't be read.
#[derive(Debug, clap::Args)]
pub(crate) struct WhoCan {
    /// The tool, as server/tool.
    pub(crate) tool: String,
    /// Directory of policies.
    #[arg(long, default_value = ".")]
    pub(crate) dir: PathBuf,
    /// Name those too who cannot.
    #[arg(long)]
    pub(crate) all: bool,
    /// Print the answer as one JSON document.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Say which tools an agent can call, and on which conditions.
///
/// Needs inventory.json. Asked is a call for an active person of the organisation, or for nobody.
///
/// Exit code: 0 answered, 2 the agent is not there or the policies can't be read.
#[derive(Debug, clap::Args)]
pub(crate) struct WhatCan {
    /// The agent.
    pub(crate) agent: String,
    /// Directory of policies.
    #[arg(long, default_value = ".")]
    pub(crate) dir: PathBuf,
    /// Name those too that it cannot.
    #[arg(long)]
    pub(crate) all: bool,
    /// Print the answer as one JSON document.
    #[arg(long)]
    pub(crate) json: bool,
}

pub(crate) fn who_can(options: &WhoCan) -> Result<ExitCode, Failure> {
    let directory = PolicyDirectory::read(&options.dir)?;
    let set = directory.compile()?;
    let found = Reaching::new(&set, directory.needed_inventory()?)?.who_can(&options.tool)?;
    tell(&found, options.all, options.json, "no agent can", |reach| &reach.agent)
}

pub(crate) fn what_can(options: &WhatCan) -> Result<ExitCode, Failure> {
    let directory = PolicyDirectory::read(&options.dir)?;
    let set = directory.compile()?;
    let found = Reaching::new(&set, directory.needed_inventory()?)?.what_can(&options.agent)?;
    tell(&found, options.all, options.json, "it can call nothing", |reach| &reach.tool)
}

fn tell(
    found: &[Reach],
    all: bool,
    as_json: bool,
    nothing: &str,
    name: fn(&Reach) -> &str,
) -> Result<ExitCode, Failure> {
    let shown: Vec<&Reach> = found.iter().filter(|reach| all || reach.can != Can::Never).collect();
    if as_json {
        telling::json(&shown)?;
        return Ok(ExitCode::SUCCESS);
    }
    if shown.is_empty() {
        telling::say(nothing)?;
    }
    let width = shown.iter().map(|reach| name(reach).chars().count()).max().unwrap_or(0);
    for reach in shown {
        let through = format!("{:<width$}  through {}", name(reach), reach.toolbox);
        match reach.can {
            Can::Always => telling::say(&format!("{through}  always"))?,
            Can::Never => telling::say(&format!("{through}  never"))?,
            Can::Sometimes => {
                telling::say(&through)?;
                conditions(reach)?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn conditions(reach: &Reach) -> Result<(), Failure> {
    for (index, condition) in reach.when.iter().enumerate() {
        let word = if index == 0 { "only when" } else { "or when  " };
        telling::say(&format!("  {word}  {}", text(condition)))?;
    }
    for condition in &reach.unless {
        match &condition.obligation {
            Some(obligation) if condition.all.is_empty() => {
                telling::say(&format!("  asks for {obligation}  [{}]", condition.policy))?;
            }
            Some(obligation) => telling::say(&format!("  asks for {obligation} when  {}", text(condition)))?,
            None => telling::say(&format!("  never when  {}", text(condition)))?,
        }
    }
    Ok(())
}

fn text(condition: &Condition) -> String {
    format!("{}  [{}]", condition.all.join(" && "), condition.policy)
}
