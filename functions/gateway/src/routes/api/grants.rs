//! Plain grants: to an agent, to a team, to everybody in the organisation. A holder is `agent:{name}`, `team:{name}` or `everybody`; what
//! it is granted is `toolbox:{name}`, `server:{name}` or `tool:{server}:{tool}`.

use schemas::names::{AgentName, ServerName, TeamName, ToolName, ToolboxName};
use serde_json::{Value, json};

use super::problem::ApiError;
use super::{Desk, people, servers, teams};
use crate::platform::Platform;
use crate::store::admin;

/// Adds a grant; one that is there stays.
pub(super) async fn add<P: Platform>(
    desk: &Desk<'_, P>,
    holder: &str,
    what: &str,
) -> Result<Value, ApiError> {
    let (title, holder) = find(desk, holder).await?;
    let resource = resource(desk, what).await?;
    let statement = admin::grant(&desk.org.id, &holder, &resource, desk.by(), desk.platform.now());
    desk.change("grant.add", format!("{title} may use {what}"), vec![statement]).await?;
    Ok(json!({ "granted": true }))
}

/// Takes one back.
pub(super) async fn revoke<P: Platform>(
    desk: &Desk<'_, P>,
    holder: &str,
    what: &str,
) -> Result<Value, ApiError> {
    let (title, holder) = find(desk, holder).await?;
    let resource = resource(desk, what).await?;
    let statement = admin::revoke_grant(&holder, &resource);
    desk.change("grant.revoke", format!("{title} may not use {what} by grant"), vec![statement]).await?;
    Ok(json!({ "granted": false }))
}

/// The holder in words, and as the store names it.
async fn find<P: Platform>(desk: &Desk<'_, P>, holder: &str) -> Result<(String, String), ApiError> {
    match holder.split_once(':') {
        Some(("agent", name)) => {
            let name = AgentName::parse(name)?;
            let id = people::agent(desk, &name).await?;
            Ok((format!("agent `{name}`"), format!("agent:{id}")))
        }
        Some(("team", name)) => {
            let name = TeamName::parse(name)?;
            let id = teams::find(desk, &name).await?;
            Ok((format!("team `{name}`"), format!("team:{id}")))
        }
        None if holder == "everybody" => Ok(("every agent".to_owned(), format!("org:{}", desk.org.id))),
        _ => Err(ApiError::Malformed("a holder is `agent:{name}`, `team:{name}` or `everybody`".into())),
    }
}

/// How the store names what is granted.
async fn resource<P: Platform>(desk: &Desk<'_, P>, what: &str) -> Result<String, ApiError> {
    let kinds = || {
        ApiError::Malformed(
            "what is granted is `toolbox:{name}`, `server:{name}` or `tool:{server}:{tool}`".into(),
        )
    };
    match what.split_once(':').ok_or_else(kinds)? {
        ("toolbox", name) => {
            let name = ToolboxName::parse(name)?;
            let id = admin::toolbox(desk.platform, &desk.org.id, &name).await?;
            id.map(|id| format!("toolbox:{id}"))
                .ok_or_else(|| ApiError::NotFound(format!("toolbox `{name}`")))
        }
        ("server", name) => {
            Ok(format!("server:{}", servers::find_server(desk, &ServerName::parse(name)?).await?))
        }
        ("tool", name) => {
            let (server, tool) = name.split_once(':').ok_or_else(kinds)?;
            let tool = ToolName::parse(tool)?;
            let server = servers::find_server(desk, &ServerName::parse(server)?).await?;
            Ok(format!("tool:{server}/{tool}"))
        }
        _ => Err(kinds()),
    }
}
