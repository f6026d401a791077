//! The names of the Cedar schema, parsed once: entity types, actions, and the members of the enumerated types.

use std::sync::LazyLock;

use cedar_policy::{EntityTypeName, Schema, SchemaFragment};
use cedar_policy_core::ast::{Eid, Entity, EntityType, EntityUID, Name};
use schemas::decision::{Action, DefinitionState, Status, Trust};

/// Every name that a request is built from.
#[derive(Debug)]
pub(crate) struct Vocabulary {
    pub(crate) agent: EntityType,
    pub(crate) args: EntityType,
    pub(crate) connection: EntityType,
    pub(crate) mcp_server: EntityType,
    pub(crate) org: EntityType,
    pub(crate) prompt: EntityType,
    pub(crate) provider: EntityType,
    pub(crate) resource: EntityType,
    pub(crate) role: EntityType,
    pub(crate) team: EntityType,
    pub(crate) tool: EntityType,
    pub(crate) toolbox: EntityType,
    pub(crate) user: EntityType,
    /// Cedar's function that reads a time. Its name is parsed once: parsing it costs as much as three policies.
    pub(crate) datetime: Name,
    actions: Vec<(Action, Entity)>,
    definition_state: EntityType,
    status: EntityType,
    trust: EntityType,
}

impl Vocabulary {
    fn parse() -> Result<Self, Box<dyn std::error::Error>> {
        let entities = schema()?.action_entities()?;
        let actions_kind = kind("Ambit::Action")?;
        let mut actions = Vec::new();
        for action in Action::ALL {
            let id = uid(&actions_kind, action.as_str()).into();
            let entity: &Entity = entities.get(&id).ok_or("an action is not in the schema")?.as_ref();
            actions.push((action, entity.clone()));
        }
        Ok(Self {
            agent: kind("Ambit::Agent")?,
            args: kind("Ambit::Args")?,
            connection: kind("Ambit::Connection")?,
            mcp_server: kind("Ambit::McpServer")?,
            org: kind("Ambit::Org")?,
            prompt: kind("Ambit::Prompt")?,
            provider: kind("Ambit::Provider")?,
            resource: kind("Ambit::Resource")?,
            role: kind("Ambit::Role")?,
            team: kind("Ambit::Team")?,
            tool: kind("Ambit::Tool")?,
            toolbox: kind("Ambit::Toolbox")?,
            user: kind("Ambit::User")?,
            datetime: "datetime".parse()?,
            actions,
            definition_state: kind("Ambit::DefinitionState")?,
            status: kind("Ambit::Status")?,
            trust: kind("Ambit::Trust")?,
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
        self.actions.iter().find(|(known, _)| *known == action).map(|(_, entity)| entity)
    }

    pub(crate) fn status(&self, status: Status) -> EntityUID {
        let id = match status {
            Status::Active => "active",
            Status::Suspended => "suspended",
            Status::Deleted => "deleted",
        };
        uid(&self.status, id)
    }

    pub(crate) fn trust(&self, trust: Trust) -> EntityUID {
        let id = match trust {
            Trust::FirstParty => "first_party",
            Trust::Verified => "verified",
            Trust::Community => "community",
            Trust::Untrusted => "untrusted",
        };
        uid(&self.trust, id)
    }

    pub(crate) fn state(&self, state: DefinitionState) -> EntityUID {
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
pub(crate) fn uid(kind: &EntityType, id: &str) -> EntityUID {
    EntityUID::from_components(kind.clone(), Eid::new(id), None)
}

/// The entity type of that name.
pub(crate) fn kind(name: &str) -> Result<EntityType, Box<cedar_policy::ParseErrors>> {
    let name: EntityTypeName = name.parse()?;
    Ok(name.as_ref().clone())
}

/// The schema of this build, parsed once: as a fragment, for extending, and resolved.
pub(crate) fn base() -> Result<(&'static SchemaFragment, &'static Schema), &'static str> {
    static BASE: LazyLock<Result<(SchemaFragment, Schema), String>> = LazyLock::new(|| {
        let (fragment, _warnings) = SchemaFragment::from_cedarschema_str(schemas::cedar::SCHEMA)
            .map_err(|error| error.to_string())?;
        let schema = Schema::from_schema_fragments([fragment.clone()]).map_err(|error| error.to_string())?;
        Ok((fragment, schema))
    });
    BASE.as_ref().map(|(fragment, schema)| (fragment, schema)).map_err(String::as_str)
}

/// The schema of this build, resolved.
pub(crate) fn schema() -> Result<&'static Schema, &'static str> {
    base().map(|(_, schema)| schema)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_in_the_schema() {
        let names = Vocabulary::get().unwrap();
        let schema = schema().unwrap();
        let types: Vec<&EntityType> = schema.entity_types().map(AsRef::as_ref).collect();
        for name in [
            &names.agent,
            &names.args,
            &names.connection,
            &names.mcp_server,
            &names.org,
            &names.prompt,
            &names.provider,
            &names.resource,
            &names.role,
            &names.team,
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
        let call = names.action(Action::CallTool).unwrap();
        let groups: Vec<String> = call.ancestors().map(ToString::to_string).collect();
        assert_eq!(groups, ["Ambit::Action::\"toolUse\""]);
    }

    /// Slices leave these out; that is right only as long as there is nothing to know about one.
    #[test]
    fn some_are_no_more_than_their_ids() {
        let (fragment, _) =
            cedar_policy::SchemaFragment::from_cedarschema_str(schemas::cedar::SCHEMA).unwrap();
        let json = fragment.to_json_value().unwrap();
        for name in ["Org", "Team", "Role", "Provider"] {
            let entity = &json["Ambit"]["entityTypes"][name];
            assert!(entity["shape"].is_null() && entity["tags"].is_null(), "{name}: {entity}");
        }
    }

    #[test]
    fn the_schema_has_no_warning() {
        let (_, warnings) = Schema::from_cedarschema_str(schemas::cedar::SCHEMA).unwrap();
        assert_eq!(warnings.map(|warning| warning.to_string()).collect::<Vec<_>>(), Vec::<String>::new());
    }
}
