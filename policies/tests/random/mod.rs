//! Random policies and requests over a few names, the same in every run: for what must hold whatever authors write.

#![allow(unreachable_pub, reason = "shared by test binaries")]
#![allow(dead_code, reason = "each test uses the part it needs")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "test data is right or the test fails")]

use std::collections::BTreeMap;
use std::fmt::Write as _;

use policies::{CompiledSet, PolicySource, SourceFile, compile};
use schemas::decision::{DecisionRequest, ResourceFacts};
use schemas::inventory::ToolDefinition;
use serde_json::{Value, json};

use super::facts;

/// Marsaglia's xorshift.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    /// Yes, `percent` times in a hundred.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub fn of<'a, T: ?Sized>(&mut self, choices: &[&'a T]) -> &'a T {
        choices[usize::try_from(self.below(choices.len() as u64)).unwrap()]
    }

    /// A condition on facts and arguments; on typed ones only where they are there.
    pub fn condition(&mut self, depth: u64, typed: bool) -> String {
        if depth > 0 && self.chance(55) {
            let (left, right) = (self.condition(depth - 1, typed), self.condition(depth - 1, typed));
            return match self.below(4) {
                0 => format!("({left} || {right})"),
                1 => format!("!({left})"),
                _ => format!("({left} && {right})"),
            };
        }
        let name = self.of(&["a", "b", "c"]);
        let value = self.of(&["x", "y", "xy"]);
        match self.below(if typed { 12 } else { 8 }) {
            0 => format!("context.args.hasTag(\"{name}\")"),
            1 => {
                format!(
                    "(context.args.hasTag(\"{name}\") && context.args.getTag(\"{name}\") like \"{value}*\")"
                )
            }
            2 | 3 => {
                format!("(context.args.hasTag(\"{name}\") && context.args.getTag(\"{name}\") == \"{value}\")")
            }
            4 => "resource.readOnly".to_owned(),
            5 => "context.call.taint.contains(\"secret\")".to_owned(),
            6 => "context.call has user".to_owned(),
            7 => "(context.call has user && context.args.hasTag(context.call.user.email))".to_owned(),
            8 => "context.input.count > 3".to_owned(),
            // This overflows for large counts.
            9 => "context.input.count * 4611686018427387904 != 1".to_owned(),
            10 => format!("(context.input has note && context.input.note == \"{value}\")"),
            _ => "context.input has note".to_owned(),
        }
    }

    /// A few policies about calls of `github/create_issue`.
    pub fn policies(&mut self) -> String {
        let mut text = String::new();
        for index in 0..=self.below(4) {
            let permit = self.chance(60);
            let typed = self.chance(40);
            let effect = if permit { "permit" } else { "forbid" };
            let action = if typed {
                "action == Ambit::Action::\"github/create_issue\""
            } else {
                "action in Ambit::Action::\"callTool\""
            };
            let principal = self.of(&["principal is Ambit::Agent", "principal == Ambit::Agent::\"bot\""]);
            let obligation = if !permit && self.chance(40) { "@obligation(\"approval:user\") " } else { "" };
            let kind = self.of(&["when", "unless"]);
            let condition = self.condition(2, typed);
            writeln!(text, "@id(\"x{index}\") {obligation}{effect} ({principal}, {action}, resource is Ambit::Tool) {kind} {{ {condition} }};")
                .unwrap();
        }
        text
    }

    /// A set of them over the built-in policies. Some that were thought up contradict themselves and are refused: another then.
    pub fn set(&mut self) -> (CompiledSet, String) {
        loop {
            let text = self.policies();
            let own = vec![SourceFile::new("random.cedar", text.clone())];
            if let Ok(set) = compile(&PolicySource::with_built_in(own).with_tools([definition()])) {
                return (set, text);
            }
        }
    }

    /// A call of `github/create_issue` with arguments.
    pub fn call(&mut self) -> DecisionRequest {
        let mut request = facts::call();
        if self.chance(70) {
            facts::agent_of(&mut request).grants = schemas::decision::Grants::default();
        }
        if let ResourceFacts::Tool(tool) = &mut request.resource {
            tool.definition = definition().pin();
            tool.read_only = self.chance(50);
            tool.destructive = self.chance(20);
        }
        if self.chance(30) {
            request.context.taint.insert("secret".to_owned());
        }
        match self.below(4) {
            0 => request.context.user = None,
            1 => "a".clone_into(&mut request.context.user.as_mut().unwrap().email),
            _ => {}
        }
        for name in ["a", "b", "c"] {
            if self.chance(60) {
                let value = self.of(&["x", "y", "xy", "z"]);
                request.context.args.insert(name.to_owned(), value.to_owned());
            }
        }
        request.context.input = self.input();
        request
    }

    /// The same, with those arguments that a set looks into.
    pub fn call_for(&mut self, set: &CompiledSet) -> DecisionRequest {
        shown(set, &self.call())
    }

    fn input(&mut self) -> BTreeMap<String, Value> {
        let mut input = BTreeMap::new();
        if self.chance(95) {
            let count = [json!(1), json!(5), json!(9), json!("no number")];
            let which = if self.chance(95) { self.below(3) } else { 3 };
            input.insert("count".to_owned(), count[usize::try_from(which).unwrap()].clone());
        }
        if self.chance(50) {
            input.insert("note".to_owned(), json!(self.of(&["x", "y"])));
        }
        input
    }
}

/// A request with those arguments that a set looks into, as the gateway does it.
pub fn shown(set: &CompiledSet, request: &DecisionRequest) -> DecisionRequest {
    let mut request = request.clone();
    let tool = facts::tool_of(&mut request).clone();
    let input: serde_json::Map<String, Value> = request.context.input.clone().into_iter().collect();
    request.context.input = set.select_input(&tool, &Value::Object(input));
    request.context.args.retain(|name, _| set.argument_names().contains(name));
    request
}

/// What was approved of `github/create_issue`.
pub fn definition() -> ToolDefinition {
    ToolDefinition {
        server: "github".parse().unwrap(),
        definition: json!({
            "name": "create_issue",
            "inputSchema": {
                "type": "object",
                "properties": { "count": { "type": "integer" }, "note": { "type": "string" } },
                "required": ["count"],
            },
        }),
    }
}
