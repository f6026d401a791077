//! The context of a request: who calls under which circumstances, with which arguments.

use std::collections::HashSet;

use cedar_policy_core::ast::{Context, Entity, PartialValue, Value};
use cedar_policy_core::extensions::Extensions;
use schemas::decision::{Action, ContextFacts, Publication};
use schemas::ids::Timestamp;

use super::entities::strings;
use super::{Builder, Clock, Fields, SliceError};
use crate::instant;
use crate::typed::Input;
use crate::vocabulary::uid;

impl Builder<'_> {
    /// `input` is there for a tool with typed arguments.
    pub(crate) fn context(
        &mut self,
        action: Action,
        facts: &ContextFacts,
        input: Option<&Input>,
    ) -> Result<Context, SliceError> {
        let fields = if action.is_of_agents() {
            self.of_an_agent(action, facts, input)?
        } else {
            self.of_a_person(action, facts)?
        };
        let fields = fields.into_iter().map(|(name, value)| (name.into(), value)).collect();
        Ok(Context::Value(std::sync::Arc::new(fields)))
    }

    fn of_a_person(&mut self, action: Action, facts: &ContextFacts) -> Result<Fields, SliceError> {
        let mut fields = vec![("org", Value::from(self.org(&facts.org)))];
        fields.extend(self.now(facts)?);
        if action == Action::ApproveCall {
            let user =
                facts.user.as_ref().ok_or(SliceError::Lacking("the person for whom the agent acts"))?;
            let user = self.user(user);
            fields.push(("onBehalfOf", self.refer(&user)));
        }
        if action == Action::PublishPolicy {
            let publication = facts.publication.as_ref();
            let says = |what: fn(&Publication) -> bool| Value::from(publication.is_some_and(what));
            fields.push(("removesForbid", says(|publication| publication.removes_forbid)));
            fields.push(("breakGlass", says(|publication| publication.break_glass)));
            if let Some(person) = publication.and_then(|publication| publication.proposed_by.as_ref()) {
                let person = self.user(person);
                fields.push(("proposedBy", self.refer(&person)));
            }
        }
        Ok(fields)
    }

    fn of_an_agent(
        &mut self,
        action: Action,
        facts: &ContextFacts,
        input: Option<&Input>,
    ) -> Result<Fields, SliceError> {
        let mut fields: Fields = vec![("call", self.call(facts)?)];
        if matches!(action, Action::CallTool | Action::GetPrompt) {
            fields.push(("args", self.args(facts)));
        }
        if action == Action::UseConnection {
            let tool = facts.tool.as_deref();
            let server = facts.server.as_deref().or(tool.map(|tool| &tool.server));
            let server = server.ok_or(SliceError::Lacking("the server that the connection is used for"))?;
            let [server, ..] = self.server(server);
            fields.push(("server", self.refer(&server)));
            if let Some(tool) = tool {
                let tool = self.tool(tool);
                fields.push(("tool", self.refer(&tool)));
            }
        }
        if action == Action::ActFor {
            let client = facts.client.as_deref();
            let client = client.ok_or(SliceError::Lacking("the client through which the agent acts"))?;
            fields.push(("client", Value::from(client)));
        }
        if let Some(input) = input {
            fields.push(("input", input.read(&facts.input, self.known)?));
        }
        Ok(fields)
    }

    fn call(&mut self, facts: &ContextFacts) -> Result<Value, SliceError> {
        let mut call: Fields = vec![
            ("org", Value::from(self.org(&facts.org))),
            ("tokenScopes", strings(&facts.token_scopes)),
            ("taint", strings(&facts.taint)),
        ];
        call.extend(self.now(facts)?);
        if let Some(user) = &facts.user {
            let user = self.user(user);
            call.push(("user", self.refer(&user)));
        }
        if let Some(approval) = &facts.approval {
            let by = self.user(&approval.by);
            let record = [("by", self.refer(&by)), ("at", self.datetime(approval.at)?)];
            call.push(("approval", Value::record(record, None)));
        }
        Ok(Value::record(call, None))
    }

    /// Arguments as tags. Without any the entity is left out: `hasTag` is false either way, and it must guard `getTag`.
    fn args(&mut self, facts: &ContextFacts) -> Value {
        let id = uid(&self.names.args, "call");
        if !facts.args.is_empty() {
            let tag = |(name, text): (&String, &String)| {
                (name.as_str().into(), PartialValue::from(Value::from(text.as_str())))
            };
            let (none, tags) = (HashSet::new, facts.args.iter().map(tag));
            self.present.push(id.clone());
            self.referenced.push(id.clone());
            self.entities.push(Entity::new_with_attr_partial_value(id.clone(), [], none(), none(), tags));
        }
        Value::from(id)
    }

    /// The clock, unless it is hidden.
    fn now(&self, facts: &ContextFacts) -> Result<Option<(&'static str, Value)>, SliceError> {
        match self.clock {
            Clock::Shown => Ok(Some(("now", self.datetime(facts.now)?))),
            Clock::Hidden => Ok(None),
        }
    }

    fn datetime(&self, at: Timestamp) -> Result<Value, SliceError> {
        let text = instant::text(at).ok_or(SliceError::Time(at))?;
        let value = Extensions::all_available()
            .func(&self.names.datetime)
            .map_err(|error| SliceError::Cedar(error.to_string()))?
            .call(&[Value::from(text)])
            .map_err(|error| SliceError::Cedar(error.to_string()))?;
        match value {
            PartialValue::Value(value) => Ok(value),
            PartialValue::Residual(_) => Err(SliceError::Time(at)),
        }
    }
}
