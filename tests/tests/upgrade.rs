//! After an update of the product, every organisation has the new guardrails around its own policies.

use std::collections::HashMap;

use gateway::Settings;
use gateway::platform::{Batch, Statement};
use gateway::secret::Secret;
use http::Method;
use policies::{PolicySource, SourceFile};
use serde_json::Value;
use tests::door::Door;
use tests::memory::{Memory, MemoryPlatform, URL, real_network};
use tests::operator::Operator;
use tests::programs::random_key;
use tests::stack::run;

const OWN: &str =
    r#"@id("own") permit (principal, action == Ambit::Action::"callTool", resource == Ambit::Tool::"s/t");"#;

#[test]
fn older_sets_get_the_guardrails_of_this_build() {
    run(async {
        let key = random_key();
        let secrets = HashMap::from([
            ("AMBIT_ROOT_KEY".to_owned(), Secret::new(random_key())),
            ("AMBIT_OPERATOR_KEY".to_owned(), Secret::new(key.clone())),
        ]);
        let platform = MemoryPlatform::new(secrets, real_network());
        let memory = Memory::start(Settings::new(URL).unwrap(), platform.clone()).await;
        let operator = Operator { door: Door::Memory(memory.clone()), key, org: "old".into() };
        operator.found().await;
        operator.publish(OWN).await;
        let newest = operator.must(Method::GET, "/policies", Value::Null).await["hash"].clone();

        // What an earlier build left: one guardrail, and the organisation's own file.
        let mut old = PolicySource { files: vec![policies::built_in()[0].clone()], tools: Vec::new() };
        old.files.push(SourceFile::new("test.cedar", OWN));
        let insert = "INSERT INTO policy_sets (hash, source, built_in, built_in_files, created_at) VALUES (?1, ?2, 'earlier', 1, 0)";
        let source = serde_json::to_string(&old).unwrap();
        platform.look(&Batch::write([
            Statement::new(insert, [old.hash().as_str().into(), source.into()]),
            Statement::new("UPDATE orgs SET policy_set = ?1", [old.hash().as_str().into()]),
        ]));
        assert_ne!(operator.must(Method::GET, "/policies", Value::Null).await["hash"], newest);

        memory.gateway.migrate(&platform).await.unwrap();
        let now = operator.must(Method::GET, "/policies", Value::Null).await;
        assert_eq!(now["hash"], newest, "the same own file under the same guardrails is the same set");
        assert_eq!(now["files"][0]["text"], OWN);
        let trail = operator.trail().await;
        assert_eq!(trail.last().unwrap()["actor"]["credential"], "gateway", "{trail:?}");
    });
}
