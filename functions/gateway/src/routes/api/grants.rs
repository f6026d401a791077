//! Plain grants: to an agent, to a team, to everybody in the organisation.

use http::Method;
use schemas::names::{AgentName, ServerName, TeamName, ToolName, ToolboxName};
use serde_json::{Value, json};

use super::problem::ApiError;
use super::{Desk, people, teams};
use crate::platform::Platform;
use crate::store::admin;

/// Who is granted something.
pub(super) enum Holder<'a> {
    Agent(&'a str),
    Team(&'a str),
    Org,
}

/// Adds a grant, or takes it back. `what` is `toolbox/{name}`, `server/{name}` or `tool/{server}/{tool}`.
pub(super) async fn change<P: Platform>(
    desk: &Desk<'_, P>,
    method: &Method,
    holder: Holder<'_>,
    what: &[&str],
) -> Result<Value, ApiError> {
    let (title, holder) = find(desk, holder).await?;
    let resource = resource(desk, what).await?;
    let what = what.join("/");
    let granted = method == Method::PUT;
    let (verb, told, statement) = if granted {
        let statement = admin::grant(&desk.org.id, &holder, &resource, desk.by(), desk.platform.now());
        ("grant.add", format!("{title} may use {what}"), statement)
    } else {
        let statement = admin::revoke_grant(&holder, &resource);
        ("grant.revoke", format!("{title} may not use {what} by grant"), statement)
    };
    desk.change(verb, told, vec![statement]).await?;
    Ok(json!({ "granted": granted }))
}

/// The holder in words, and as the store names it.
async fn find<P: Platform>(desk: &Desk<'_, P>, holder: Holder<'_>) -> Result<(String, String), ApiError> {
    Ok(match holder {
        Holder::Agent(name) => {
            let name = AgentName::parse(name)?;
            let id = people::agent(desk, &name).await?;
            (format!("agent `{name}`"), format!("agent:{id}"))
        }
        Holder::Team(name) => {
            let name = TeamName::parse(name)?;
            let id = teams::find(desk, &name).await?;
            (format!("team `{name}`"), format!("team:{id}"))
        }
        Holder::Org => ("every agent".to_owned(), format!("org:{}", desk.org.id)),
    })
}

/// How the store names what is granted.
async fn resource<P: Platform>(desk: &Desk<'_, P>, what: &[&str]) -> Result<String, ApiError> {
    let server = async |name: &ServerName| {
        let id = admin::server(desk.platform, &desk.org.id, name).await?;
        id.ok_or_else(|| ApiError::NotFound(format!("server `{name}`")))
    };
    match what {
        ["toolbox", name] => {
            let name = ToolboxName::parse(name)?;
            let id = admin::toolbox(desk.platform, &desk.org.id, &name).await?;
            id.map(|id| format!("toolbox:{id}"))
                .ok_or_else(|| ApiError::NotFound(format!("toolbox `{name}`")))
        }
        ["server", name] => Ok(format!("server:{}", server(&ServerName::parse(name)?).await?)),
        ["tool", name, tool] => {
            let tool = ToolName::parse(tool)?;
            Ok(format!("tool:{}/{tool}", server(&ServerName::parse(name)?).await?))
        }
        _ => Err(ApiError::NotFound(
            "such kind of grant: use toolbox/{name}, server/{name} or tool/{server}/{tool}".into(),
        )),
    }
}
