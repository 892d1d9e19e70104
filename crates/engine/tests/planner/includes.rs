//! Files beside a runbook.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use serde_json::json;
use switchback_engine::planner::{Beside, Planned, plan_hash, plan_runbook_beside};
use switchback_engine::runbook::{Diagnostics, Source};
use switchback_model::plan::Template;

use crate::fakes::{phase, registry};

/// Files in memory.
struct Shelf(BTreeMap<&'static str, &'static str>);

impl Beside for Shelf {
    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        let found = self.0.get(path).ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no such file"))?;
        Ok(found.as_bytes().to_vec())
    }

    fn list(&self, path: &str) -> io::Result<Vec<String>> {
        let inside = self.0.keys().filter_map(|name| name.strip_prefix(path)?.strip_prefix('/'));
        Ok(inside.map(str::to_owned).collect())
    }
}

fn plan(steps: &str, files: &[(&'static str, &'static str)]) -> Result<Planned, Diagnostics> {
    let source = Source::new("a.yaml", &phase(steps));
    plan_runbook_beside(&source, &registry(), &BTreeMap::new(), Arc::new(Shelf(files.iter().copied().collect())))
}

fn any(with: &str, files: &[(&'static str, &'static str)]) -> Result<Planned, Diagnostics> {
    plan(
        &format!(
            "      - id: a\n        op: test.echo\n        with: {{ text: x }}\n      - id: any\n        op: test.echo\n        with: {{ any: {with} }}\n"
        ),
        files,
    )
}

fn params(planned: &Planned) -> &Template {
    &planned.plan.steps[1].params
}

#[test]
fn json_and_yaml_become_values_and_anything_else_a_text() {
    let files = [
        ("a.json", r#"{"list": [1, {"deep": true}], "at": "${a.text}"}"#),
        ("b.yaml", "one: 1\n"),
        ("sql/1.up.sql", "SELECT '${a.text}';\n"),
        ("sql/2.up.sql", "SELECT 2;\n"),
        ("sql/.swp", "no"),
    ];
    let planned =
        any("{ a: { file: a.json }, b: { file: b.yaml }, c: { file: sql/1.up.sql }, d: { folder: sql } }", &files);
    let planned = planned.unwrap();
    let output = json!({"text": "X", "count": 1});
    let resolved = params(&planned).resolve(&|step| (step.as_str() == "a").then_some(&output)).unwrap();
    assert_eq!(
        resolved["any"],
        json!({
            "a": {"list": [1, {"deep": true}], "at": "X"},
            "b": {"one": 1},
            "c": "SELECT '${a.text}';\n",
            "d": {"1.up.sql": "SELECT '${a.text}';\n", "2.up.sql": "SELECT 2;\n"},
        })
    );
    assert_eq!(planned.plan.steps[1].needs.len(), 1, "what is referred to in a file is needed");
    assert_eq!(planned.plan.files.len(), 4);
    assert_eq!(planned.plan.files["sql/2.up.sql"].len(), 64);
}

#[test]
fn the_plan_has_another_hash_when_a_file_has_another_content() {
    let hash = |text| plan_hash(&any("{ c: { file: a.sql } }", &[("a.sql", text)]).unwrap().plan);
    assert_eq!(hash("SELECT 1"), hash("SELECT 1"));
    assert_ne!(hash("SELECT 1"), hash("SELECT 2"));
}

#[test]
fn what_is_wrong_with_a_file_is_said_where_it_is_named() {
    let files = [
        ("broken.json", "{\n  \"a\": [1,\n}\n"),
        ("nested.json", r#"{"a": {"file": "b.json"}}"#),
        ("b.json", "1"),
        ("ref.json", r#"{"a": "${nobody.text}"}"#),
    ];
    let errors = |with: &str| any(with, &files).unwrap_err().render(false, 100);
    insta::assert_snapshot!(errors("{ a: { file: nothing.json } }"), @r"
    error[plan::include]: the file `nothing.json` cannot be included: no such file
      --> a.yaml:11:35
       |
    11 |         with: { any: { a: { file: nothing.json } } }
       |                                   ^^^^^^^^^^^^ named here
       = help: paths are relative to the folder of the runbook
    ");
    let first = |with: &str| errors(with).lines().next().unwrap_or_default().to_owned();
    let all = ["broken.json", "nested.json", "ref.json", "\"${a.text}\""]
        .map(|f| first(&format!("{{ a: {{ file: {f} }} }}")));
    insta::assert_snapshot!(all.join("\n"), @r"
    error[plan::include]: the file `broken.json` cannot be included: this is not YAML: mismatched bracket '[' closed by '}' at line 2, column 8
    error[plan::include]: the file `nested.json` cannot be included: it includes `b.json`, and what is included cannot include more
    error[reference::unknown_step]: there is no step `nobody`
    error[plan::include]: the path of a file must be known before the run
    ");
}

/// A file that is another one each time.
struct Changing(std::sync::atomic::AtomicU32);

impl Beside for Changing {
    fn read(&self, _path: &str) -> io::Result<Vec<u8>> {
        Ok(self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed).to_string().into_bytes())
    }

    fn list(&self, _path: &str) -> io::Result<Vec<String>> {
        Ok(Vec::new())
    }
}

#[test]
fn a_file_is_read_once_so_that_its_hash_is_of_what_every_step_got() {
    let steps =
        "      - id: a\n        op: test.echo\n        for_each: [x, y]\n        with: { text: { file: a.txt } }\n";
    let source = Source::new("a.yaml", &phase(steps));
    let planned = plan_runbook_beside(&source, &registry(), &BTreeMap::new(), Arc::new(Changing(0.into()))).unwrap();
    let [first, second] = planned.plan.steps.as_slice() else { panic!("two steps") };
    assert_eq!(first.params, second.params);
}
