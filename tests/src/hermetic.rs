//! The gateway, the provisioner and the servers' containers in one thread: a network in memory that ends at a provisioner over a
//! simulated Docker host. It notes what the gateway sends out, and whether the trail knew of it by then.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use futures_util::StreamExt as _;
use gateway::platform::{Batch, PlatformError, Statement};
use gateway::secret::Secret;
use gateway::{Gateway, Settings};
use http::{Request, Response};
use provisioner::simulated::{Pipes, Simulated};
use provisioner::{Provisioner, SharedKey};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::sync::mpsc;
use tower::ServiceExt as _;

use crate::door::Door;
use crate::memory::{Inbound, Memory, MemoryPlatform, inbound};
use crate::operator::Operator;
use crate::programs::random_key;

/// A call may take this long; the reaper closes its intent a minute later.
pub const CALL_LIMIT: Duration = Duration::from_secs(20);

/// A whole deployment in memory.
#[derive(Debug)]
pub struct Hermetic {
    /// The gateway; replaced by [`Hermetic::restart`].
    pub memory: Memory,
    network: Rc<Network>,
    settings: Settings,
    operator_key: String,
}

/// A request that left the gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// Method and path.
    pub what: String,
    /// How many intents the database held at that moment.
    pub intents: i64,
}

#[derive(Debug)]
struct Network {
    key: [u8; 32],
    router: RefCell<axum::Router>,
    platform: OnceCell<MemoryPlatform>,
    sent: RefCell<Vec<Sent>>,
    /// Answers break off after this many pieces.
    cut: Cell<Option<usize>>,
    /// What the servers read.
    heard: Arc<Mutex<Vec<Value>>>,
}

impl Network {
    /// A provisioner that knows nothing, on a Docker host that runs nothing.
    fn provisioner(&self) -> axum::Router {
        let heard = Arc::clone(&self.heard);
        let host = Simulated::new(move |_, pipes| Box::pin(serve(Arc::clone(&heard), pipes)));
        Provisioner::with_host(host, SharedKey::new(self.key), provisioner::Settings::default()).router()
    }

    async fn send(self: Rc<Self>, request: Request<Bytes>) -> Result<Response<Inbound>, PlatformError> {
        let (mut head, body) = request.into_parts();
        head.uri = head.uri.path().parse().unwrap();
        let intents = self.platform.get().map_or(0, intents);
        self.sent.borrow_mut().push(Sent { what: format!("{} {}", head.method, head.uri), intents });
        let router = self.router.borrow().clone();
        let answer = router.oneshot(Request::from_parts(head, Body::from(body))).await.unwrap();
        let broken = || PlatformError::Broken("cut off".to_owned());
        let pieces = |body: Body| body.into_data_stream().map(move |piece| piece.map_err(|_| broken()));
        Ok(match self.cut.get() {
            None => answer.map(|body| inbound(pieces(body))),
            Some(after) => answer.map(|body| {
                inbound(
                    pieces(body).take(after).chain(futures_util::stream::once(async move { Err(broken()) })),
                )
            }),
        })
    }
}

fn count(platform: &MemoryPlatform, sql: &'static str) -> i64 {
    platform.look(&Batch::read([Statement::new(sql, [])]))[0][0].integer(0).unwrap()
}

/// How many intents there are.
fn intents(platform: &MemoryPlatform) -> i64 {
    count(platform, "SELECT COUNT(*) FROM audit WHERE phase = 'intent'")
}

impl Hermetic {
    /// Starts one whose calls may take [`CALL_LIMIT`].
    pub async fn start() -> Self {
        Self::with_limit(CALL_LIMIT).await
    }

    /// Starts one whose calls may take so long.
    pub async fn with_limit(limit: Duration) -> Self {
        let [root, operator, provisioner] = [random_key(), random_key(), random_key()];
        let key: [u8; 32] = URL_SAFE_NO_PAD.decode(&provisioner).unwrap().try_into().unwrap();
        let network = Rc::new(Network {
            key,
            router: RefCell::default(),
            platform: OnceCell::new(),
            sent: RefCell::default(),
            cut: Cell::new(None),
            heard: Arc::default(),
        });
        *network.router.borrow_mut() = network.provisioner();
        let secrets = [
            ("AMBIT_ROOT_KEY", root),
            ("AMBIT_OPERATOR_KEY", operator.clone()),
            ("AMBIT_PROVISIONER_KEY", provisioner),
        ];
        let secrets: HashMap<_, _> = secrets.map(|(name, key)| (name.to_owned(), Secret::new(key))).into();
        let closure = {
            let network = Rc::clone(&network);
            Rc::new(move |request| -> futures_util::future::LocalBoxFuture<'static, _> {
                Box::pin(Rc::clone(&network).send(request))
            })
        };
        let platform = MemoryPlatform::new(secrets, closure);
        network.platform.set(platform.clone()).unwrap();
        let settings = Settings::new(crate::memory::URL)
            .unwrap()
            .provisioner(Some("http://provisioner".to_owned()))
            .limits(limit, Duration::from_mins(10));
        let memory = Memory::start(settings.clone(), platform).await;
        Self { memory, network, settings, operator_key: operator }
    }

    /// An operator of a new organisation with one server.
    pub async fn organisation(&self) -> Operator {
        let operator = Operator { door: self.door(), key: self.operator_key.clone(), org: "acme".to_owned() };
        operator.found().await;
        let workload = json!({ "image": "x", "digest": format!("sha256:{}", "0".repeat(64)), "transport": { "type": "stdio" } });
        operator.toolbox("main", &[("fake", json!({ "workload": workload, "trust": "first_party" }))]).await;
        operator
    }

    /// The way in.
    pub fn door(&self) -> Door {
        Door::Memory(self.memory.clone())
    }

    /// Starts gateway and provisioner anew, with nothing in their caches and no container, on the same database.
    pub fn restart(&mut self) {
        let gateway = Gateway::new(self.settings.clone(), &self.memory.platform).unwrap();
        self.memory.gateway = Rc::new(gateway);
        *self.network.router.borrow_mut() = self.network.provisioner();
    }

    /// From now on, answers of the network break off after this many pieces.
    pub fn cut(&self, after: Option<usize>) {
        self.network.cut.set(after);
    }

    /// Forgets what was sent and heard, and answers how many intents there are.
    pub fn mark(&self) -> i64 {
        self.network.sent.borrow_mut().clear();
        self.network.heard.lock().unwrap().clear();
        intents(&self.memory.platform)
    }

    /// What left the gateway since.
    pub fn sent(&self) -> Vec<Sent> {
        self.network.sent.borrow().clone()
    }

    /// How many messages of a method reached the server since.
    pub fn heard(&self, method: &str) -> usize {
        self.network.heard.lock().unwrap().iter().filter(|message| message["method"] == method).count()
    }

    /// How many intents have not exactly one outcome.
    pub fn open(&self) -> i64 {
        let sql = "SELECT COUNT(*) FROM audit i WHERE i.phase = 'intent' \
            AND (SELECT COUNT(*) FROM audit o WHERE o.intent_id = i.id AND o.phase = 'outcome') <> 1";
        count(&self.memory.platform, sql)
    }

    /// How many intents the reaper still has to look at.
    pub fn due(&self) -> i64 {
        count(&self.memory.platform, "SELECT COUNT(*) FROM audit WHERE due_at IS NOT NULL")
    }

    /// How the youngest intent ended.
    pub fn ended(&self) -> Option<String> {
        let sql = "SELECT o.event FROM audit i LEFT JOIN audit o ON o.intent_id = i.id WHERE i.phase = 'intent' ORDER BY i.id DESC LIMIT 1";
        let rows = self.memory.platform.look(&Batch::read([Statement::new(sql, [])]));
        let event: Value = serde_json::from_str(rows[0].first()?.maybe_text(0).unwrap()?).unwrap();
        event["outcome"]["ended"].as_str().map(str::to_owned)
    }
}

/// Lets what runs after an answer run.
pub async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

/// An MCP server of 2026-07-28 on stdio, small enough to be looked through.
async fn serve(heard: Arc<Mutex<Vec<Value>>>, pipes: Pipes) -> i64 {
    let Pipes { stdin, mut stdout, stderr: _stderr, .. } = pipes;
    let (say, mut said) = mpsc::unbounded_channel::<Value>();
    tokio::spawn(async move {
        while let Some(message) = said.recv().await {
            if stdout.write_all(format!("{message}\n").as_bytes()).await.is_err() {
                break;
            }
        }
    });
    let mut lines = BufReader::new(stdin).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let message: Value = serde_json::from_str(&line).unwrap();
        heard.lock().unwrap().push(message.clone());
        tokio::spawn(answer(message, say.clone()));
    }
    0
}

async fn answer(message: Value, say: mpsc::UnboundedSender<Value>) {
    if message["id"].is_null() {
        return;
    }
    let params = &message["params"];
    let text = |text: &Value| json!({ "content": [{ "type": "text", "text": text }] });
    let result = match message["method"].as_str().unwrap() {
        "server/discover" => json!({ "supportedVersions": ["2026-07-28"], "ttlMs": 1, "cacheScope": "public",
            "capabilities": { "tools": {}, "prompts": {}, "resources": {}, "completions": {} } }),
        "tools/list" => {
            let tool = |name: &str| json!({ "name": name, "inputSchema": { "type": "object" } });
            json!({ "tools": [tool("echo"), tool("count")], "ttlMs": 1, "cacheScope": "public" })
        }
        "tools/call" if params["name"] == "count" => {
            let token = &params["_meta"]["progressToken"];
            for progress in 0..params["arguments"]["to"].as_u64().unwrap() {
                let params = json!({ "progressToken": token, "progress": progress });
                let _ = say
                    .send(json!({ "jsonrpc": "2.0", "method": "notifications/progress", "params": params }));
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            // Whoever counts to nothing waits for ever.
            if params["arguments"]["to"] == 0 {
                return;
            }
            text(&json!("done"))
        }
        "tools/call" => text(&params["arguments"]["text"]),
        "prompts/list" => json!({ "prompts": [{ "name": "greet" }], "ttlMs": 1, "cacheScope": "public" }),
        "prompts/get" => {
            json!({ "messages": [{ "role": "user", "content": { "type": "text", "text": "hello" } }] })
        }
        "resources/list" => {
            json!({ "resources": [{ "uri": "test://a", "name": "a" }], "ttlMs": 1, "cacheScope": "public" })
        }
        "resources/templates/list" => json!({ "resourceTemplates": [], "ttlMs": 1, "cacheScope": "public" }),
        "resources/read" => {
            json!({ "contents": [{ "uri": params["uri"], "text": "a" }], "ttlMs": 1, "cacheScope": "public" })
        }
        "completion/complete" => json!({ "completion": { "values": ["x"] } }),
        method => {
            let error = json!({ "code": -32601, "message": format!("no {method}") });
            let _ = say.send(json!({ "jsonrpc": "2.0", "id": message["id"], "error": error }));
            return;
        }
    };
    let mut result = result;
    result["resultType"] = json!("complete");
    let _ = say.send(json!({ "jsonrpc": "2.0", "id": message["id"], "result": result }));
}
