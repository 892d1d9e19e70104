//! Inputs of type secret: where they may stand, and that a plan never holds one.

use serde_json::json;
use switchback_engine::planner::{load_plan, plan_text, runbook_schema};
use switchback_engine::runbook::{Source, parse};
use switchback_model::plan::{ManagedSecret, SecretFrom, SecretInput, Template};

use crate::fakes::{errors, errors_with, plan, registry};

/// A runbook whose only step is a user with these parameters.
fn user(with: &str) -> String {
    runbook(&format!("      - id: ana\n        op: test.user\n        with: {with}\n"))
}

fn runbook(steps: &str) -> String {
    format!(
        "runbook: demo\nversion: 1\ntarget: {{ aws: {{ region: r, account: \"123456789012\" }} }}\ninputs:\n  env: {{ type: string, default: dev }}\n  pw:\n    type: secret\n    \
         description: of the database\n    from: {{ secrets_manager: {{ secret_id: \"${{inputs.env}}/db\", json_key: password }} }}\n  \
         spare: {{ type: secret }}\nphases:\n  - name: main\n    steps:\n{steps}"
    )
}

#[test]
fn a_secret_is_in_the_plan_by_its_name_only() {
    let plan = plan(&user("{ name: ana, password: \"${inputs.pw}\" }")).plan;
    assert_eq!(plan.inputs, [("env".to_owned(), json!("dev"))].into());
    let from = ManagedSecret { secret_id: "dev/db".into(), json_key: Some("password".into()), version_stage: None };
    let input =
        SecretInput { description: Some("of the database".into()), from: Some(SecretFrom::SecretsManager(from)) };
    assert_eq!(plan.secrets, [("pw".to_owned(), input)].into(), "one that no step uses is never asked for");
    let params =
        [("name".to_owned(), Template::Lit(json!("ana"))), ("password".to_owned(), Template::Secret("pw".into()))];
    assert_eq!(plan.steps[0].params, Template::Map(params.into()));
    let text = plan_text(&plan);
    assert_eq!(load_plan(&text, &registry()).unwrap(), plan);
}

#[test]
fn a_stored_plan_cannot_smuggle_a_secret_elsewhere() {
    let text = plan_text(&plan(&user("{ name: ana, password: \"${inputs.pw}\" }")).plan);
    let broken = |from: &str, to: &str| {
        assert!(text.contains(from), "{text}");
        load_plan(&text.replacen(from, to, 1), &registry()).unwrap_err().to_string()
    };
    let refused = "step `ana` refers to the secret `pw` in a way that a plan cannot have";
    assert_eq!(broken(r#"{"secret":"pw"}"#, r#"{"join":[{"secret":"pw"}]}"#), refused);
    assert_eq!(broken(r#""secrets":{"pw""#, r#""secrets":{"qw""#), refused);
}

#[test]
fn a_secret_stands_where_an_operation_takes_one() {
    insta::assert_snapshot!(errors(&user("{ name: \"${inputs.pw}\", password: hunter2 }")), @r#"
    error[plan::secret]: `name` does not take a secret, and `pw` is one
      --> runbook.yaml:16:23
       |
    16 |         with: { name: "${inputs.pw}", password: ******* }
       |                       ^^^^^^^^^^^^^^ this would be stored and shown like any other value
       = help: a secret stands only where an operation takes one

    error[plan::secret]: `password` wants a secret
      --> runbook.yaml:16:49
       |
    16 |         with: { name: "${inputs.pw}", password: ******* }
       |                                                 ^^^^^^^ this would be stored in the plan and in the journal
       = help: declare an input of type `secret` and refer to it: `${inputs.NAME}`
    "#);
    insta::assert_snapshot!(errors(&user("{ name: \"u-${inputs.pw}\", password: \"${inputs.env}\" }")), @r#"
    error[reference::in_text]: `${inputs.pw}` is a secret and cannot be part of a text
      --> runbook.yaml:16:26
       |
    16 |         with: { name: "u-${inputs.pw}", password: "${inputs.env}" }
       |                          ^^^^^^^^^^^^ this is a secret
       = help: a text is stored in the plan; a secret stands alone, where an operation takes one

    error[plan::secret]: `password` wants a secret
      --> runbook.yaml:16:51
       |
    16 |         with: { name: "u-${inputs.pw}", password: "${inputs.env}" }
       |                                                   ^^^^^^^^^^^^^^^ this would be stored in the plan and in the journal
       = help: declare an input of type `secret` and refer to it: `${inputs.NAME}`
    "#);
    insta::assert_snapshot!(errors(&user("{ name: a, password: { source: x, fingerprint: y } }")), @r"
    error[plan::secret]: `password` wants a secret
      --> runbook.yaml:16:36
       |
    16 |         with: { name: a, password: ***************************** }
       |                                    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ this would be stored in the plan and in the journal
       = help: declare an input of type `secret` and refer to it: `${inputs.NAME}`
    ");
    insta::assert_snapshot!(errors(&user("{ name: a, password: \"p-${inputs.pw}\", token: \"${inputs.pw.key}\" }")), @r#"
    error[reference::in_text]: `${inputs.pw}` is a secret and cannot be part of a text
      --> runbook.yaml:16:39
       |
    16 |         with: { name: a, password: "p-${inputs.pw}", token: "${inputs.pw.key}" }
       |                                       ^^^^^^^^^^^^ this is a secret
       = help: a text is stored in the plan; a secret stands alone, where an operation takes one

    error[reference::unknown_field]: `${inputs.pw.key}`: a secret has no fields
      --> runbook.yaml:16:74
       |
    16 |         with: { name: a, password: "p-${inputs.pw}", token: "${inputs.pw.key}" }
       |                                                                          ^^^ this field is not there
       = help: a secret is one text; `from: { secrets_manager: ... }` takes a `json_key`
    "#);
    insta::assert_snapshot!(errors(&runbook("      - { id: e, op: test.echo, with: { any: { deep: [\"${inputs.pw}\"] } } }\n")), @r#"
    error[plan::secret]: `any.deep[0]` does not take a secret, and `pw` is one
      --> runbook.yaml:14:55
       |
    14 |       - { id: e, op: test.echo, with: { any: { deep: ["${inputs.pw}"] } } }
       |                                                       ^^^^^^^^^^^^^^ this would be stored and shown like any other value
       = help: a secret stands only where an operation takes one
    "#);
}

#[test]
fn an_output_that_is_a_secret_stays_one() {
    let ana = "      - { id: ana, op: test.user, with: { name: ana, password: \"${inputs.pw}\" } }\n";
    let same = "      - { id: bob, op: test.user, with: { name: bob, password: \"${ana.password}\", token: null } }\n";
    assert_eq!(plan(&runbook(&format!("{ana}{same}"))).plan.steps.len(), 2);
    let shown = "      - { id: bob, op: test.user, with: { name: \"${ana.password}\", password: \"${ana.name}\" } }\n";
    insta::assert_snapshot!(errors(&runbook(&format!("{ana}{shown}"))), @r#"
    error[plan::secret]: `name` does not take a secret, and `ana.password` is one
      --> runbook.yaml:15:49
       |
    15 |       - { id: bob, op: test.user, with: { name: "${ana.password}", password: "${ana.name}" } }
       |                                                 ^^^^^^^^^^^^^^^^^ this would be stored and shown like any other value
       = help: a secret stands only where an operation takes one

    error[plan::secret]: `password` wants a secret
      --> runbook.yaml:15:78
       |
    15 |       - { id: bob, op: test.user, with: { name: "${ana.password}", password: "${ana.name}" } }
       |                                                                              ^^^^^^^^^^^^^ this would be stored in the plan and in the journal
       = help: declare an input of type `secret` and refer to it: `${inputs.NAME}`
    "#);
}

#[test]
fn nothing_is_decided_by_a_secret() {
    let step = |rest: &str| {
        runbook(&format!(
            "      - id: ana\n        op: test.user\n        with: {{ name: a, password: \"${{inputs.pw}}\" }}\n        {rest}\n"
        ))
    };
    insta::assert_snapshot!(errors(&step("for_each: [\"${inputs.pw}\"]")), @r#"
    error[plan::secret]: `${inputs.pw}` is a secret and cannot stand here
      --> runbook.yaml:17:20
       |
    17 |         for_each: ["${inputs.pw}"]
       |                    ^^^^^^^^^^^^^^ what stands here goes into the plan
       = help: a secret stands alone, in the parameters of an operation that takes one
    "#);
    insta::assert_snapshot!(errors(&step("when: inputs.pw == \"x\"")), @r#"
    error[plan::secret]: `when` cannot look at the secret `pw`
      --> runbook.yaml:17:15
       |
    17 |         when: inputs.pw == "x"
       |               ^^^^^^^^^ what this decides can be read by anybody
       = help: decide by another input
    "#);
    insta::assert_snapshot!(errors(&step("verify: [\"output.name == inputs['pw']\"]")), @r#"
    error[plan::secret]: `verify` cannot look at the secret `pw`
      --> runbook.yaml:17:34
       |
    17 |         verify: ["output.name == inputs['pw']"]
       |                                  ^^^^^^^^^^^^ what this decides can be read by anybody
       = help: decide by another input
    "#);
    assert!(plan(&step("when: inputs.env == \"dev\"")).plan.steps.len() == 1, "other inputs decide as before");
}

#[test]
fn a_value_has_no_place_in_a_runbook_or_on_a_command_line() {
    let text = user("{ name: a, password: \"${inputs.pw}\" }");
    let given = errors_with(&text, &[("pw", "hunter2")]);
    assert!(!given.contains("hunter2"));
    insta::assert_snapshot!(given, @r"
    error[input::secret_given]: the input `pw` is a secret and was given with `--input`
     --> runbook.yaml:6:3
      |
    6 |   pw:
      |   ^^ its type is `secret`
      = help: other users of this host can read command lines: treat the value as known and change it; give the next one in SWITCHBACK_INPUT_PW, or with `--secret-file pw=PATH`
    ");
    insta::assert_snapshot!(errors(&text.replace("spare: { type: secret }", "spare: { type: secret, default: hunter2, pattern: x }")), @r"
    error[input::secret_default]: the secret `spare` has a default
      --> runbook.yaml:10:35
       |
    10 |   spare: { type: secret, default: *******, pattern: x }
       |                                   ^^^^^^^ whoever reads the runbook can read this
       = help: remove it, and change what it stands for; `from:` says where a secret comes from

    error[input::pattern]: the input `spare` has a pattern and is not a string
      --> runbook.yaml:10:53
       |
    10 |   spare: { type: secret, default: *******, pattern: x }
       |                                                     ^ its type is `secret`
       = help: only inputs of type `string` can have a pattern
    ");
    insta::assert_snapshot!(errors(&text.replace("spare: { type: secret }", "spare: { type: string, default: a, from: { file: x } }")), @r"
    error[input::from]: the input `spare` says where it comes from
      --> runbook.yaml:10:3
       |
    10 |   spare: { type: string, default: a, from: { file: x } }
       |   ^^^^^ its type is `string`
       = help: only inputs of type `secret` have `from`; give this one with `--input`, or a `default`
    ");
}

#[test]
fn from_names_one_place() {
    let from = |from: &str| {
        errors(&user("{}").replace("spare: { type: secret }", &format!("spare: {{ type: secret, from: {from} }}")))
    };
    insta::assert_snapshot!(from("{}"), @r"
    error[runbook::secret_from]: `from` wants one place
      --> runbook.yaml:10:32
       |
    10 |   spare: { type: secret, from: {} }
       |                                ^^ this is not one
       = help: write `from: { file: PATH }` or `from: { secrets_manager: { secret_id: NAME } }`
    ");
    insta::assert_snapshot!(from("{ file: x, secrets_manager: { secret_id: y } }"), @r"
    error[runbook::secret_from]: `from` wants one place
      --> runbook.yaml:10:32
       |
    10 |   spare: { type: secret, from: { file: x, secrets_manager: { secret_id: y } } }
       |                                ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ this is not one
       = help: write `from: { file: PATH }` or `from: { secrets_manager: { secret_id: NAME } }`
    ");
    insta::assert_snapshot!(from("{ secrets_manager: { id: y } }"), @r"
    error[runbook::unknown_key]: unknown key `id` in `secrets_manager`
      --> runbook.yaml:10:53
       |
    10 |   spare: { type: secret, from: { secrets_manager: { id: y } } }
       |                                                     ^^ this key is not known
       = help: `secrets_manager` has the keys `secret_id`, `json_key` and `version_stage`

    error[runbook::missing_key]: `secrets_manager` lacks the key `secret_id`
      --> runbook.yaml:10:53
       |
    10 |   spare: { type: secret, from: { secrets_manager: { id: y } } }
       |                                                     ^^ `secret_id` is missing here
       = help: add `secret_id: NAME`
    ");
    let nowhere = user("{ name: a, password: \"${inputs.pw}\" }").replacen("aws:", "aws.west:", 1);
    insta::assert_snapshot!(errors(&nowhere), @r#"
    error[plan::secret_from]: a secret of Secrets Manager needs the target `aws`
     --> runbook.yaml:9:43
      |
    9 |     from: { secrets_manager: { secret_id: "${inputs.env}/db", json_key: password } }
      |                                           ^^^^^^^^^^^^^^^^^^ in which account and region is it?
      = help: declare `target: { aws: { region: REGION, account: "ACCOUNT" } }`
    "#);
    let text = user("{ name: a, password: \"${inputs.pw}\" }").replace("${inputs.env}", "${inputs.spare}");
    insta::assert_snapshot!(errors(&text), @r#"
    error[plan::secret]: `${inputs.spare}` is a secret and cannot stand here
     --> runbook.yaml:9:43
      |
    9 |     from: { secrets_manager: { secret_id: "${inputs.spare}/db", json_key: password } }
      |                                           ^^^^^^^^^^^^^^^^^^^^ what stands here goes into the plan
      = help: a secret stands alone, in the parameters of an operation that takes one
    "#);
}

#[test]
fn an_editor_wants_a_reference() {
    let schema = runbook_schema(&registry());
    let password = &schema["definitions"]["test.user"]["properties"]["password"];
    assert_eq!((&password["type"], &password["pattern"]), (&json!("string"), &json!("^\\$\\{[^}]+\\}$")));
    assert_eq!(password["description"], "The password.");
    parse(&Source::new("x.yaml", &user("{}"))).unwrap();
}
