//! `ambit team`.

use serde_json::{Map, Value, json};

use super::Manner;
use super::things::TEAMS;
use super::work::{given, patch, revised};
use crate::operate::Failure;
use crate::remote::Usage;

/// Teams: people, agents, and teams within them.
#[derive(Debug, clap::Args)]
pub(crate) struct Team {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    manner: Manner,
}

#[derive(Debug, clap::Args)]
struct Members {
    /// A person. Can be given more than once.
    #[arg(long = "user", value_name = "USER")]
    users: Vec<String>,
    /// An agent. Can be given more than once.
    #[arg(long = "agent", value_name = "AGENT")]
    agents: Vec<String>,
    /// A team within it, which has whatever is granted to it. Can be given more than once.
    #[arg(long = "team", value_name = "TEAM")]
    teams: Vec<String>,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// List them.
    List,
    /// Show one.
    Show { name: String },
    /// Make one.
    Create {
        name: String,
        #[command(flatten)]
        members: Members,
    },
    /// Let it have exactly these members, of every kind that is given.
    Set {
        name: String,
        #[command(flatten)]
        members: Members,
    },
    /// Add members.
    Add {
        name: String,
        #[command(flatten)]
        members: Members,
    },
    /// Take members out.
    Remove {
        name: String,
        #[command(flatten)]
        members: Members,
    },
    /// Take it away.
    Delete { name: String },
}

pub(crate) fn run(options: &Team) -> Result<(), Failure> {
    let work = options.manner.open()?;
    match &options.verb {
        Verb::List => work.list(&TEAMS, &[]),
        Verb::Show { name } => work.show(&TEAMS, name),
        Verb::Create { name, members } => {
            let Members { users, agents, teams } = members;
            work.create(&TEAMS, name, &json!({ "users": users, "agents": agents, "teams": teams }))
        }
        Verb::Set { name, members } => work.change(&TEAMS, name, members.given()),
        Verb::Add { name, members } => {
            members.some()?;
            work.revise(&TEAMS, name, |now| members.revise(now, true))
        }
        Verb::Remove { name, members } => {
            members.some()?;
            work.revise(&TEAMS, name, |now| members.revise(now, false))
        }
        Verb::Delete { name } => work.delete(&TEAMS, name),
    }
}

impl Members {
    fn kinds(&self) -> [(&'static str, &[String]); 3] {
        [("users", &self.users), ("agents", &self.agents), ("teams", &self.teams)]
    }

    fn given(&self) -> Map<String, Value> {
        patch(self.kinds().map(|(kind, these)| (kind, given(these))))
    }

    fn some(&self) -> Result<(), Failure> {
        if self.kinds().iter().all(|(_, these)| these.is_empty()) {
            return Err(Usage("say whom: --user, --agent or --team".to_owned()).into());
        }
        Ok(())
    }

    fn revise(&self, now: &Value, add: bool) -> Map<String, Value> {
        let revise = |(kind, these): (&'static str, &[String])| {
            (kind, (!these.is_empty()).then(|| revised(now, kind, these, add)))
        };
        patch(self.kinds().map(revise))
    }
}
