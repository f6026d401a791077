//! What can be refused by the head of a request is refused before its body is read; and nothing else is.

use std::cell::Cell;
use std::fmt::Write as _;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use gateway::Settings;
use gateway::body::{Incoming, Unread};
use gateway::secret::Secret;
use http::{Method, Request, StatusCode};
use serde_json::{Value, json};
use tests::door::Door;
use tests::fixture::Remote;
use tests::hermetic::settle;
use tests::mcp::{Client, modern};
use tests::memory::{Memory, MemoryPlatform, URL, inbound};
use tests::operator::Operator;
use tests::programs::random_key;
use tests::stack::{Host, Stack, run};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

#[test]
fn an_upload_to_a_forbidden_tool_on_standalone() {
    run(uploads(Host::Standalone));
}

#[test]
fn an_upload_to_a_forbidden_tool_on_workerd() {
    run(uploads(Host::Workerd));
}

/// 3 MB are announced, and a piece of them is sent: the answer is there before the rest.
async fn uploads(host: Host) {
    let stack = Stack::start(host).await;
    let operator = stack.organisation().await;
    let remote = Remote::start().await;
    operator.toolbox("main", &[("fixture", remote.server())]).await;
    let stranger = operator.agent("stranger", "main").await;
    let worker = operator.agent("worker", "main").await;
    operator.grant("worker", "toolbox/main").await;
    let address = stack.door.url().trim_start_matches("http://").to_owned();
    let upload = async |client: &Client, name: &str, expect: &str| {
        let large = json!({ "name": name, "arguments": { "text": "y".repeat(3_000_000) } });
        let (headers, body) = modern("tools/call", large);
        let body = body.to_string();
        let mut head = format!(
            "POST {} HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\naccept: application/json, text/event-stream\r\n\
             content-length: {}\r\nauthorization: Bearer {}\r\n{expect}",
            client.path,
            body.len(),
            client.token
        );
        for (name, value) in headers {
            write!(head, "{name}: {value}\r\n").unwrap();
        }
        head.push_str("\r\n");
        let mut stream = TcpStream::connect(&address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        (stream, body)
    };

    let nobody = Client { token: "ambit_sk_nonsense".to_owned(), ..worker.clone() };
    let forged = Client { token: format!("ambit_sk_{}", "x".repeat(43)), ..worker.clone() };
    let nowhere = Client { path: worker.path.replace("/main", "/void"), ..worker.clone() };
    for (what, client, tool, status, code) in [
        ("forbidden", &stranger, "echo", "400", -32602),
        ("unknown tool", &worker, "nope", "400", -32602),
        ("unknown toolbox", &nowhere, "echo", "404", -32602),
        ("no such key", &forged, "echo", "401", -32600),
        ("no key at all", &nobody, "echo", "401", -32600),
    ] {
        let (mut stream, body) = upload(client, tool, "").await;
        stream.write_all(&body.as_bytes()[..64 * 1024]).await.unwrap();
        let (head, message) = answer(&mut stream).await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{what}: {head}");
        assert_eq!((&message["error"]["code"], message.get("id")), (&json!(code), None), "{what}: {message}");
        // A client that goes on sending has its answer all the same.
        let (mut stream, body) = upload(client, tool, "").await;
        let _ = stream.write_all(body.as_bytes()).await;
        let (head, again) = answer(&mut stream).await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{what}, sent whole: {head}");
        assert_eq!(again["error"]["code"], json!(code), "{what}");
    }
    // A client that asks first is not told to go on.
    let (mut stream, _) = upload(&stranger, "echo", "expect: 100-continue\r\n").await;
    assert!(answer(&mut stream).await.0.starts_with("HTTP/1.1 400"));

    // Who may call it sends it all, and is answered.
    let (mut stream, body) = upload(&worker, "echo", "").await;
    stream.write_all(body.as_bytes()).await.unwrap();
    let (head, message) = answer(&mut stream).await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert_eq!(message["result"]["content"][0]["text"].as_str().unwrap().len(), 3_000_000);

    // The trail has the refusals, and says what was not looked at.
    let trail = operator.trail().await;
    let refused =
        trail.iter().filter(|event| event["phase"] == "denial" && event["actor"]["agent"] == "stranger");
    let refused: Vec<_> = refused.collect();
    assert_eq!(refused.len(), 3, "{refused:?}");
    for event in refused {
        assert_eq!(event["decision"]["decision"]["effect"], "deny");
        assert!(event["reason"].as_str().unwrap().contains("not read") && event.get("arguments").is_none());
        assert_eq!((&event["method"], &event["subject"]["name"]), (&json!("tools/call"), &json!("echo")));
    }
}

/// The head of an answer and its message, while the request may still be on its way.
async fn answer(stream: &mut TcpStream) -> (String, Value) {
    let mut read = Vec::new();
    let whole = async {
        loop {
            let mut piece = vec![0; 64 * 1024];
            let count = stream.read(&mut piece).await.unwrap_or_default();
            read.extend_from_slice(&piece[..count]);
            let text = String::from_utf8_lossy(&read).into_owned();
            let Some((head, body)) = text.split_once("\r\n\r\n") else {
                assert!(count > 0, "no answer: {text}");
                continue;
            };
            // The body may come in chunks: what is between the braces is the message.
            let message = body.find('{').zip(body.rfind('}')).and_then(|(from, to)| {
                let text: String = body[from..=to]
                    .split("\r\n")
                    .filter(|line| line.len() > 8 || line.ends_with('}'))
                    .collect();
                serde_json::from_str(&text).ok()
            });
            if let Some(message) = message {
                return (head.to_ascii_lowercase().replacen("http", "HTTP", 1), message);
            }
            assert!(count > 0, "no message: {text}");
        }
    };
    tokio::time::timeout(Duration::from_secs(20), whole)
        .await
        .expect("the answer must come before the body has")
}

/// A body whose length nobody knows, which notes whether it was read.
struct Late {
    bytes: Bytes,
    read: Rc<Cell<bool>>,
}

impl Incoming for Late {
    fn length(&self) -> Option<u64> {
        None
    }

    async fn read(self, limit: usize) -> Result<Bytes, Unread> {
        self.read.set(true);
        tokio::task::yield_now().await;
        self.bytes.read(limit).await
    }
}

/// A small generator of numbers, so that a failure can be repeated.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }

    fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        of[usize::try_from(self.roll(of.len() as u64)).unwrap()].clone()
    }
}

const NAMES: [&str; 5] = ["region", "count", "flag", "filter.owner", "free"];

fn policy(dice: &mut Dice, number: usize) -> String {
    let test = |dice: &mut Dice| {
        let name = dice.pick(&NAMES);
        let value = dice.pick(&["west", "east", "true", "7", "x y", "ü"]);
        match dice.roll(4) {
            0 => format!(r#"context.args.hasTag("{name}")"#),
            1 => format!(r#"!context.args.hasTag("{name}")"#),
            2 => format!(r#"context.args.hasTag("{name}") && context.args.getTag("{name}") == "{value}""#),
            _ => format!(
                r#"!(context.args.hasTag("{name}") && context.args.getTag("{name}") like "{value}*")"#
            ),
        }
    };
    let condition = match dice.roll(3) {
        0 => String::new(),
        1 => format!(" when {{ {} }}", test(dice)),
        _ => format!(" when {{ ({}) {} ({}) }}", test(dice), dice.pick(&["&&", "||"]), test(dice)),
    };
    let scope =
        r#"(principal is Ambit::Agent, action == Ambit::Action::"callTool", resource is Ambit::Tool)"#;
    let (effect, obligation) = match dice.roll(4) {
        0 | 1 => ("permit", ""),
        2 => ("forbid", ""),
        _ => ("forbid", "@obligation(\"approval:user\") "),
    };
    let unless = if obligation.is_empty() { "" } else { " unless { context.call has approval }" };
    format!("@id(\"r{number}\") {obligation}{effect} {scope}{condition}{unless};")
}

/// Arguments and the headers that mirror them, mostly well.
fn call(dice: &mut Dice) -> (Value, Vec<(String, String)>) {
    let mut arguments = json!({});
    let mut headers = Vec::new();
    for (name, header) in [("region", "Region"), ("count", "Count"), ("flag", "Flag"), ("owner", "Owner")] {
        if dice.roll(3) == 0 {
            continue;
        }
        let value = match name {
            "count" => dice.pick(&[json!(7), json!(7.0), json!("7"), json!(3), Value::Null]),
            "flag" => dice.pick(&[json!(true), json!(false), json!("true"), json!("west")]),
            _ => dice.pick(&[
                json!("west"),
                json!("east"),
                json!("x y"),
                json!("ü"),
                json!("7"),
                json!("true"),
                Value::Null,
            ]),
        };
        let text = match &value {
            Value::String(text) => Some(text.clone()),
            Value::Null => None,
            other => Some(other.to_string()),
        };
        if name == "owner" {
            arguments["filter"] = json!({ "owner": value });
        } else {
            arguments[name] = value;
        }
        let text = if dice.roll(12) == 0 { Some("other".to_owned()) } else { text };
        if let Some(text) = text.filter(|_| dice.roll(12) != 0) {
            use base64::Engine as _;
            let plain = text.is_ascii() && dice.roll(3) != 0;
            let text = if plain {
                text
            } else {
                format!("=?base64?{}?=", base64::engine::general_purpose::STANDARD.encode(text))
            };
            headers.push((format!("mcp-param-{}", header.to_ascii_lowercase()), text));
        }
    }
    if dice.roll(2) == 0 {
        arguments["free"] = dice.pick(&[json!("west"), json!({ "a": 1 }), json!(7)]);
    }
    if dice.roll(8) == 0 {
        arguments["filter.owner"] = json!("west");
    }
    (arguments, headers)
}

/// A server behind the gateway in memory, with one tool whose arguments are mirrored.
async fn mirrored() -> (Memory, Operator) {
    let network = Rc::new(|request: Request<Bytes>| -> futures_util::future::LocalBoxFuture<'static, _> {
        Box::pin(async move {
            let message: Value = serde_json::from_slice(request.body()).unwrap();
            let text = |header: &str| json!({ "type": "string", "x-mcp-header": header });
            let schema = json!({ "type": "object", "properties": {
                "region": text("Region"),
                "count": { "type": "integer", "x-mcp-header": "Count" },
                "flag": { "type": "boolean", "x-mcp-header": "Flag" },
                "filter": { "type": "object", "properties": { "owner": text("Owner") } },
                "free": {},
            } });
            let result = match message["method"].as_str().unwrap() {
                "server/discover" => {
                    json!({ "supportedVersions": ["2026-07-28"], "capabilities": { "tools": {} } })
                }
                "tools/list" => json!({ "tools": [{ "name": "act", "inputSchema": schema }] }),
                _ => json!({ "resultType": "complete", "content": [] }),
            };
            let answer = json!({ "jsonrpc": "2.0", "id": message["id"], "result": result }).to_string();
            let body = inbound(futures_util::stream::once(async move { Ok(Bytes::from(answer)) }));
            Ok(http::Response::builder().header("content-type", "application/json").body(body).unwrap())
        })
    });
    let operator_key = random_key();
    let secrets = [("AMBIT_ROOT_KEY", random_key()), ("AMBIT_OPERATOR_KEY", operator_key.clone())];
    let secrets = secrets.map(|(name, key)| (name.to_owned(), Secret::new(key))).into();
    let memory = Memory::start(Settings::new(URL).unwrap(), MemoryPlatform::new(secrets, network)).await;
    let operator = Operator { door: Door::Memory(memory.clone()), key: operator_key, org: "acme".to_owned() };
    operator.found().await;
    operator
        .toolbox("main", &[("fake", json!({ "url": "http://fake.example/mcp", "trust": "first_party" }))])
        .await;
    (memory, operator)
}

fn request(
    client: &Client,
    headers: &[(String, String)],
    body: &Value,
    read: &Rc<Cell<bool>>,
) -> Request<Late> {
    let mut request = Request::post(&client.path)
        .header("host", URL.trim_start_matches("http://"))
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream")
        .header("authorization", format!("Bearer {}", client.token));
    for (name, value) in headers {
        request = request.header(name, value);
    }
    request.body(Late { bytes: Bytes::from(body.to_string()), read: Rc::clone(read) }).unwrap()
}

/// What an answer comes to.
fn verdict(message: &Value) -> &'static str {
    match (message.get("result"), message["error"]["code"].as_i64()) {
        // Or a person would be asked, if not so many questions waited.
        (Some(result), _) if result["resultType"] == "input_required" || result["isError"] == true => "asked",
        (Some(_), _) => "allowed",
        (None, Some(-32602)) => "refused",
        (None, Some(-32020)) => "mismatch",
        (None, code) => panic!("{code:?}: {message}"),
    }
}

/// Random policies over arguments, random arguments, random headers: deciding on the head refuses only what deciding on all refuses.
#[test]
fn the_first_stage_refuses_only_what_the_second_would() {
    run(async {
        let (memory, operator) = mirrored().await;
        operator.agent("worker", "main").await;
        operator.must(Method::PUT, "/users/grace", json!({})).await;
        let key = operator.must(Method::POST, "/agents/worker/keys", json!({ "user": "grace" })).await;
        let client = operator.client("main", key["key"].as_str().unwrap());
        let mut seed = [0; 8];
        getrandom::fill(&mut seed).unwrap();
        let seed = u64::from_le_bytes(seed) | 1;
        println!("seed {seed}");
        let mut dice = Dice(seed);
        let (mut early, mut published) = (0, 0);
        let mut verdicts = std::collections::BTreeMap::<&str, usize>::new();
        for _ in 0..60 {
            let count = 1 + usize::try_from(dice.roll(4)).unwrap();
            let policies: String = (0..count).map(|number| policy(&mut dice, number)).collect();
            let files = json!({ "files": [{ "name": "random.cedar", "text": policies }], "breakGlass": "it is a test" });
            // Some make no sense together, which publishing says.
            if operator.ask(Method::PUT, "/policies", files).await.0 != StatusCode::OK {
                continue;
            }
            published += 1;
            for _ in 0..12 {
                let (arguments, mirrors) = call(&mut dice);
                let (mut headers, body) =
                    modern("tools/call", json!({ "name": "act", "arguments": arguments }));
                headers.extend(mirrors);
                let whole = client.post(&headers, body.to_string()).await.last().await;
                let read = Rc::new(Cell::new(false));
                let response = memory.handle(request(&client, &headers, &body, &read)).await;
                let text = http_body_util::BodyExt::collect(response.into_body()).await.unwrap().to_bytes();
                let staged: Value = serde_json::from_slice(&text).unwrap();
                let what = format!("seed {seed}: {policies}\n{headers:?}\n{body}\n{whole}\n{staged}");
                if read.get() {
                    assert_eq!(verdict(&staged), verdict(&whole), "{what}");
                } else {
                    // Where both would refuse, the head may do so before the mismatch of the body with it is seen.
                    assert!(matches!(verdict(&whole), "refused" | "mismatch"), "{what}");
                    assert_eq!(verdict(&staged), "refused", "{what}");
                    early += 1;
                }
                if std::env::var("DBG").is_ok() {
                    println!("{what}");
                }
                *verdicts.entry(verdict(&whole)).or_default() += 1;
            }
        }
        println!("{published} policy sets, {verdicts:?}, {early} refused before they were read");
        assert!(published >= 20 && early >= 30, "{published} {early}");
        assert!(verdicts["allowed"] >= 20 && verdicts["refused"] > early / 2, "{verdicts:?}");
    });
}

/// What was found for the first stage serves the second, unless the body took its time.
#[test]
fn what_was_found_ahead_is_used_while_it_is_fresh() {
    /// Sent so slowly that the agent is suspended meanwhile.
    struct Slow(Bytes, MemoryPlatform, Operator, Duration);
    impl Incoming for Slow {
        fn length(&self) -> Option<u64> {
            None
        }

        async fn read(self, limit: usize) -> Result<Bytes, Unread> {
            if !self.3.is_zero() {
                self.2.must(Method::PUT, "/agents/worker", json!({ "status": "suspended" })).await;
            }
            self.1.advance(self.3);
            self.1.fail(None);
            self.0.read(limit).await
        }
    }

    run(async {
        let (memory, operator) = mirrored().await;
        let client = operator.agent("worker", "main").await;
        operator.grant("worker", "toolbox/main").await;
        let (headers, body) = modern("tools/call", json!({ "name": "act", "arguments": {} }));
        for (slow, allowed) in [(Duration::ZERO, true), (Duration::from_secs(2), false)] {
            let late = request(&client, &headers, &body, &Rc::default());
            let late = late.map(|late| Slow(late.bytes, memory.platform.clone(), operator.clone(), slow));
            let response = memory.handle(late).await;
            assert_eq!(response.status() == StatusCode::OK, allowed, "{slow:?}");
            drop(response);
            // The intent and the call itself; and finding out once more, where it took too long.
            let asked = memory.platform.asked().len();
            assert_eq!(asked, 2, "{slow:?}");
            settle().await;
        }
    });
}
