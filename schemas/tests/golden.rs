//! The committed JSON Schemas are what the types generate. `UPDATE_GOLDEN=1 cargo test -p schemas` rewrites them; review the diff.

use std::path::Path;

#[test]
fn committed_schemas_are_what_the_types_generate() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (file, generated) in schemas::generate::generated().unwrap() {
        let path = folder.join(file);
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, &generated).unwrap();
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(
            committed, generated,
            "{file} is stale: run UPDATE_GOLDEN=1 cargo test -p schemas, then review the diff"
        );
    }
}

#[test]
fn a_leaf_hash_covers_the_canonical_text() {
    use schemas::{audit::*, ids::*};
    let event = AuditEvent {
        v: 1,
        id: EventId::mint(Timestamp(0), [0; 10]),
        org: OrgId::mint(Timestamp(0), [0; 10]),
        at: Timestamp(0),
        phase: Phase::Note,
        intent: None,
        actor: Actor { agent: None, user: None, credential: "operator".into() },
        method: "org.create".into(),
        subject: None,
        decision: None,
        connection: None,
        within: None,
        arguments: None,
        outcome: None,
        reason: None,
        traceparent: None,
    };
    let sealed = event.seal().unwrap();
    assert!(sealed.text.starts_with(r#"{"actor":{"credential":"operator"},"at":0,"#), "{}", sealed.text);
    assert_eq!(sealed.leaf, leaf_hash(&sealed.text));
    assert_eq!(serde_json::from_str::<AuditEvent>(&sealed.text).unwrap(), event);
}
