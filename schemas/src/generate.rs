//! The JSON Schemas beside this package, generated from the types.

/// File name and content of every generated schema.
///
/// # Errors
/// Only if a schema has no JSON form.
pub fn generated() -> Result<Vec<(&'static str, String)>, serde_json::Error> {
    let render = |schema: schemars::Schema| {
        serde_json::to_string_pretty(&sorted(schema.to_value())).map(|text| text + "\n")
    };
    Ok(vec![
        ("audit-event.schema.json", render(schemars::schema_for!(crate::audit::AuditEvent))?),
        ("decision-record.schema.json", render(schemars::schema_for!(crate::decision::DecisionRecord))?),
        ("inventory.schema.json", render(schemars::schema_for!(crate::inventory::Inventory))?),
        ("injection.schema.json", render(schemars::schema_for!(crate::provisioner::Injection))?),
        ("transit-key.schema.json", render(schemars::schema_for!(crate::provisioner::TransitKey))?),
        ("workload-spec.schema.json", render(schemars::schema_for!(crate::provisioner::WorkloadSpec))?),
        ("workload-status.schema.json", render(schemars::schema_for!(crate::provisioner::WorkloadStatus))?),
        ("workload-event.schema.json", render(schemars::schema_for!(crate::provisioner::WorkloadEvent))?),
        (
            "provisioner-status.schema.json",
            render(schemars::schema_for!(crate::provisioner::ProvisionerStatus))?,
        ),
        ("problem.schema.json", render(schemars::schema_for!(crate::provisioner::Problem))?),
    ])
}

/// The same value with its keys in order, whatever order the build's JSON library keeps them in.
fn sorted(value: serde_json::Value) -> serde_json::Value {
    match value {
        serde_json::Value::Object(members) => {
            let members: std::collections::BTreeMap<_, _> =
                members.into_iter().map(|(key, value)| (key, sorted(value))).collect();
            serde_json::Value::Object(members.into_iter().collect())
        }
        serde_json::Value::Array(items) => items.into_iter().map(sorted).collect(),
        scalar @ (serde_json::Value::Null
        | serde_json::Value::Bool(_)
        | serde_json::Value::Number(_)
        | serde_json::Value::String(_)) => scalar,
    }
}
