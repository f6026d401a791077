//! An MCP server in a few lines, of either era, that does what a test tells it to.

use std::sync::Arc;
use std::time::Duration;

use provisioner::simulated::Pipes;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::sync::mpsc;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Era {
    Modern,
    Legacy,
    /// Legacy, and ends on any first message but `initialize`.
    Brittle,
    /// Ends at once.
    Dead,
    /// Reads, and never says a word.
    Mute,
}

/// Every line the server read, for tests that look.
pub(crate) type Seen = Arc<std::sync::Mutex<Vec<Value>>>;

pub(crate) async fn serve(era: Era, seen: Seen, pipes: Pipes) -> i64 {
    let Pipes { stdin, mut stdout, mut stderr, given } = pipes;
    let given = Arc::new(given);
    if era == Era::Dead {
        stderr.write_all(b"cannot start: no such table\n").await.unwrap();
        return 3;
    }
    let (say, mut said) = mpsc::unbounded_channel::<String>();
    let (exit, mut exited) = mpsc::unbounded_channel::<i64>();
    let writer = tokio::spawn(async move {
        while let Some(line) = said.recv().await {
            if stdout.write_all(line.as_bytes()).await.is_err() || stdout.write_all(b"\n").await.is_err() {
                break;
            }
        }
    });
    let mut lines = BufReader::new(stdin).lines();
    let mut first = true;
    loop {
        let line = tokio::select! {
            line = lines.next_line() => line,
            code = exited.recv() => {
                writer.abort();
                return code.unwrap();
            }
        };
        let Ok(Some(line)) = line else { return 0 };
        let message: Value = serde_json::from_str(&line).expect("the bridge writes whole messages");
        seen.lock().unwrap().push(message.clone());
        if era == Era::Brittle && first && message["method"] != "initialize" {
            stderr.write_all(b"expected initialize\n").await.unwrap();
            return 1;
        }
        first = false;
        if era == Era::Mute {
            continue;
        }
        let (say, exit, given) = (say.clone(), exit.clone(), Arc::clone(&given));
        tokio::spawn(async move { answer(era, message, &given, &say, &exit).await });
    }
}

async fn answer(
    era: Era,
    message: Value,
    given: &[(String, String)],
    say: &mpsc::UnboundedSender<String>,
    exit: &mpsc::UnboundedSender<i64>,
) {
    let id = message["id"].clone();
    let params = message["params"].clone();
    let tell = |value: Value| drop(say.send(value.to_string()));
    let done = |mut result: Value| {
        if era == Era::Modern {
            let kind = result.as_object_mut().unwrap().entry("resultType");
            kind.or_insert_with(|| json!("complete"));
        }
        tell(json!({"jsonrpc": "2.0", "id": id, "result": result}));
    };
    let fail = |code: i32, why: &str| {
        tell(json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": why}}));
    };
    match message["method"].as_str().unwrap_or_default() {
        "initialize" if era != Era::Modern => {
            done(json!({"protocolVersion": "2025-11-25", "serverInfo": {"name": "fake", "version": "1"},
            "capabilities": {"tools": {"listChanged": true}, "resources": {"subscribe": true, "listChanged": true}, "logging": {}}}));
        }
        "server/discover" if era == Era::Modern => {
            done(json!({"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}},
            "ttlMs": 1, "cacheScope": "public"}));
        }
        "subscriptions/listen" if era == Era::Modern => {
            let meta = json!({"io.modelcontextprotocol/subscriptionId": id});
            tell(json!({"jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged",
                "params": {"_meta": meta, "notifications": {"toolsListChanged": true}}}));
            tell(
                json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed", "params": {"_meta": meta}}),
            );
            done(json!({"_meta": meta}));
        }
        "tools/list" => done(json!({"tools": [{"name": "echo", "inputSchema": {"type": "object"}}]})),
        "resources/read" => fail(-32002, "no such resource"),
        "resources/subscribe" if params["uri"] == "test://refused" => fail(-32602, "no"),
        "resources/subscribe" | "resources/unsubscribe" | "logging/setLevel" => done(json!({})),
        // The last letters, as a bank prints them: what is whole does not come back.
        "tools/call" if params["name"] == "given" => {
            let ends: Vec<String> = given
                .iter()
                .map(|(name, value)| {
                    format!("{name}={}", value.get(value.len().saturating_sub(6)..).unwrap())
                })
                .collect();
            done(json!({"content": [{"type": "text", "text": ends.join(",")}]}));
        }
        "tools/call" if params["name"] == "tell" => {
            done(json!({"content": [{"type": "text", "text": format!("{given:?} {}", params["_meta"])}]}));
        }
        "tools/call" => tool(era, &params, &tell, &done, exit, say).await,
        "" => {}
        method if !id.is_null() => fail(-32601, &format!("no {method}")),
        _ => {}
    }
}

async fn tool(
    era: Era,
    params: &Value,
    tell: &impl Fn(Value),
    done: &impl Fn(Value),
    exit: &mpsc::UnboundedSender<i64>,
    say: &mpsc::UnboundedSender<String>,
) {
    let arguments = &params["arguments"];
    let text = |text: String| done(json!({"content": [{"type": "text", "text": text}]}));
    match params["name"].as_str().unwrap() {
        "echo" => text(arguments["message"].as_str().unwrap().to_owned()),
        "meta" => text(params["_meta"].to_string()),
        "later" => {
            tokio::time::sleep(Duration::from_millis(arguments["ms"].as_u64().unwrap())).await;
            text(arguments["message"].as_str().unwrap_or("late").to_owned());
        }
        "progress" => {
            for step in 1..=3 {
                tell(json!({"jsonrpc": "2.0", "method": "notifications/progress",
                    "params": {"progressToken": params["_meta"]["progressToken"], "progress": step, "message": arguments["message"]}}));
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            text("done".to_owned());
        }
        "log" => {
            for level in ["debug", "error"] {
                tell(
                    json!({"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": level, "data": "psst"}}),
                );
            }
            text("logged".to_owned());
        }
        "big" => text("x".repeat(usize::try_from(arguments["bytes"].as_u64().unwrap()).unwrap())),
        "noise" => {
            say.send("Listening on stdio...\n{\"not\": \"rpc\"}\n\n".to_owned()).unwrap();
            text("quiet".to_owned());
        }
        "ask" => {
            tell(json!({"jsonrpc": "2.0", "id": "s1", "method": "sampling/createMessage", "params": {}}));
            tell(json!({"jsonrpc": "2.0", "id": "s2", "method": "ping"}));
            text("asked".to_owned());
        }
        "change" => {
            tell(json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}));
            tell(json!({"jsonrpc": "2.0", "method": "notifications/prompts/list_changed"}));
            tell(
                json!({"jsonrpc": "2.0", "method": "notifications/resources/updated", "params": {"uri": "test://a"}}),
            );
            tell(
                json!({"jsonrpc": "2.0", "method": "notifications/resources/updated", "params": {"uri": "test://b"}}),
            );
            text("changed".to_owned());
        }
        "input" if era == Era::Modern => {
            done(json!({"resultType": "input_required", "requestState": "opaque", "inputRequests": {}}));
        }
        "crash" => drop(exit.send(9)),
        _ => {}
    }
}
