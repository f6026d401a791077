//! A tool's definition: what it says of itself, and which arguments its headers mirror.

use serde_json::Value;

use super::Flags;

/// What the server itself says of the tool: only a hint, until someone confirms it.
pub(crate) fn declared(definition: &Value) -> Flags {
    let hint = |key: &str, missing: bool| {
        definition
            .get("annotations")
            .and_then(|hints| hints.get(key))
            .and_then(Value::as_bool)
            .unwrap_or(missing)
    };
    let read_only = hint("readOnlyHint", false);
    Flags {
        read_only,
        destructive: !read_only && hint("destructiveHint", true),
        idempotent: hint("idempotentHint", false),
        open_world: hint("openWorldHint", true),
    }
}

/// Why a definition is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("its `x-mcp-header` annotations break the rules: {0}")]
pub(crate) struct BadHeader(String);

/// Arguments that `Mcp-Param-*` headers mirror (`x-mcp-header`, MCP 2026-07-28 transports): name part of the header and path of the argument.
///
/// # Errors
/// A name that is no token or comes twice, or a type that has no plain form: such a tool must not be offered.
pub(crate) fn mirrored(definition: &Value) -> Result<Vec<(String, Vec<String>)>, BadHeader> {
    let mut found = Vec::new();
    if let Some(schema) = definition.get("inputSchema") {
        collect(schema, &mut Vec::new(), &mut found, 0)?;
    }
    for (index, (name, _)) in found.iter().enumerate() {
        if found.iter().take(index).any(|(other, _)| other.eq_ignore_ascii_case(name)) {
            return Err(BadHeader(format!("`{name}` comes twice")));
        }
    }
    Ok(found)
}

fn collect(
    schema: &Value,
    path: &mut Vec<String>,
    found: &mut Vec<(String, Vec<String>)>,
    depth: usize,
) -> Result<(), BadHeader> {
    if depth > 16 {
        return Ok(());
    }
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return Ok(()) };
    for (key, property) in properties {
        path.push(key.clone());
        if let Some(header) = property.get("x-mcp-header") {
            let name = header.as_str().unwrap_or_default();
            let token = !name.is_empty()
                && name.bytes().all(|c| c.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&c));
            let plain = matches!(
                property.get("type").and_then(Value::as_str),
                Some("string" | "integer" | "boolean")
            );
            if !token || !plain {
                return Err(BadHeader(format!("`{header}` on `{}`", path.join("."))));
            }
            found.push((name.to_owned(), path.clone()));
        }
        collect(property, path, found, depth + 1)?;
        path.pop();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn headers_are_found_along_properties_only() {
        let tool =
            |property: Value| json!({"inputSchema":{"properties":{"a":{"properties":{"region":property}}}}});
        let good = tool(json!({"type":"string","x-mcp-header":"Region"}));
        assert_eq!(
            mirrored(&good).unwrap(),
            [("Region".to_owned(), vec!["a".to_owned(), "region".to_owned()])]
        );
        assert!(mirrored(&tool(json!({"type":"string","x-mcp-header":"no token"}))).is_err());
        assert!(mirrored(&tool(json!({"type":"object","x-mcp-header":"X"}))).is_err());
    }

    #[test]
    fn silence_means_destructive() {
        assert!(declared(&json!({})).destructive);
        assert!(!declared(&json!({"annotations":{"readOnlyHint":true}})).destructive);
    }
}
