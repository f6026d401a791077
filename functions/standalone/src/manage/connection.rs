//! `ambit connection`.

use super::Manner;
use super::things::CONNECTIONS;
use crate::operate::Failure;

/// People's accounts at providers.
#[derive(Debug, clap::Args)]
pub(crate) struct Connection {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    manner: Manner,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// List yours; all, if you administer.
    List {
        /// Only those at this provider.
        #[arg(long, value_name = "NAME")]
        provider: Option<String>,
        /// Only those of this person.
        #[arg(long, value_name = "NAME")]
        user: Option<String>,
    },
    /// Show one.
    Show { id: String },
    /// Disconnect one: what is held of it is erased, and its provider told.
    #[command(alias = "rm")]
    Delete { id: String },
}

pub(crate) fn run(options: &Connection) -> Result<(), Failure> {
    let work = options.manner.open()?;
    match &options.verb {
        Verb::List { provider, user } => {
            work.list(&CONNECTIONS, &[("provider", provider.as_deref()), ("user", user.as_deref())])
        }
        Verb::Show { id } => work.show(&CONNECTIONS, id),
        Verb::Delete { id } => work.delete(&CONNECTIONS, id),
    }
}
