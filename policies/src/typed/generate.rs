//! From a tool's approved definition to the types of its arguments, by way of Cedar's own generator.

use std::collections::{BTreeMap, BTreeSet};

use cedar_policy::SchemaFragment;
use cedar_policy_mcp_schema_generator::{SchemaGenerator, SchemaGeneratorConfig};
use schemas::inventory::ToolDefinition;
use serde_json::{Value as Json, json};

use super::Field;
use super::types::Type;

/// What the generator asks to know of principals, resources and context: nothing of it is kept.
const STUB: &str = r#"namespace Ambit {
  @mcp_principal("Agent") entity Agent;
  @mcp_resource("Tool") entity Tool;
  @mcp_action("callTool") action "callTool";
}"#;

/// Objects within objects that are followed; what lies deeper is left out.
const DEPTH: usize = 8;

/// The types of a tool's arguments.
pub(super) struct Generated {
    /// The name of the record type.
    pub(super) name: String,
    pub(super) fields: BTreeMap<String, Field>,
    /// Enumerated types that it needs.
    pub(super) enums: BTreeMap<String, Vec<String>>,
    /// Arguments that are left out, and why.
    pub(super) opaque: BTreeMap<String, String>,
}

/// Generates the types. `taken` are the names of records that there are already: two tools' names may become one identifier.
pub(super) fn input(tool: &ToolDefinition, taken: impl Fn(&str) -> bool) -> Generated {
    // Types of ours are in camel case, and so never have an underscore; a server's name starts with a letter or a digit.
    let plain: String = tool.id().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    let plain = if plain.starts_with(|c: char| c.is_ascii_digit()) { format!("_{plain}") } else { plain };
    let names = std::iter::once(plain.clone()).chain((2_u32..).map(|number| format!("{plain}_{number}")));
    let name = names.into_iter().find(|name| !taken(&format!("{name}_input"))).unwrap_or(plain);
    let schema = tool.definition.get("inputSchema").cloned().unwrap_or_else(|| json!({ "type": "object" }));
    let names: Vec<String> = schema
        .get("properties")
        .and_then(Json::as_object)
        .map(|properties| properties.keys().cloned().collect())
        .unwrap_or_default();
    let mut opaque = BTreeMap::new();
    let space = generate(&name, &schema).or_else(|_| {
        // One argument that the generator refuses must not make the others opaque.
        let mut kept = BTreeSet::new();
        for argument in &names {
            match generate(&name, &only(&schema, &BTreeSet::from([argument.clone()]))) {
                Ok(_) => drop(kept.insert(argument.clone())),
                Err(reason) => drop(opaque.insert(argument.clone(), reason)),
            }
        }
        generate(&name, &only(&schema, &kept))
    });
    let mut reader = Reader { space: space.unwrap_or_default(), enums: BTreeMap::new() };
    let record = reader.shared_type(&format!("{name}Input")).cloned().unwrap_or_default();
    let (fields, left_out) = reader.fields(&record, 0);
    for argument in left_out {
        opaque.entry(argument).or_insert_with(|| "its type has no counterpart in Cedar".to_owned());
    }
    Generated { name: format!("{name}_input"), fields, enums: reader.enums, opaque }
}

/// The schema with these properties only.
fn only(schema: &Json, kept: &BTreeSet<String>) -> Json {
    let mut schema = schema.clone();
    if let Some(properties) = schema.get_mut("properties").and_then(Json::as_object_mut) {
        properties.retain(|name, _| kept.contains(name));
    }
    if let Some(required) = schema.get_mut("required").and_then(Json::as_array_mut) {
        required.retain(|name| name.as_str().is_some_and(|name| kept.contains(name)));
    }
    schema
}

/// Asks the generator, and answers the namespace that it makes, in Cedar's JSON.
fn generate(name: &str, input_schema: &Json) -> Result<Json, String> {
    let config = SchemaGeneratorConfig::default()
        .objects_as_records(true)
        .flatten_namespaces(true)
        .encode_numbers_as_decimal(true);
    let mut generator =
        SchemaGenerator::from_cedarschema_str_with_config(STUB, config).map_err(|error| error.to_string())?;
    let tool = json!([{ "name": name, "description": "", "inputSchema": input_schema }]);
    let server = mcp_tools_sdk::description::ServerDescription::from_json_str(&tool.to_string())
        .map_err(|error| error.to_string())?;
    generator.add_actions_from_server_description(&server).map_err(|error| error.to_string())?;
    let (fragment, _) = SchemaFragment::from_cedarschema_str(&generator.get_schema_as_str())
        .map_err(|error| error.to_string())?;
    let whole = fragment.to_json_value().map_err(|error| error.to_string())?;
    whole.get("Ambit").cloned().ok_or_else(|| "the generator made nothing".to_owned())
}

/// Reads types out of a generated namespace.
struct Reader {
    space: Json,
    enums: BTreeMap<String, Vec<String>>,
}

impl Reader {
    fn shared_type(&self, name: &str) -> Option<&Json> {
        self.space.get("commonTypes")?.get(name)
    }

    /// The fields of a record, and the names of those that are left out.
    fn fields(&mut self, record: &Json, depth: usize) -> (BTreeMap<String, Field>, Vec<String>) {
        let attributes = record.get("attributes").and_then(Json::as_object).cloned().unwrap_or_default();
        let (mut fields, mut left_out) = (BTreeMap::new(), Vec::new());
        for (name, attribute) in attributes {
            let required = attribute.get("required").and_then(Json::as_bool).unwrap_or(true);
            match self.kind(&attribute, depth) {
                Some(kind) => drop(fields.insert(name, Field { kind, required })),
                None => left_out.push(name),
            }
        }
        (fields, left_out)
    }

    fn kind(&mut self, schema: &Json, depth: usize) -> Option<Type> {
        if depth > DEPTH {
            return None;
        }
        let name = schema.get("name").and_then(Json::as_str).unwrap_or_default();
        let name = name.rsplit("::").next().unwrap_or(name).to_owned();
        match schema.get("type").and_then(Json::as_str)? {
            "Set" => Some(Type::Set(Box::new(self.kind(schema.get("element")?, depth + 1)?))),
            "Record" => self.record(schema, depth),
            "String" => Some(Type::String),
            "Long" => Some(Type::Long),
            "Boolean" => Some(Type::Bool),
            "EntityOrCommon" | "Extension" | "Entity" => match name.as_str() {
                "String" => Some(Type::String),
                "Long" => Some(Type::Long),
                "Bool" | "Boolean" => Some(Type::Bool),
                "decimal" => Some(Type::Extension("decimal")),
                "datetime" => Some(Type::Extension("datetime")),
                "duration" => Some(Type::Extension("duration")),
                "ipaddr" => Some(Type::Extension("ip")),
                "Null" => Some(Type::Null),
                _ => self.named(&name, depth),
            },
            _ => None,
        }
        .filter(|kind| depth > 0 || !matches!(kind, Type::Null))
    }

    fn named(&mut self, name: &str, depth: usize) -> Option<Type> {
        if let Some(shared) = self.shared_type(name).cloned() {
            return self.kind(&shared, depth + 1);
        }
        let members = self.space.get("entityTypes")?.get(name)?.get("enum")?.as_array()?;
        let members: Vec<String> = members.iter().filter_map(|m| m.as_str().map(str::to_owned)).collect();
        self.enums.insert(name.to_owned(), members.clone());
        Some(Type::Enum(name.to_owned(), members))
    }

    fn record(&mut self, schema: &Json, depth: usize) -> Option<Type> {
        let attributes = schema.get("attributes").and_then(Json::as_object)?;
        if attributes.keys().any(|name| name.starts_with("typeChoice")) {
            let attributes = attributes.clone();
            // A choice that is left out could be taken for the next one, so one opaque choice makes all opaque.
            let choices: Option<BTreeMap<String, Type>> = attributes
                .iter()
                .map(|(place, choice)| Some((place.clone(), self.kind(choice, depth + 1)?)))
                .collect();
            return choices.map(Type::Choice);
        }
        let (fields, left_out) = self.fields(schema, depth + 1);
        // A free object has nothing that a policy could look into.
        (!fields.is_empty() || left_out.is_empty() && !attributes.is_empty()).then_some(Type::Record(fields))
    }
}
