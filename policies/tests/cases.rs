//! Every case file holds.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, its helpers too"
)]

use policies::cases::{CaseError, CaseFile};
use policies::{PolicySource, compile};

#[test]
fn every_case_holds() {
    let mut failed = Vec::new();
    let mut files = 0;
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/cases")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let file = CaseFile::parse(&std::fs::read_to_string(&path).unwrap())
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let set = compile(&PolicySource::with_built_in(file.policies.clone()).with_tools(file.tools.clone()))
            .unwrap_or_else(|error| panic!("{name}:\n{error}"));
        failed.extend(file.run(&set).iter().map(|error| format!("{name}: {error}")));
        files += 1;
    }
    assert!(files >= 9, "the case files are gone");
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

fn file(case: &str) -> CaseFile {
    let base = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/cases/grants.json")).unwrap();
    let mut json: serde_json::Value = serde_json::from_str(&base).unwrap();
    json["cases"] = serde_json::from_str(&format!("[{case}]")).unwrap();
    CaseFile::parse(&json.to_string()).unwrap()
}

#[test]
fn a_case_that_does_not_hold_says_so() {
    let set = compile(&PolicySource::with_built_in(Vec::new())).unwrap();
    let wrong = file(r#"{ "name": "wrong", "expect": { "effect": "allow", "policies": ["p-grants"] } }"#);
    let text = wrong.run(&set).iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(text, [r#"case `wrong`: expected allow by ["p-grants"], decided deny by []"#]);

    let astray =
        file(r#"{ "name": "astray", "set": { "/nobody/status": "x" }, "expect": { "effect": "deny" } }"#);
    assert!(matches!(astray.run(&set).as_slice(), [CaseError::Pointer { .. }]));

    let nonsense =
        file(r#"{ "name": "x", "set": { "/principal/status": "x" }, "expect": { "effect": "deny" } }"#);
    assert!(matches!(nonsense.run(&set).as_slice(), [CaseError::Request { .. }]));
}
