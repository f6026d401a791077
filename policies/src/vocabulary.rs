//! The names of the Cedar schema, parsed once: entity types, actions, and the members of the enumerated types.

use std::sync::LazyLock;

use cedar_policy::{Entity, EntityId, EntityTypeName, EntityUid, Schema};
use schemas::decision::{Action, DefinitionState, Status, Trust};

/// Every name that a request is built from.
#[derive(Debug)]
pub(crate) struct Vocabulary {
    pub(crate) agent: EntityTypeName,
    pub(crate) args: EntityTypeName,
    pub(crate) mcp_server: EntityTypeName,
    pub(crate) org: EntityTypeName,
    pub(crate) prompt: EntityTypeName,
    pub(crate) resource: EntityTypeName,
    pub(crate) tool: EntityTypeName,
    pub(crate) toolbox: EntityTypeName,
    pub(crate) user: EntityTypeName,
    actions: Vec<(Action, Entity, Vec<EntityUid>)>,
    definition_state: EntityTypeName,
    status: EntityTypeName,
    trust: EntityTypeName,
}

impl Vocabulary {
    fn parse() -> Result<Self, Box<dyn std::error::Error>> {
        let entities = schema()?.action_entities()?;
        let kind: EntityTypeName = "Ambit::Action".parse()?;
        let mut actions = Vec::new();
        for action in Action::ALL {
            let id = uid(&kind, action.as_str());
            let entity = entities.get(&id).ok_or("an action is not in the schema")?;
            let groups = entities.ancestors(&id).ok_or("an action is not in the schema")?;
            actions.push((action, entity.clone(), groups.cloned().collect()));
        }
        Ok(Self {
            agent: "Ambit::Agent".parse()?,
            args: "Ambit::Args".parse()?,
            mcp_server: "Ambit::McpServer".parse()?,
            org: "Ambit::Org".parse()?,
            prompt: "Ambit::Prompt".parse()?,
            resource: "Ambit::Resource".parse()?,
            tool: "Ambit::Tool".parse()?,
            toolbox: "Ambit::Toolbox".parse()?,
            user: "Ambit::User".parse()?,
            actions,
            definition_state: "Ambit::DefinitionState".parse()?,
            status: "Ambit::Status".parse()?,
            trust: "Ambit::Trust".parse()?,
        })
    }

    /// The vocabulary, unless the schema doesn't parse or one of the constants above is no name; then nothing can be decided and everything denies.
    pub(crate) fn get() -> Option<&'static Self> {
        static NAMES: LazyLock<Option<Vocabulary>> = LazyLock::new(|| Vocabulary::parse().ok());
        NAMES.as_ref()
    }

    /// The action with its groups. It belongs into every slice: without it `action in Ambit::Action::"toolUse"` is false,
    /// no error is raised, and every guardrail on a group of actions is silently off.
    pub(crate) fn action(&self, action: Action) -> Option<&Entity> {
        self.actions.iter().find(|(known, ..)| *known == action).map(|(_, entity, _)| entity)
    }

    /// The groups that an action is in.
    pub(crate) fn groups(&self, action: Action) -> Option<&[EntityUid]> {
        self.actions.iter().find(|(known, ..)| *known == action).map(|(.., groups)| groups.as_slice())
    }

    pub(crate) fn status(&self, status: Status) -> EntityUid {
        let id = match status {
            Status::Active => "active",
            Status::Suspended => "suspended",
            Status::Deleted => "deleted",
        };
        uid(&self.status, id)
    }

    pub(crate) fn trust(&self, trust: Trust) -> EntityUid {
        let id = match trust {
            Trust::FirstParty => "first_party",
            Trust::Verified => "verified",
            Trust::Community => "community",
            Trust::Untrusted => "untrusted",
        };
        uid(&self.trust, id)
    }

    pub(crate) fn state(&self, state: DefinitionState) -> EntityUid {
        let id = match state {
            DefinitionState::New => "new",
            DefinitionState::Approved => "approved",
            DefinitionState::Changed => "changed",
            DefinitionState::Quarantined => "quarantined",
        };
        uid(&self.definition_state, id)
    }
}

/// `type::"id"`. The id is data, whatever it holds: no text is parsed here, so nothing can be injected.
pub(crate) fn uid(kind: &EntityTypeName, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(kind.clone(), EntityId::new(id))
}

/// The schema, parsed once.
pub(crate) fn schema() -> Result<&'static Schema, &'static str> {
    static SCHEMA: LazyLock<Result<Schema, String>> = LazyLock::new(|| {
        Schema::from_cedarschema_str(schemas::cedar::SCHEMA)
            .map(|(schema, _warnings)| schema)
            .map_err(|error| error.to_string())
    });
    SCHEMA.as_ref().map_err(String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_in_the_schema() {
        let names = Vocabulary::get().unwrap();
        let schema = schema().unwrap();
        let types: Vec<&EntityTypeName> = schema.entity_types().collect();
        for name in [
            &names.agent,
            &names.args,
            &names.mcp_server,
            &names.org,
            &names.prompt,
            &names.resource,
            &names.tool,
            &names.toolbox,
            &names.user,
            &names.definition_state,
            &names.status,
            &names.trust,
        ] {
            assert!(types.contains(&name), "{name}");
        }
    }

    #[test]
    fn a_call_is_a_use_of_a_tool() {
        let names = Vocabulary::get().unwrap();
        for action in Action::ALL {
            let uid = names.action(action).unwrap().uid();
            assert_eq!(uid.to_string(), format!("Ambit::Action::\"{}\"", action.as_str()));
        }
        let alone =
            cedar_policy::Entities::from_entities([names.action(Action::CallTool).unwrap().clone()], None)
                .unwrap();
        let call = names.action(Action::CallTool).unwrap().uid();
        let groups: Vec<String> = alone.ancestors(&call).unwrap().map(ToString::to_string).collect();
        assert_eq!(groups, ["Ambit::Action::\"toolUse\""]);
    }

    /// Slices leave organisations out; that is right only as long as there is nothing to know about one.
    #[test]
    fn an_organisation_is_no_more_than_its_id() {
        let (fragment, _) =
            cedar_policy::SchemaFragment::from_cedarschema_str(schemas::cedar::SCHEMA).unwrap();
        let json = fragment.to_json_value().unwrap();
        assert_eq!(json["Ambit"]["entityTypes"]["Org"], serde_json::json!({}));
    }

    #[test]
    fn the_schema_has_no_warning() {
        let (_, warnings) = Schema::from_cedarschema_str(schemas::cedar::SCHEMA).unwrap();
        assert_eq!(warnings.map(|warning| warning.to_string()).collect::<Vec<_>>(), Vec::<String>::new());
    }
}
