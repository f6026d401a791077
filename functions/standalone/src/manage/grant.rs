//! `ambit grant`.

use http::Method;
use serde_json::Value;

use super::Manner;
use super::things::GRANTS;
use crate::operate::Failure;
use crate::remote::part;
use crate::telling;

/// Plain grants: who may use what, without conditions.
///
/// For one with a condition, write a policy (`ambit policy`).
#[derive(Debug, clap::Args)]
pub(crate) struct Grant {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    manner: Manner,
}

#[derive(Debug, clap::Args)]
struct Pair {
    /// Who: `agent:NAME`, `team:NAME`, or `everybody`.
    holder: String,
    /// What: `toolbox:NAME`, `server:NAME`, or `tool:SERVER:NAME`.
    resource: String,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// List them.
    List {
        /// Only those of `agent:NAME`, `team:NAME`, or `everybody`.
        #[arg(long)]
        holder: Option<String>,
        /// Only those of `toolbox:NAME`, `server:NAME`, or `tool:SERVER:NAME`.
        #[arg(long)]
        resource: Option<String>,
    },
    /// Grant something.
    Add(Pair),
    /// Take it back.
    Revoke(Pair),
}

pub(crate) fn run(options: &Grant) -> Result<(), Failure> {
    let work = options.manner.open()?;
    match &options.verb {
        Verb::List { holder, resource } => {
            work.list(&GRANTS, &[("holder", holder.as_deref()), ("resource", resource.as_deref())])
        }
        Verb::Add(pair) => {
            let answer = work.gateway.ask(Method::PUT, &pair.address(), &Value::Null)?;
            if work.json {
                return work.tell(&answer);
            }
            telling::say(&format!("{} may use {}", pair.holder, pair.resource))
        }
        Verb::Revoke(pair) => {
            work.end(&pair.address(), &format!("{} may not use {} by grant", pair.holder, pair.resource))
        }
    }
}

impl Pair {
    fn address(&self) -> String {
        format!("{}/{}/{}", GRANTS.path, part(&self.holder), part(&self.resource))
    }
}
