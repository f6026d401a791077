//! Plain grants: to an agent, to a team, to everybody in the organisation. A holder is `agent:{name}`, `team:{name}` or `everybody`; what
//! it is granted is `toolbox:{name}`, `server:{name}` or `tool:{server}:{tool}`.

use schemas::names::{AgentName, ServerName, TeamName, ToolName, ToolboxName};

use super::desk::{Change, Desk};
use super::problem::ApiError;
use super::reply::Reply;
use super::{agents, servers, teams, toolboxes};
use crate::platform::Platform;
use crate::store::admin;
pub(super) use crate::store::documents::GRANTS as KIND;
use crate::store::documents::Thing;

pub(super) async fn get<P: Platform>(
    desk: &Desk<'_, P>,
    holder: &str,
    what: &str,
) -> Result<Reply, ApiError> {
    desk.show(&thing(desk, holder, what)).await
}

/// Adds a grant; one that is there stays as it is.
pub(super) async fn put<P: Platform>(
    desk: &Desk<'_, P>,
    holder: &str,
    what: &str,
) -> Result<Reply, ApiError> {
    let (title, held_by) = find(desk, holder).await?;
    let resource = resource(desk, what).await?;
    let statement = admin::grant(&desk.org.id, &held_by, &resource, desk.by(), desk.platform.now());
    let told = format!("{title} may use {what}");
    let change = Change { action: "grant.add", told, statements: vec![statement] };
    desk.put(&thing(desk, holder, what), change).await
}

/// Takes one back.
pub(super) async fn delete<P: Platform>(
    desk: &Desk<'_, P>,
    holder: &str,
    what: &str,
) -> Result<Reply, ApiError> {
    let (title, held_by) = find(desk, holder).await?;
    let resource = resource(desk, what).await?;
    let told = format!("{title} may not use {what} by grant");
    let statements = vec![admin::revoke_grant(&held_by, &resource)];
    desk.delete(&thing(desk, holder, what), Change { action: "grant.revoke", told, statements }).await
}

fn thing<P: Platform>(desk: &Desk<'_, P>, holder: &str, what: &str) -> Thing {
    desk.thing(&KIND, format!("{holder} {what}"))
}

/// The holder in words, and as the store names it.
async fn find<P: Platform>(desk: &Desk<'_, P>, holder: &str) -> Result<(String, String), ApiError> {
    match holder.split_once(':') {
        Some(("agent", name)) => {
            let name = AgentName::parse(name)?;
            let id = agents::find(desk, &name).await?;
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
            Ok(format!("toolbox:{}", toolboxes::find(desk, &ToolboxName::parse(name)?).await?))
        }
        ("server", name) => Ok(format!("server:{}", servers::find(desk, &ServerName::parse(name)?).await?)),
        ("tool", name) => {
            let (server, tool) = name.split_once(':').ok_or_else(kinds)?;
            let tool = ToolName::parse(tool)?;
            let server = servers::find(desk, &ServerName::parse(server)?).await?;
            Ok(format!("tool:{server}/{tool}"))
        }
        _ => Err(kinds()),
    }
}
