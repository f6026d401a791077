//! Makes the demo, or finds it: organisation `demo`, toolbox `demo`, agent `assistant` with a key, a policy file, and an owner.

use gateway::secret::Secret;
use http::Method;
use serde_json::{Value, json};
use standalone::data::DataDirectory;

use super::provision::Running;
use super::watch;
use crate::operate::Failure;
use crate::operator::Operator;

const KEY: &str = "demo.key";

/// What there is to announce.
pub(super) struct Demo {
    pub(super) key: Secret,
    /// Signs the owner in, once.
    pub(super) sign_in_url: String,
    /// A tool to call, and arguments for it.
    pub(super) example: Option<(String, &'static str)>,
}

pub(super) async fn demo(
    operator: &Operator<'_>,
    data: &DataDirectory,
    running: &Running,
    servers: &[String],
) -> Result<Demo, Failure> {
    operator.put("", &Value::Null).await?;
    // Whoever signs in may let any client act as the demo's agent. For your own agents, say which: `ambit agent allow`.
    if operator.ask(Method::GET, "/agents/assistant", &Value::Null).await?.is_none() {
        operator.put("/agents/assistant", &json!({ "clients": ["*"] })).await?;
    }
    watch::publish_first(operator, data).await?;
    let key = key(operator, data).await?;
    if operator.ask(Method::GET, "/toolboxes/demo", &Value::Null).await?.is_none() {
        operator.put("/toolboxes/demo", &json!({ "servers": [] })).await?;
    }
    let ready = provide(operator, running, servers).await?;
    let example = ready.first().and_then(|server| {
        let (tool, arguments) = match server.as_str() {
            "everything" => ("echo", r#"{"message":"hello"}"#),
            "time" => ("get_current_time", r#"{"timezone":"UTC"}"#),
            _ => return None,
        };
        Some((if ready.len() == 1 { tool.to_owned() } else { format!("{server}__{tool}") }, arguments))
    });
    Ok(Demo { key, sign_in_url: operator.owner_link().await?, example })
}

/// The demo agent's key: made once, kept in a file that only its owner can read.
async fn key(operator: &Operator<'_>, data: &DataDirectory) -> Result<Secret, Failure> {
    if let Some(key) = data.read_secret(KEY)? {
        return Ok(key);
    }
    let made = operator.ask(Method::POST, "/agents/assistant/keys", &json!({})).await?;
    let key =
        made.as_ref().and_then(|made| made.get("key")).and_then(Value::as_str).ok_or("no key was made")?;
    Ok(data.write_secret(KEY, &Secret::new(key.to_owned()))?)
}

/// Builds and registers the servers. Without Docker it says what is missing, and the gateway serves remote servers all the same.
async fn provide(
    operator: &Operator<'_>,
    running: &Running,
    servers: &[String],
) -> Result<Vec<String>, Failure> {
    let mut ready = Vec::new();
    for server in servers {
        let image = match running.build(server).await {
            Ok(image) => image,
            Err(error) => {
                tracing::warn!(
                    "server `{server}` can't run: {error}\n  Start Docker (`docker version` must show a server) or name a host with `--docker`, then start this again. \
                     Remote (URL) servers are served all the same."
                );
                continue;
            }
        };
        let known = operator.ask(Method::GET, &format!("/servers/{server}/tools"), &Value::Null).await?;
        if known.is_none() || image.fresh {
            tracing::info!("registering server `{server}` with {}", image.reference);
            let workload =
                json!({ "image": image.reference, "digest": image.digest, "transport": { "type": "stdio" } });
            operator
                .put(&format!("/servers/{server}"), &json!({ "workload": workload, "trust": "verified" }))
                .await?;
        }
        ready.push(server.clone());
    }
    let toolbox = operator.ask(Method::GET, "/toolboxes/demo", &Value::Null).await?.unwrap_or_default();
    let members: Vec<&str> = toolbox
        .get("servers")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|server| server.get("name").and_then(Value::as_str))
        .collect();
    if ready.iter().any(|server| !members.contains(&server.as_str())) {
        let all: Vec<Value> = members
            .iter()
            .copied()
            .chain(ready.iter().map(String::as_str).filter(|name| !members.contains(name)))
            .map(|name| json!({ "name": name }))
            .collect();
        operator.put("/toolboxes/demo", &json!({ "servers": all })).await?;
    }
    for server in &ready {
        inspect(operator, server).await?;
    }
    Ok(ready)
}

/// Looks at a server that was not looked at yet. The demo's servers touch nothing outside their containers, so their tools are
/// approved as neither destructive nor open-world; for your own servers, say what each tool really does.
async fn inspect(operator: &Operator<'_>, server: &str) -> Result<(), Failure> {
    let path = format!("/servers/{server}/tools");
    let known = operator.ask(Method::GET, &path, &Value::Null).await?.unwrap_or_default();
    if known.get("tools").and_then(Value::as_array).is_some_and(|tools| !tools.is_empty()) {
        return Ok(());
    }
    tracing::info!("starting server `{server}` in a container to pin its tools");
    let harmless =
        json!({ "readOnly": false, "destructive": false, "idempotent": false, "openWorld": false });
    let body = json!({ "approve": { "flags": harmless } });
    operator.ask(Method::POST, &format!("/toolboxes/demo/servers/{server}/inspect"), &body).await?;
    Ok(())
}
