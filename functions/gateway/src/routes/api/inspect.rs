//! Looking at a server: what it offers is recorded, its tools are pinned, and what was approved and is no longer so is `changed`.

use bytes::Bytes;
use schemas::audit::{Ended, Subject};
use schemas::inventory::ToolDefinition;
use schemas::names::{ServerName, ToolName, ToolboxName};
use serde_json::{Map, Value, json};

use super::problem::ApiError;
use super::servers::find as find_server;
use super::tools::all as listed;
use super::{Desk, own_account, policy, read};
use crate::audit::Intent;
use crate::platform::Platform;
use crate::store::{admin, targets};
use crate::toolboxes::Discovered;
use crate::toolboxes::{Flags, Server, Toolbox, definition, names};
use crate::upstream::read_message;
use crate::upstream::{self, Delivery, Message, UpstreamError};

/// Pages of a list that are followed before we say that it has no end.
const PAGES: usize = 200;

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Inspect {
    /// Approve every tool exactly as it is now.
    #[serde(default)]
    approve: Option<Approve>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "lowercase")]
enum Approve {
    /// And confirm what the server says each tool does.
    Declared,
    /// And confirm that every tool does this.
    Flags(Flags),
}

pub(super) async fn inspect<P: Platform>(
    desk: &Desk<'_, P>,
    toolbox: &str,
    server: &str,
    body: &Bytes,
) -> Result<Value, ApiError> {
    let (toolbox, server) = (ToolboxName::parse(toolbox)?, ServerName::parse(server)?);
    let Inspect { approve } = read(body)?;
    let id = find_server(desk, &server).await?;
    let org = desk.facts();
    let (toolbox, server) = targets::member(desk.platform, &org, &toolbox, &server)
        .await?
        .ok_or_else(|| ApiError::NotFound(format!("server `{server}` in toolbox `{toolbox}`")))?;

    let subject =
        Subject { toolbox: Some(toolbox.name.clone()), server: Some(server.name.clone()), name: None };
    let about = desk.about("server.inspect", Some(subject));
    let (intent, delivery) = own_account::look(desk, &server, &about).await?;
    let look = Look { desk, toolbox: &toolbox, server: &server, intent: &intent, delivery };
    let seen = look.all().await;
    if let Some(conclusion) = intent.conclusion() {
        conclusion.end(if seen.is_ok() { Ended::Answered } else { Ended::Failed });
    }
    let (discovered, tools) = seen?;

    let renewed = match &approve {
        Some(_) => retype(desk, &server.name, &tools).await?,
        None => None,
    };
    let now = desk.platform.now();
    let text = serde_json::to_string(&discovered).map_err(|error| ApiError::Malformed(error.to_string()))?;
    let mut statements = vec![admin::put_discovered(&id, text, now)];
    let mut dropped = Vec::new();
    for (position, tool) in (0..).zip(&tools) {
        match live(position, tool, approve.as_ref()) {
            Ok(live) => {
                statements.push(admin::see_tool(&id, &live));
                if approve.is_some() {
                    statements.push(admin::approve_tool(&id, &live, desk.by(), now));
                }
            }
            Err(why) => dropped.push(why),
        }
    }
    let verb = if approve.is_some() { "approved" } else { "seen" };
    let told = format!(
        "{} tools of `{}` {verb}, {} dropped",
        tools.len() - dropped.len(),
        server.name,
        dropped.len()
    );
    if let Some(draft) = &renewed {
        statements.extend(policy::replacement(desk, draft, &told).await?);
    }
    let results = desk.change("server.inspect", told, statements).await?;
    if renewed.is_some() && results.iter().rev().nth(2).is_none_or(Vec::is_empty) {
        return Err(ApiError::Conflict(
            "the policies were published in the meantime and may know the tools by other definitions: inspect once more".into(),
        ));
    }
    let mut answer = listed(desk, &id).await?;
    if let Some(answer) = answer.as_object_mut() {
        answer.insert("dropped".into(), json!(dropped));
        answer.insert("prompts".into(), json!(discovered.prompts));
        answer.insert("resources".into(), json!(discovered.resources));
    }
    Ok(answer)
}

/// The policies with the definitions that are about to be approved, if they look into typed arguments of any of these tools. Policies
/// that do not fit the new definitions block the approval: they would fail at every call.
async fn retype<P: Platform>(
    desk: &Desk<'_, P>,
    server: &ServerName,
    tools: &[(String, Value)],
) -> Result<Option<policy::Draft>, ApiError> {
    let seen = || {
        tools
            .iter()
            .map(|(_, definition)| ToolDefinition { server: server.clone(), definition: definition.clone() })
    };
    let typed: Vec<&str> = desk.policies.typed_tools().collect();
    if !seen().any(|tool| typed.contains(&tool.id().as_str())) {
        return Ok(None);
    }
    policy::retyped(desk, seen().collect()).await
}

/// A tool as it goes into the store, or why it does not.
fn live(
    position: i64,
    (text, tool): &(String, Value),
    approve: Option<&Approve>,
) -> Result<admin::LiveTool, String> {
    let name = tool.get("name").and_then(Value::as_str).unwrap_or_default();
    ToolName::parse(name).map_err(|error| error.to_string())?;
    let headers = definition::mirrored(tool).map_err(|error| format!("`{name}`: {error}"))?;
    Ok(admin::LiveTool {
        name: name.to_owned(),
        alias: names::alias(name),
        position,
        definition: text.clone(),
        hash: schemas::pin::pin(tool),
        headers: json!(headers).to_string(),
        flags: match approve {
            Some(Approve::Flags(flags)) => *flags,
            Some(Approve::Declared) | None => definition::declared(tool),
        },
    })
}

struct Look<'a, P: Platform> {
    desk: &'a Desk<'a, P>,
    toolbox: &'a Toolbox,
    server: &'a Server,
    intent: &'a Intent<P>,
    /// On whose account, if the server acts on any and whoever looks has one.
    delivery: Option<Delivery>,
}

impl<P: Platform> Look<'_, P> {
    async fn all(&self) -> Result<(Discovered, Vec<(String, Value)>), UpstreamError> {
        let said = self.ask("server/discover", Map::new()).await?;
        let said: Value = serde_json::from_str(&said).unwrap_or_default();
        let mut discovered = Discovered {
            capabilities: said.get("capabilities").and_then(Value::as_object).cloned().unwrap_or_default(),
            instructions: said.get("instructions").and_then(Value::as_str).map(str::to_owned),
            ..Discovered::default()
        };
        let tools =
            if discovered.has("tools") { self.list("tools/list", "tools").await? } else { Vec::new() };
        let named = |items: Vec<(String, Value)>, key: &str| {
            items
                .iter()
                .filter_map(|(_, item)| item.get(key).and_then(Value::as_str).map(str::to_owned))
                .collect()
        };
        if discovered.has("prompts") {
            discovered.prompts = named(self.list("prompts/list", "prompts").await?, "name");
        }
        if discovered.has("resources") {
            discovered.resources = named(self.list("resources/list", "resources").await?, "uri");
            // Many servers have resources and no templates, and some refuse to be asked for them.
            let templates =
                self.list("resources/templates/list", "resourceTemplates").await.unwrap_or_default();
            discovered.templates = named(templates, "uriTemplate");
        }
        Ok((discovered, tools))
    }

    /// All items of a list, each as it came and as a value.
    async fn list(&self, method: &'static str, member: &str) -> Result<Vec<(String, Value)>, UpstreamError> {
        #[derive(serde::Deserialize)]
        struct Page {
            #[serde(flatten)]
            members: Map<String, Value>,
        }
        let mut items = Vec::new();
        let mut cursor: Option<Value> = None;
        for _ in 0..PAGES {
            let params = cursor
                .take()
                .map(|cursor| Map::from_iter([("cursor".to_owned(), cursor)]))
                .unwrap_or_default();
            let text = self.ask(method, params).await?;
            let raw = crate::json::Object::parse(&text).map_err(|_| self.failed("its list is no list"))?;
            let page: Vec<Box<serde_json::value::RawValue>> = raw
                .get(member)
                .and_then(|items| serde_json::from_str(items).ok())
                .ok_or_else(|| self.failed("its list is no list"))?;
            for item in page {
                let value = serde_json::from_str(item.get()).unwrap_or_default();
                items.push((item.get().to_owned(), value));
            }
            let Page { members } =
                serde_json::from_str(&text).map_err(|_| self.failed("its list is no list"))?;
            match members.get("nextCursor") {
                Some(next @ Value::String(_)) => cursor = Some(next.clone()),
                _ => return Ok(items),
            }
        }
        Err(self.failed("its list has no end"))
    }

    /// Sends one request and answers its result.
    async fn ask(
        &self,
        method: &'static str,
        mut params: Map<String, Value>,
    ) -> Result<String, UpstreamError> {
        params.insert("_meta".into(), crate::protocol::own_meta());
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string();
        let message = Message { method, name: None, param_headers: Vec::new(), body: Bytes::from(body) };
        let response = upstream::send(
            self.desk.gateway,
            self.desk.platform,
            self.intent,
            self.toolbox,
            self.server,
            &message,
            self.delivery.as_ref(),
        )
        .await?;
        let text = read_message(self.desk.gateway, self.desk.platform, self.server, response).await?;
        let message =
            crate::json::Object::parse(&text).map_err(|_| self.failed("its answer is no MCP message"))?;
        if let Some(error) = message.object("error") {
            let why = error
                .text("message")
                .map(|text| text.chars().take(200).collect::<String>())
                .unwrap_or_default();
            return Err(self.failed(&format!(
                "it refused `{method}`: {why}; a remote server must speak MCP 2026-07-28"
            )));
        }
        message.get("result").map(str::to_owned).ok_or_else(|| self.failed("its answer has no result"))
    }

    fn failed(&self, reason: &str) -> UpstreamError {
        UpstreamError::Failed { server: self.server.name.to_string(), reason: reason.to_owned() }
    }
}
