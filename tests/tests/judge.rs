//! Cedar's own command line decides every case as our engine does, for the same reasons: an engine that slices, selects and
//! builds Cedar's values by itself is only right if Cedar, given everything, says the same.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use policies::cases::{Case, CaseFile};
use policies::export::{CedarDocuments, cedar_documents};
use policies::{CompiledSet, PolicySource, SourceFile, compile, decide};
use schemas::decision::{Decision, DecisionRecord, DecisionRequest, Effect};
use schemas::inventory::{Inventory, ToolDefinition};
use schemas::names::ServerName;
use tests::programs::tool;

/// What Cedar says.
#[derive(Debug, PartialEq, Eq)]
struct Judgement {
    effect: Effect,
    policies: BTreeSet<String>,
    erred: bool,
}

/// A folder with what all cases of a file share, for `cedar` to read.
struct Court {
    folder: tempfile::TempDir,
}

impl Court {
    fn new(source: &PolicySource) -> Self {
        let court = Self { folder: tempfile::tempdir().unwrap() };
        let texts: Vec<&str> = source.files.iter().map(|file| file.text.as_str()).collect();
        court.write("policies.cedar", &texts.join("\n"));
        court.write("schema.cedarschema", &source.schema_text().unwrap());
        court
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    fn judge(&self, documents: &CedarDocuments) -> Judgement {
        self.write("request.json", &documents.request.to_string());
        self.write("entities.json", &documents.entities.to_string());
        let output = Command::new(tool("cedar"))
            .args([
                "authorize",
                "--verbose",
                "--policies",
                "policies.cedar",
                "--schema",
                "schema.cedarschema",
            ])
            .args(["--request-json", "request.json", "--entities", "entities.json"])
            .current_dir(self.folder.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        let effect = match output.status.code() {
            Some(0) => Effect::Allow,
            // Not 1: that is a request, a schema or entities that Cedar does not accept.
            Some(2) => Effect::Deny,
            _ => panic!("{said}\n{}\n{documents:#?}", String::from_utf8_lossy(&output.stderr)),
        };
        let reasons = said.split_once("due to the following policies:\n").map_or("", |(_, reasons)| reasons);
        Judgement {
            effect,
            policies: reasons
                .lines()
                .map(str::trim)
                .filter(|line| !line.is_empty())
                .map(str::to_owned)
                .collect(),
            erred: said.contains("error while evaluating policy"),
        }
    }
}

/// Every case file: of the built-in policies, and of the examples.
fn case_files() -> Vec<PathBuf> {
    let policies = Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies");
    let mut found = Vec::new();
    let mut folders = vec![policies.join("cases"), policies.join("example")];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for path in entries.map(|entry| entry.unwrap().path()) {
            let in_cases = folder.file_name().is_some_and(|name| name == "cases");
            if path.is_dir() {
                folders.push(path);
            } else if in_cases && path.extension().is_some_and(|extension| extension == "json") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// What a case file is about: the policies, and the names it can use. Cases of a directory of policies are about that directory.
fn subject(path: &Path, file: &CaseFile) -> (PolicySource, Option<Inventory>) {
    let directory = path.parent().and_then(Path::parent).unwrap();
    let inventory = directory.join("inventory.json");
    if !inventory.is_file() {
        return (PolicySource::with_built_in(file.policies.clone()).with_tools(file.tools.clone()), None);
    }
    let read = |path: &Path| fs::read_to_string(path).unwrap();
    let of_kind = |folder: &Path, kind: &str| {
        let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let mut paths: Vec<PathBuf> =
            paths.filter(|path| path.extension().is_some_and(|e| e == kind)).collect();
        paths.sort();
        paths
    };
    let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
    let files =
        of_kind(directory, "cedar").iter().map(|path| SourceFile::new(name(path), read(path))).collect();
    let mut tools = Vec::new();
    for path in of_kind(&directory.join("tools"), "json") {
        let server: ServerName = path.file_stem().unwrap().to_str().unwrap().parse().unwrap();
        let list: serde_json::Value = serde_json::from_str(&read(&path)).unwrap();
        let definitions = list["tools"].as_array().unwrap().clone();
        tools.extend(
            definitions.into_iter().map(|definition| ToolDefinition { server: server.clone(), definition }),
        );
    }
    let inventory = serde_json::from_str(&read(&inventory)).unwrap();
    (PolicySource::with_built_in(files).with_tools(tools), Some(inventory))
}

/// Of typed arguments the engine is shown those that policies look into: fewer than the schema wants. Cedar's command line gets the
/// missing ones too, with values that nobody looks at.
fn completed(
    mut documents: CedarDocuments,
    source: &PolicySource,
    request: &DecisionRequest,
) -> CedarDocuments {
    let tool = request.resource.tool().map(|tool| format!("{}/{}", tool.server.name, tool.name));
    let known = source.tools.iter().find(|known| Some(known.id()) == tool);
    let input = documents.request["context"].get_mut("input").and_then(serde_json::Value::as_object_mut);
    let (Some(known), Some(input)) = (known, input) else { return documents };
    let schema = &known.definition["inputSchema"];
    for name in schema["required"].as_array().into_iter().flatten().filter_map(serde_json::Value::as_str) {
        let value = match schema["properties"][name]["type"].as_str() {
            Some("integer") => 0.into(),
            Some("boolean") => false.into(),
            Some("number") => serde_json::json!({ "__extn": { "fn": "decimal", "arg": "0.0" } }),
            _ => "".into(),
        };
        input.entry(name).or_insert(value);
    }
    documents
}

fn decided(set: &CompiledSet, file: &CaseFile, inventory: Option<&Inventory>, case: &Case) -> DecisionRecord {
    let request = file.request_with(set, inventory, case).unwrap();
    decide(set, request).map_or_else(|denial| denial.record().clone(), |permit| permit.record().clone())
}

/// Ours as Cedar would say it: we deny when a policy errs, Cedar goes on without it.
fn agrees(ours: &Decision, cedar: &Judgement) -> bool {
    let policies: BTreeSet<String> = ours.policies.iter().cloned().collect();
    if ours.errors.is_empty() {
        (ours.effect, &policies, false) == (cedar.effect, &cedar.policies, cedar.erred)
    } else {
        ours.effect == Effect::Deny && cedar.erred
    }
}

#[test]
fn cedar_decides_every_case_as_we_do() {
    let mut wrong = Vec::new();
    let (mut judged, mut unasked) = (0, 0);
    for path in case_files() {
        let file = CaseFile::parse(&fs::read_to_string(&path).unwrap()).unwrap();
        let (source, inventory) = subject(&path, &file);
        let set = compile(&source).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert_eq!(file.run_with(&set, inventory.as_ref()), [], "{}", path.display());
        let court = Court::new(&source);
        for case in &file.cases {
            let DecisionRecord { request, decision, .. } = decided(&set, &file, inventory.as_ref(), case);
            let Ok(documents) = cedar_documents(&set, &request) else {
                // Cedar is not asked about facts that do not fit together; then we deny, and say why.
                assert!(decision.effect == Effect::Deny && !decision.errors.is_empty(), "{}", case.name);
                unasked += 1;
                continue;
            };
            let cedar = court.judge(&completed(documents, &source, &request));
            judged += 1;
            if !agrees(&decision, &cedar) {
                wrong.push(format!("{}: {}: we {decision:?}, Cedar {cedar:?}", path.display(), case.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(judged > 100 && unasked < judged / 5, "{judged} cases judged, {unasked} not put to Cedar");
}

/// The judge is not one who nods: given another decision, it disagrees.
#[test]
fn another_decision_is_noticed() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies/cases/guardrails.json");
    let file = CaseFile::parse(&fs::read_to_string(path).unwrap()).unwrap();
    let source = PolicySource::with_built_in(Vec::new());
    let set = compile(&source).unwrap();
    let record = decided(&set, &file, None, &file.cases[0]);
    let documents = cedar_documents(&set, &record.request).unwrap();
    let mut forbidden = source;
    let everything = "@id(\"nothing\") forbid (principal, action, resource);";
    forbidden.files.push(policies::SourceFile::new("nothing.cedar", everything));
    let cedar = Court::new(&forbidden).judge(&documents);
    assert!(cedar.policies.contains("nothing") && !agrees(&record.decision, &cedar), "{cedar:?}");
}
