//! Files that are not what they should be: each error shows file, line, caret and a hint.

use switchback_engine::runbook::Source;

use crate::fakes::{errors, errors_with, phase};
use crate::good::MISTERSMITH;

#[test]
fn not_utf8() {
    let bytes = [b"runbook: demo\nversion: 1\ndescription: caf".as_slice(), b"\xe9 au lait\n"].concat();
    insta::assert_snapshot!(Source::from_bytes("runbook.yaml", &bytes).unwrap_err().render(false, 100), @r#"
    error[source::not_utf8]: the file is not UTF-8
     --> runbook.yaml:3:17
      |
    3 | description: caf� au lait
      |                 ^ byte 0xe9 is not part of a character
      = help: save the file as UTF-8
    "#);
    let utf16 = b"\xff\xfer\0u\0n\0";
    insta::assert_snapshot!(Source::from_bytes("runbook.yaml", utf16).unwrap_err().render(false, 100), @r#"
    error[source::not_utf8]: the file is not UTF-8
     --> runbook.yaml:1:1
      |
    1 | ��r?u?n?
      | ^ byte 0xff is not part of a character
      = help: the file begins like UTF-16: save it as UTF-8
    "#);
}

#[test]
fn empty() {
    insta::assert_snapshot!(errors(""), @r#"
    error[yaml::empty]: the file is empty
     --> runbook.yaml:1:1
      |
    1 | 
      | ^ nothing here
      = help: a runbook begins with `runbook: NAME`, `version: 1` and `phases:`
    "#);
    insta::assert_snapshot!(errors("# only a comment\n"), @r#"
    error[yaml::empty]: the file is empty
     --> runbook.yaml:1:1
      |
    1 | # only a comment
      | ^ nothing here
      = help: a runbook begins with `runbook: NAME`, `version: 1` and `phases:`
    "#);
    insta::assert_snapshot!(errors("---\n"), @r#"
    error[yaml::empty]: the file is empty
     --> runbook.yaml:1:4
      |
    1 | ---
      |    ^ nothing here
      = help: a runbook begins with `runbook: NAME`, `version: 1` and `phases:`
    "#);
}

#[test]
fn truncated_inside_of_a_value() {
    insta::assert_snapshot!(errors(&MISTERSMITH[..MISTERSMITH.find(", tags").unwrap()]), @r#"
    error[yaml::syntax]: this is not YAML: unclosed bracket '{'
      --> runbook.yaml:15:15
       |
    15 |         with: { cidr_block: 10.0.0.0/16
       |               ^ opened here and never closed
       = help: close it; if the file ends in the middle, get the rest of it
    "#);
    insta::assert_snapshot!(errors(&MISTERSMITH[..MISTERSMITH.find("Docker\n").unwrap_or(200)]), @r#"
    error[yaml::syntax]: this is not YAML: unclosed quote
     --> runbook.yaml:6:38
      |
    6 |   aws: { region: us-east-1, account: "${inputs.a
      |                                      ^ opened here and never closed
      = help: close it; if the file ends in the middle, get the rest of it
    "#);
    insta::assert_snapshot!(errors(&MISTERSMITH[..MISTERSMITH.find("inputs.account}").unwrap()]), @r#"
    error[yaml::syntax]: this is not YAML: unclosed quote
     --> runbook.yaml:6:38
      |
    6 |   aws: { region: us-east-1, account: "${
      |                                      ^ opened here and never closed
      = help: close it; if the file ends in the middle, get the rest of it
    "#);
}

#[test]
fn truncated_between_values() {
    insta::assert_snapshot!(errors(&MISTERSMITH[..MISTERSMITH.find("phases:").unwrap()]), @r#"
    error[runbook::missing_key]: the runbook lacks the key `phases`
     --> runbook.yaml:2:1
      |
    2 | runbook: mistersmith
      | ^^^^^^^ `phases` is missing here
      = help: add `phases: [...]`
    "#);
    insta::assert_snapshot!(errors(&MISTERSMITH[..MISTERSMITH.find("        op: net.vpc").unwrap()]), @r#"
    error[runbook::missing_key]: a step lacks the key `op`
      --> runbook.yaml:13:13
       |
    13 |       - id: vpc
       |             ^^^ `op` is missing here
       = help: add `op: KIND`
    "#);
}

#[test]
fn not_yaml() {
    insta::assert_snapshot!(errors("runbook: demo\nversion: 1\n  phases: []\n"), @r#"
    error[yaml::syntax]: this is not YAML: mapping values are not allowed in this context
     --> runbook.yaml:3:9
      |
    3 |   phases: []
      |         ^
      = help: check the indentation, the quotes and the brackets here and on the line before; a text that holds `: `, ` #`, `{` or `[` needs quotes
    "#);
    insta::assert_snapshot!(errors("runbook: demo\n\tversion: 1\n"), @r#"
    error[yaml::syntax]: this is not YAML: while scanning a plain scalar, found a tab
     --> runbook.yaml:1:10
      |
    1 | runbook: demo
      |          ^
      = help: YAML is indented with blanks: replace the tab here or on the next line
    "#);
    insta::assert_snapshot!(errors("runbook: a: b\n"), @r#"
    error[yaml::syntax]: this is not YAML: mapping values are not allowed in this context
     --> runbook.yaml:1:11
      |
    1 | runbook: a: b
      |           ^
      = help: check the indentation, the quotes and the brackets here and on the line before; a text that holds `: `, ` #`, `{` or `[` needs quotes
    "#);
}

#[test]
fn several_documents() {
    insta::assert_snapshot!(errors("runbook: demo\nversion: 1\nphases: []\n---\nrunbook: other\n"), @r#"
    error[yaml::several_documents]: the file holds more than one YAML document
     --> runbook.yaml:4:1
      |
    4 | ---
      | ^^^ the second one begins here
      = help: put each runbook into a file of its own, and remove the `---`
    "#);
}

#[test]
fn not_a_map() {
    insta::assert_snapshot!(errors("- runbook: demo\n"), @r#"
    error[runbook::wrong_type]: the runbook wants a map, not a list
     --> runbook.yaml:1:1
      |
    1 | - runbook: demo
      | ^^^^^^^^^^^^^^^ this is a list
      = help: write a line `key: value` for each key
    "#);
    insta::assert_snapshot!(errors("demo\n"), @r#"
    error[runbook::wrong_type]: the runbook wants a map, not a text
     --> runbook.yaml:1:1
      |
    1 | demo
      | ^^^^ this is a text
      = help: write a line `key: value` for each key
    "#);
}

#[test]
fn unknown_keys() {
    let text = "runbook: demo\nversion: 1\ndescripton: x\nphases:\n  - name: main\n    step: []\n    steps:\n      - id: a\n        op: test.echo\n        needz: [b]\n        colour: red\n";
    insta::assert_snapshot!(errors(text), @r"
    error[runbook::unknown_key]: unknown key `descripton` in the runbook
     --> runbook.yaml:3:1
      |
    3 | descripton: x
      | ^^^^^^^^^^ this key is not known
      = help: did you mean `description`?

    error[runbook::unknown_key]: unknown key `step` in a phase
     --> runbook.yaml:6:5
      |
    6 |     step: []
      |     ^^^^ this key is not known
      = help: did you mean `steps`?

    error[runbook::unknown_key]: unknown key `needz` in a step
      --> runbook.yaml:10:9
       |
    10 |         needz: [b]
       |         ^^^^^ this key is not known
       = help: did you mean `needs`?

    error[runbook::unknown_key]: unknown key `colour` in a step
      --> runbook.yaml:11:9
       |
    11 |         colour: red
       |         ^^^^^^ this key is not known
       = help: a step has the keys `id`, `op`, `provider`, `with`, `needs`, `for_each`, `when`, `timeout`, `retry`, `on_failure`, `verify` and `protect`
    ");
}

#[test]
fn duplicate_keys() {
    let text = "runbook: demo\nversion: 1\nversion: 2\nphases:\n  - name: main\n    steps:\n      - id: a\n        op: test.echo\n        with: { text: x, any: 1, text: y }\n";
    insta::assert_snapshot!(errors(text), @r#"
    error[yaml::duplicate_key]: the key `version` is given twice
     --> runbook.yaml:3:1
      |
    3 | version: 2
      | ^^^^^^^ given again here
    2 | version: 1
      | ------- first given here
      = help: remove one of them

    error[yaml::duplicate_key]: the key `text` is given twice
     --> runbook.yaml:9:34
      |
    9 |         with: { text: x, any: 1, text: y }
      |                                  ^^^^ given again here
    9 |         with: { text: x, any: 1, text: y }
      |                 ---- first given here
      = help: remove one of them
    "#);
}

#[test]
fn duplicate_names() {
    let text = phase(
        "      - { id: a, op: test.echo }\n      - { id: main, op: test.echo }\n      - { id: a, op: test.echo }\n",
    );
    insta::assert_snapshot!(errors(&text), @r#"
    error[runbook::duplicate_name]: the step `main` has the name of another phase
     --> runbook.yaml:7:15
      |
    7 |       - { id: main, op: test.echo }
      |               ^^^^ used again here
    4 |   - name: main
      |           ---- first used here
      = help: phases and steps need names that are unique in the whole runbook, since `unwind --to NAME` takes either

    error[runbook::duplicate_name]: the step `a` has the name of another step
     --> runbook.yaml:8:15
      |
    8 |       - { id: a, op: test.echo }
      |               ^ used again here
    6 |       - { id: a, op: test.echo }
      |               - first used here
      = help: phases and steps need names that are unique in the whole runbook, since `unwind --to NAME` takes either
    "#);
}

#[test]
fn missing_keys() {
    insta::assert_snapshot!(errors("description: x\n"), @r#"
    error[runbook::missing_key]: the runbook lacks the key `runbook`
     --> runbook.yaml:1:1
      |
    1 | description: x
      | ^^^^^^^^^^^ `runbook` is missing here
      = help: add `runbook: NAME`

    error[runbook::missing_key]: the runbook lacks the key `version`
     --> runbook.yaml:1:1
      |
    1 | description: x
      | ^^^^^^^^^^^ `version` is missing here
      = help: add `version: 1`

    error[runbook::missing_key]: the runbook lacks the key `phases`
     --> runbook.yaml:1:1
      |
    1 | description: x
      | ^^^^^^^^^^^ `phases` is missing here
      = help: add `phases: [...]`
    "#);
    insta::assert_snapshot!(errors("runbook: demo\nversion: 1\nphases:\n  - steps:\n      - op: test.echo\n      - id: b\n"), @r#"
    error[runbook::missing_key]: a phase lacks the key `name`
     --> runbook.yaml:4:5
      |
    4 |   - steps:
      |     ^^^^^ `name` is missing here
      = help: add `name: NAME`

    error[runbook::missing_key]: a step lacks the key `id`
     --> runbook.yaml:5:9
      |
    5 |       - op: test.echo
      |         ^^ `id` is missing here
      = help: add `id: NAME`

    error[runbook::missing_key]: a step lacks the key `op`
     --> runbook.yaml:6:13
      |
    6 |       - id: b
      |             ^ `op` is missing here
      = help: add `op: KIND`
    "#);
    insta::assert_snapshot!(errors("runbook: demo\nversion: 1\nphases: []\n"), @r#"
    error[runbook::no_phases]: the runbook has no phases
     --> runbook.yaml:3:1
      |
    3 | phases: []
      | ^^^^^^ nothing is listed here
      = help: add a phase: `- name: NAME` with `steps:`
    "#);
}

#[test]
fn wrong_types_of_keys() {
    let text = "runbook: 5\nversion: one\ntarget: aws\ninputs: [a]\npolicy: { on_failure: explode, max_parallel: 0 }\nphases:\n  - name: main\n    steps:\n      - id: a\n        op: test.echo\n        with: []\n        needs: b\n        when: true\n        timeout: 5\n        retry: { attempts: -1 }\n        protect: yes\n        verify: [1]\n";
    insta::assert_snapshot!(errors(text), @r#"
    error[runbook::wrong_type]: `runbook` wants a text, not a number
     --> runbook.yaml:1:10
      |
    1 | runbook: 5
      |          ^ this is a number
      = help: write it in quotes to make it a text

    error[runbook::wrong_type]: `version` wants a whole number from 1, not a text
     --> runbook.yaml:2:10
      |
    2 | version: one
      |          ^^^ this is a text
      = help: write a whole number such as `1`, without quotes

    error[runbook::wrong_type]: `target` wants a map, not a text
     --> runbook.yaml:3:9
      |
    3 | target: aws
      |         ^^^ this is a text
      = help: write a line `key: value` for each key

    error[runbook::wrong_type]: `inputs` wants a map of names, not a list
     --> runbook.yaml:4:9
      |
    4 | inputs: [a]
      |         ^^^ this is a list
      = help: write a line `key: value` for each key

    error[runbook::on_failure]: `on_failure` has no such value
     --> runbook.yaml:5:23
      |
    5 | policy: { on_failure: explode, max_parallel: 0 }
      |                       ^^^^^^^ this is not known
      = help: write `unwind`, `pause` or `{ unwind_to: PHASE }`

    error[runbook::wrong_type]: `max_parallel` wants a whole number from 1, not `0`
     --> runbook.yaml:5:46
      |
    5 | policy: { on_failure: explode, max_parallel: 0 }
      |                                              ^ this is `0`
      = help: write a whole number such as `1`, without quotes

    error[runbook::wrong_type]: `with` wants a map, not a list
      --> runbook.yaml:11:15
       |
    11 |         with: []
       |               ^^ this is a list
       = help: write a line `key: value` for each key

    error[runbook::wrong_type]: `needs` wants a list, not a text
      --> runbook.yaml:12:16
       |
    12 |         needs: b
       |                ^ this is a text
       = help: write `[...]`, or a line `- ...` for each element

    error[runbook::wrong_type]: `when` wants a text, not a boolean
      --> runbook.yaml:13:15
       |
    13 |         when: true
       |               ^^^^ this is a boolean
       = help: write it in quotes to make it a text

    error[runbook::duration]: `timeout` wants a duration
      --> runbook.yaml:14:18
       |
    14 |         timeout: 5
       |                  ^ this is not one
       = help: write a duration such as `90s`, `5m` or `1h30m`

    error[runbook::wrong_type]: `attempts` wants a whole number from 1, not `-1`
      --> runbook.yaml:15:28
       |
    15 |         retry: { attempts: -1 }
       |                            ^^ this is `-1`
       = help: write a whole number such as `1`, without quotes

    error[runbook::wrong_type]: `protect` wants a boolean, not a text
      --> runbook.yaml:16:18
       |
    16 |         protect: yes
       |                  ^^^ this is a text
       = help: write `true` or `false`; words such as `yes` and `on` are texts in YAML 1.2

    error[runbook::wrong_type]: an element of `verify` wants a text, not a number
      --> runbook.yaml:17:18
       |
    17 |         verify: [1]
       |                  ^ this is a number
       = help: write it in quotes to make it a text
    "#);
}

#[test]
fn bad_names() {
    let text = "runbook: demo\nversion: 1\nphases:\n  - name: \"a b\"\n    steps:\n      - { id: Vpc, op: test.echo }\n      - { id: each, op: test.echo }\n      - { id: \"sub[1]\", op: test.echo }\n";
    insta::assert_snapshot!(errors(text), @r#"
    error[runbook::bad_name]: `a b` cannot be the name of a phase
     --> runbook.yaml:4:11
      |
    4 |   - name: "a b"
      |           ^^^^^ not a name
      = help: a phase's name consists of letters, digits, `_`, `.` and `-`

    error[runbook::bad_name]: `Vpc` cannot be the name of a step
     --> runbook.yaml:6:15
      |
    6 |       - { id: Vpc, op: test.echo }
      |               ^^^ not a name
      = help: a name begins with a small letter; small letters, digits and `_` follow

    error[runbook::bad_name]: `each` cannot be the id of a step
     --> runbook.yaml:7:15
      |
    7 |       - { id: each, op: test.echo }
      |               ^^^^ this word is reserved
      = help: `inputs` and `each` mean something else in a reference; use another id

    error[runbook::bad_name]: `sub[1]` cannot be the name of a step
     --> runbook.yaml:8:15
      |
    8 |       - { id: "sub[1]", op: test.echo }
      |               ^^^^^^^^ not a name
      = help: a name begins with a small letter; small letters, digits and `_` follow
    "#);
}

#[test]
fn yaml_that_is_not_for_runbooks() {
    let text = "runbook: demo\nversion: 1\nphases:\n  - name: main\n    steps:\n      - id: a\n        op: test.echo\n        with:\n          any: [!!str 5, 007, 1e999, 99999999999999999999, .nan]\n          <<: { text: x }\n";
    insta::assert_snapshot!(errors(text), @r#"
    error[yaml::tag]: tags such as `!!str` or `!include` are not part of a runbook
     --> runbook.yaml:9:23
      |
    9 |           any: [!!str 5, 007, 1e999, 99999999999999999999, .nan]
      |                       ^ this value has a tag
      = help: remove the tag; to make a text of a number, put it into quotes

    error[yaml::leading_zero]: `007` begins with a zero: is it a number?
     --> runbook.yaml:9:26
      |
    9 |           any: [!!str 5, 007, 1e999, 99999999999999999999, .nan]
      |                          ^^^ YAML 1.1 and 1.2 read this differently
      = help: write "007" in quotes for a text, or drop the zeros for a number

    error[yaml::number]: the number `1e999` cannot be stored
     --> runbook.yaml:9:31
      |
    9 |           any: [!!str 5, 007, 1e999, 99999999999999999999, .nan]
      |                               ^^^^^ too large, or not finite
      = help: write "1e999" in quotes if it is a text

    error[yaml::number]: the number `99999999999999999999` cannot be stored
     --> runbook.yaml:9:38
      |
    9 |           any: [!!str 5, 007, 1e999, 99999999999999999999, .nan]
      |                                      ^^^^^^^^^^^^^^^^^^^^ too large, or not finite
      = help: write "99999999999999999999" in quotes if it is a text

    error[yaml::number]: the number `.nan` cannot be stored
     --> runbook.yaml:9:60
      |
    9 |           any: [!!str 5, 007, 1e999, 99999999999999999999, .nan]
      |                                                            ^^^^ too large, or not finite
      = help: write ".nan" in quotes if it is a text

    error[yaml::merge_key]: merge keys (`<<`) are YAML 1.1 and not part of a runbook
      --> runbook.yaml:10:11
       |
    10 |           <<: { text: x }
       |           ^^ a merge key
       = help: write the keys out, or use `for_each`
    "#);
    insta::assert_snapshot!(errors("runbook: demo\n[a]: 1\n"), @r#"
    error[yaml::key]: a key must be a text
     --> runbook.yaml:2:1
      |
    2 | [a]: 1
      | ^ this is used as a key
      = help: write `key: value`; a text that holds `${`, `{` or `[` needs quotes
    "#);
    insta::assert_snapshot!(errors("runbook: &a [*a]\n"), @r#"
    error[yaml::alias]: an alias cannot stand inside of what it repeats
     --> runbook.yaml:1:14
      |
    1 | runbook: &a [*a]
      |              ^^ this would never end
    "#);
}

#[test]
fn an_alias_bomb_is_defused() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for i in 1..12 {
        let refs = vec![format!("*a{}", i - 1); 10].join(", ");
        text.push_str(&format!("a{i}: &a{i} [{refs}]\n"));
    }
    assert!(errors(&text).contains("the aliases of this file repeat too much"));
    let deep = format!("a: {}{}\n", "[".repeat(5000), "]".repeat(5000));
    assert!(errors(&deep).contains("runbook.yaml:1:"));
    let mut chain = "a0: &a0 [x]\n".to_owned();
    for i in 1..2000 {
        chain.push_str(&format!("a{i}: &a{i} [[[*a{}]]]\n", i - 1));
    }
    assert!(errors(&chain).contains("values nest too deep"));
    // Few values, and a gigabyte of text.
    let long = format!("a: &a {}\nb: [{}]\n", "x".repeat(100_000), vec!["*a"; 10_000].join(", "));
    assert!(errors(&long).contains("the aliases of this file repeat too much"));
    let long = format!("a: &a {{ {}: 1 }}\nb: [{}]\n", "x".repeat(1000), vec!["*a"; 100_000].join(", "));
    assert!(errors(&long).contains("the aliases of this file repeat too much"));
}

/// Files of a megabyte or less whose plans would fill the memory.
#[test]
fn a_plan_bomb_is_defused() {
    let long = "x".repeat(200_000);
    let input = |text: &str, value: &str| {
        text.replace("phases:", &format!("inputs: {{ long: {{ type: string, default: {value} }} }}\nphases:"))
    };
    let keys = (0..5000).map(|i| format!("k{i}")).collect::<Vec<_>>().join(", ");
    let references = phase(&format!(
        "      - {{ id: e, op: test.echo, with: {{ any: [{}] }} }}\n",
        vec!["\"${inputs.long}\""; 20_000].join(", ")
    ));
    let elements =
        phase(&format!("      - {{ id: e, op: test.echo, for_each: [{keys}], with: {{ text: {long} }} }}\n"));
    let checks = phase(&format!(
        "      - {{ id: e, op: test.echo, for_each: [{keys}], verify: [{}] }}\n",
        vec!["output.count > 0"; 2000].join(", ")
    ));
    let everybody = phase(&format!(
        "      - {{ id: e, op: test.echo, for_each: [{keys}] }}\n      \
         - {{ id: f, op: test.echo, for_each: [{keys}], needs: [e] }}\n"
    ));
    let listed = phase(&format!(
        "      - {{ id: e, op: test.echo, for_each: [{keys}] }}\n      \
         - {{ id: f, op: test.echo, for_each: [{keys}], with: {{ any: \"${{e[*].text}}\" }} }}\n"
    ));
    for text in [input(&references, &long), elements, checks, everybody, listed] {
        let shown = errors(&text);
        assert!(shown.starts_with("error[plan::too_large]: the plan becomes too large\n"), "{}", &shown[..500]);
        assert_eq!(shown.matches("error[").count(), 1, "once is enough");
    }
}

const INPUTS: &str = "runbook: demo\nversion: 1\ninputs:\n  account: { type: string, description: the AWS account }\n  size: { type: integer, default: 3 }\n  \
                      zone: { type: string, pattern: \"^us-\", default: us-east-1 }\n  tags: { type: map, default: {} }\nphases:\n  - name: main\n    steps:\n      \
                      - { id: a, op: test.echo, with: { text: \"${inputs.account}\" } }\n";

#[test]
fn missing_input() {
    insta::assert_snapshot!(errors(INPUTS), @r#"
    error[input::missing]: the input `account` is missing
     --> runbook.yaml:4:3
      |
    4 |   account: { type: string, description: the AWS account }
      |   ^^^^^^^ the AWS account
      = help: give it with `--input account=VALUE`, or add a `default`
    "#);
}

#[test]
fn wrong_inputs() {
    let given = [
        ("acount", "1"),
        ("account", "1"),
        ("size", "many"),
        ("zone", "eu-west-1"),
        ("tags", "[1]"),
        ("surprise", "1"),
    ];
    insta::assert_snapshot!(errors_with(INPUTS, &given), @r#"
    error[input::unknown]: the runbook has no input `acount`
     --> runbook.yaml:3:1
      |
    3 | inputs:
      | ^^^^^^ `acount` is not declared here
      = help: did you mean `account`?

    error[input::unknown]: the runbook has no input `surprise`
     --> runbook.yaml:3:1
      |
    3 | inputs:
      | ^^^^^^ `surprise` is not declared here
      = help: the inputs are `account`, `size`, `tags` and `zone`

    error[input::wrong_type]: the input `size` wants a whole number, not `many`
     --> runbook.yaml:5:3
      |
    5 |   size: { type: integer, default: 3 }
      |   ^^^^ its type is `integer`
      = help: for example `--input size=5`

    error[input::pattern]: the input `zone` does not match its pattern
     --> runbook.yaml:6:3
      |
    6 |   zone: { type: string, pattern: "^us-", default: us-east-1 }
      |   ^^^^ `eu-west-1` was given
      = help: it must match `^us-`

    error[input::wrong_type]: the input `tags` wants a map, not `[1]`
     --> runbook.yaml:7:3
      |
    7 |   tags: { type: map, default: {} }
      |   ^^^^ its type is `map`
      = help: for example `--input tags='{a: b}'`
    "#);
    insta::assert_snapshot!(errors_with(&phase("      - { id: a, op: test.echo }\n"), &[("x", "1")]), @r#"
    error[input::unknown]: the runbook has no input `x`
     --> runbook.yaml
      = help: it has no inputs; leave the flag out, or declare it under `inputs:`
    "#);
}

#[test]
fn wrong_declarations_of_inputs() {
    let text = "runbook: demo\nversion: 1\ninputs:\n  a: { type: sting }\n  b: { default: 1 }\n  c: { type: integer, default: x }\n  d: { type: string, default: 5 }\n  \
                e: { type: string, pattern: \"(\" }\n  f: { type: list, pattern: x }\n  g: { type: string, pattern: \"^x\", default: y }\n  \
                Bad-Name: { type: string, default: x }\nphases:\n  - { name: main, steps: [] }\n";
    insta::assert_snapshot!(errors(text), @r#"
    error[runbook::input_type]: `sting` is not a type of input
     --> runbook.yaml:4:14
      |
    4 |   a: { type: sting }
      |              ^^^^^ this type is not known
      = help: did you mean `string`?

    error[runbook::missing_key]: an input lacks the key `type`
     --> runbook.yaml:5:3
      |
    5 |   b: { default: 1 }
      |   ^ `type` is missing here
      = help: add `type: string`

    error[runbook::bad_name]: `Bad-Name` cannot be the name of an input
      --> runbook.yaml:11:3
       |
    11 |   Bad-Name: { type: string, default: x }
       |   ^^^^^^^^ not a name
       = help: a name begins with a small letter; small letters, digits and `_` follow
    "#);
    let text =
        text.replace("sting", "string, default: x").replace("  b: { default: 1 }\n", "").replace("Bad-Name", "good");
    insta::assert_snapshot!(errors(&text), @r#"
    error[input::wrong_type]: the default of the input `c` is a text, not a whole number
     --> runbook.yaml:5:32
      |
    5 |   c: { type: integer, default: x }
      |                                ^ this is a text
      = help: its type is `integer`

    error[input::wrong_type]: the default of the input `d` is a number, not a text
     --> runbook.yaml:6:31
      |
    6 |   d: { type: string, default: 5 }
      |                               ^ this is a number
      = help: write it in quotes to make it a text

    error[input::pattern]: the pattern of the input `e` is not a regular expression
     --> runbook.yaml:7:31
      |
    7 |   e: { type: string, pattern: "(" }
      |                               ^^^ unclosed group
      = help: write a regular expression such as `^[0-9]{12}$`

    error[input::pattern]: the input `f` has a pattern and is not a string
     --> runbook.yaml:8:3
      |
    8 |   f: { type: list, pattern: x }
      |   ^ its type is `list`
      = help: only inputs of type `string` can have a pattern

    error[input::pattern]: the default of the input `g` does not match its pattern
     --> runbook.yaml:9:46
      |
    9 |   g: { type: string, pattern: "^x", default: y }
      |                                              ^ `y` does not match
      = help: it must match `^x`
    "#);
}

#[test]
fn nothing_of_a_file_commands_the_terminal() {
    let text = phase("      - { id: a, op: \"\\e[31mnet\\0\" }\n      - { id: b, op: x\u{9b}31m }\n");
    let all = crate::fakes::plan_with(&text, &[]).unwrap_err();
    assert!(!all.render(false, 80).contains(|c: char| c.is_control() && c != '\n'));
    assert!(!all.render(true, 80).replace("\u{1b}[", "").contains("\u{1b}"));
    assert!(!all.render(true, 80).contains('\u{9b}'));
}

#[test]
fn many_errors_are_counted() {
    let mut text = phase("");
    for i in 0..1000 {
        text.push_str(&format!("      - {{ id: s{i}, op: test.echo, with: {{ text: \"${{s{}x.text}}\" }} }}\n", i));
    }
    let all = errors(&text);
    assert!(all.ends_with("... and 900 more errors\n"), "{}", &all[all.len() - 200..]);
}
