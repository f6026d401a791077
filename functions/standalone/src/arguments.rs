//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

/// Every AI agent gets exactly its ambit.
#[derive(Debug, clap::Parser)]
#[command(version, about, propagate_version = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
    /// Write logs as JSON lines. `RUST_LOG` chooses what is logged.
    #[arg(long, global = true)]
    pub(crate) json_logs: bool,
}

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Serve a gateway from a data directory.
    Serve(Serve),
    /// Gateway, provisioner and a demo toolbox on this machine, in one process.
    Dev(Dev),
    /// Bring the database to the newest migration, or take migrations back.
    Migrate(Migrate),
    Policy(crate::policy::Policy),
    #[command(flatten)]
    Manage(crate::manage::Command),
    Completion(crate::manage::Completion),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Serve {
    /// Address to listen on.
    #[arg(long, default_value = "127.0.0.1:8787", env = "AMBIT_LISTEN")]
    pub(crate) listen: SocketAddr,
    /// Directory with database and keys; made if it is not there.
    #[arg(long, default_value = ".ambit", env = "AMBIT_DATA")]
    pub(crate) data: PathBuf,
    /// The URL clients use, without a path. By default http and the address.
    #[arg(long, env = "AMBIT_PUBLIC_URL")]
    pub(crate) public_url: Option<String>,
    /// Where the provisioner is. Without one, only remote servers are served.
    #[arg(long, env = "AMBIT_PROVISIONER_URL")]
    pub(crate) provisioner_url: Option<String>,
    /// The organisation that the first start makes, with one person in it: its owner.
    #[arg(long, default_value = "main", env = "AMBIT_ORG")]
    pub(crate) org: schemas::names::OrgName,
    /// Web origins that may call besides our own.
    #[arg(long = "origin", env = "AMBIT_ORIGINS", value_delimiter = ',')]
    pub(crate) origins: Vec<String>,
    /// Longest time one call may take, in seconds.
    #[arg(long, default_value_t = 300, env = "AMBIT_CALL_LIMIT")]
    pub(crate) call_limit: u64,
    /// Threads; by default one per core.
    #[arg(long, env = "AMBIT_CORES")]
    pub(crate) cores: Option<usize>,
    /// How often one caller, or one network address, may ask in a minute, for each core: `call=12000 list=12000 manage=6000 sign-in=60
    /// token=600 register=30` unless you say otherwise; `call=off` for no limit.
    #[arg(long, default_value = "", hide_default_value = true, env = "AMBIT_RATES")]
    pub(crate) rates: gateway::Rates,
    /// How many agents, people, keys, toolboxes and servers an organisation may have, of each.
    #[arg(long, default_value_t = 10_000, env = "AMBIT_QUOTA")]
    pub(crate) quota: u32,
    /// A proxy stands before this: take the client's address from the last entry of X-Forwarded-For.
    #[arg(long, env = "AMBIT_TRUST_FORWARDED")]
    pub(crate) trust_forwarded: bool,
    /// Whether OAuth clients may register themselves (RFC 7591): `on` or `off`. Clients with a metadata document need not.
    #[arg(long, default_value = "on", value_parser = ["on", "off"], env = "AMBIT_REGISTRATION")]
    pub(crate) registration: String,
    /// Raise it to replace the keys that sign access tokens, after a leak: all tokens that are out are refused at once.
    #[arg(long, default_value_t = 0, env = "AMBIT_SIGNING_GENERATION")]
    pub(crate) signing_generation: u32,
    /// The root key of the vault: `local` (derived from the root key), `secret:NAME`, `transit:https://HOST/v1/transit/keys/NAME`,
    /// `aws-kms:ARN` or `gcp-kms:projects/…/cryptoKeys/NAME`. What it needs secret is taken from the environment.
    #[arg(long, default_value = "local", env = "AMBIT_VAULT_ROOT")]
    pub(crate) vault_root: String,
    /// Root keys from before, which still unwrap; separated by commas.
    #[arg(long, default_value = "", hide_default_value = true, env = "AMBIT_VAULT_ROOTS_BEFORE")]
    pub(crate) vault_roots_before: String,
    /// Where the key service of AWS or Google is asked, if not at its usual address.
    #[arg(long, env = "AMBIT_VAULT_ENDPOINT")]
    pub(crate) vault_endpoint: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Dev {
    /// Address to listen on.
    #[arg(long, default_value = "127.0.0.1:8787")]
    pub(crate) listen: SocketAddr,
    /// Directory with everything that is kept: database, keys, policies.
    #[arg(long, default_value = ".ambit")]
    pub(crate) data: PathBuf,
    /// Docker host that runs the servers.
    #[arg(long, default_value = "unix:///var/run/docker.sock", env = "DOCKER_HOST")]
    pub(crate) docker: String,
    /// Demo server to run, by its name in the catalogue: everything, time. Can be given more than once.
    #[arg(long = "server", default_values_t = ["everything".to_owned()])]
    pub(crate) servers: Vec<String>,
    /// Print one JSON line on stdout when ready, and nothing else there.
    #[arg(long)]
    pub(crate) ready_json: bool,
    /// Longest time one call may take, in seconds.
    #[arg(long, default_value_t = 300)]
    pub(crate) call_limit: u64,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Migrate {
    /// Directory with the database.
    #[arg(long, default_value = ".ambit", env = "AMBIT_DATA")]
    pub(crate) data: PathBuf,
    /// Take migrations back until this one is the newest; 0 empties the database.
    #[arg(long)]
    pub(crate) down_to: Option<i64>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn every_command_has_arguments_that_go_together() {
        super::Arguments::command().debug_assert();
    }
}
