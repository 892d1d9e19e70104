//! Runbooks whose parts do not fit together: each error shows file, line, caret and a hint.

use crate::fakes::{errors, phase};

/// A network before what is wrong.
fn after_vpc(steps: &str) -> String {
    errors(&phase(&format!(
        "      - {{ id: vpc, op: net.vpc, with: {{ cidr_block: 10.0.0.0/16 }} }}\n      - id: subnet\n        op: net.subnet\n        for_each: {{ 1a: 10.0.1.0/24, 1b: 10.0.2.0/24 }}\n        with: {{ vpc_id: \"${{vpc.vpc_id}}\", cidr_block: \"${{each.value}}\" }}\n{steps}"
    )))
}

#[test]
fn unknown_operation() {
    insta::assert_snapshot!(after_vpc("      - { id: a, op: net.vcp }\n      - { id: b, op: unheard.of }\n"), @r"
    error[plan::unknown_op]: there is no operation `net.vcp`
      --> runbook.yaml:11:22
       |
    11 |       - { id: a, op: net.vcp }
       |                      ^^^^^^^ this kind is not known
       = help: did you mean `net.vpc`?

    error[plan::unknown_op]: there is no operation `unheard.of`
      --> runbook.yaml:12:22
       |
    12 |       - { id: b, op: unheard.of }
       |                      ^^^^^^^^^^ this kind is not known
       = help: the operations are `net.group`, `net.subnet`, `net.vpc`, `test.echo` and `test.user`
    ");
}

#[test]
fn unknown_references() {
    insta::assert_snapshot!(after_vpc(
        "      - id: a\n        op: test.echo\n        with:\n          text: \"${vcp.vpc_id} and ${vpc.vcp_id}\"\n          any: [\"${inputs.x}\", \"${nobody.x}\", \"${vpc.cidr.blok}\", \"${vpc.arn.x}\", \"${vpc}\", \"${inputs}\"]\n"
    ), @r#"
    error[reference::unknown_step]: there is no step `vcp`
      --> runbook.yaml:14:20
       |
    14 |           text: "${vcp.vpc_id} and ${vpc.vcp_id}"
       |                    ^^^ this step is not there
       = help: did you mean `vpc`?

    error[reference::unknown_field]: the output of step `vpc` has no field `vcp_id`
      --> runbook.yaml:14:42
       |
    14 |           text: "${vcp.vpc_id} and ${vpc.vcp_id}"
       |                                          ^^^^^^ this field is not there
       = help: did you mean `vpc_id`?

    error[reference::unknown_input]: there is no input `x`
      --> runbook.yaml:15:27
       |
    15 |           any: ["${inputs.x}", "${nobody.x}", "${vpc.cidr.blok}", "${vpc.arn.x}", "${vpc}", "${inputs}"]
       |                           ^ this input is not declared
       = help: declare it under `inputs:`; the runbook has none

    error[reference::unknown_step]: there is no step `nobody`
      --> runbook.yaml:15:35
       |
    15 |           any: ["${inputs.x}", "${nobody.x}", "${vpc.cidr.blok}", "${vpc.arn.x}", "${vpc}", "${inputs}"]
       |                                   ^^^^^^ this step is not there
       = help: the steps are `a`, `subnet` and `vpc`

    error[reference::unknown_field]: the output of step `vpc` has no field `blok`
      --> runbook.yaml:15:59
       |
    15 |           any: ["${inputs.x}", "${nobody.x}", "${vpc.cidr.blok}", "${vpc.arn.x}", "${vpc}", "${inputs}"]
       |                                                           ^^^^ this field is not there
       = help: did you mean `block`?

    error[reference::unknown_field]: the output of step `vpc` has no field `x`
      --> runbook.yaml:15:78
       |
    15 |           any: ["${inputs.x}", "${nobody.x}", "${vpc.cidr.blok}", "${vpc.arn.x}", "${vpc}", "${inputs}"]
       |                                                                              ^ this field is not there
       = help: what stands before it has no fields

    error[reference::no_field]: `${vpc}` does not say which field
      --> runbook.yaml:15:86
       |
    15 |       any: ["${inputs.x}", "${nobody.x}", "${vpc.cidr.blok}", "${vpc.arn.x}", "${vpc}", "${inputs}"]
       |                                                                                  ^^^ a field of its output is wanted
       = help: `net.vpc` gives `arn`, `cidr` and `vpc_id`

    error[reference::unknown_input]: a reference to an input must name it
      --> runbook.yaml:15:96
       |
    15 |  ["${inputs.x}", "${nobody.x}", "${vpc.cidr.blok}", "${vpc.arn.x}", "${vpc}", "${inputs}"]
       |                                                                                  ^^^^^^ which input?
       = help: write `${inputs.NAME}`; the runbook has none
    "#);
}

#[test]
fn references_to_elements() {
    insta::assert_snapshot!(after_vpc(
        "      - id: a\n        op: test.echo\n        with: { any: [\"${subnet[1c].subnet_id}\", \"${subnet.subnet_id}\", \"${vpc[x].arn}\", \"${inputs[x].y}\", \"${each.key}\", \"${subnet[each.key].subnet_id}\"] }\n        needs: [nobody, \"subnet[2a]\", \"${vpc}\", vpc.arn]\n      - { id: b, op: test.echo, for_each: [x], with: { any: [\"${each}\", \"${each.index}\", \"${each.value.x}\"] } }\n"
    ), @r#"
    error[reference::unknown_key]: step `subnet` has no element `1c`
      --> runbook.yaml:13:33
       |
    13 |         with: { any: ["${subnet[1c].subnet_id}", "${subnet.subnet_id}", "${vpc[x].arn}", "${inputs[x].y}", "${each
       |                                 ^^ this key is not there
       = help: did you mean `1a`?

    error[reference::selector]: step `subnet` has a `for_each`, so it must be said which one is meant
      --> runbook.yaml:13:53
       |
    13 |         with: { any: ["${subnet[1c].subnet_id}", "${subnet.subnet_id}", "${vpc[x].arn}", "${inputs[x].y}", "${each.key}", "${subnet[each.k
       |                                                     ^^^^^^ which one?
       = help: write `subnet[1a]`, or `subnet[*]` for a list of all

    error[reference::selector]: step `vpc` has no `for_each`, so there is nothing to select
      --> runbook.yaml:13:80
       |
    13 |         with: { any: ["${subnet[1c].subnet_id}", "${subnet.subnet_id}", "${vpc[x].arn}", "${inputs[x].y}", "${each.key}", "${subnet[each.key].subnet_id}"] }
       |                                                                                ^ these brackets are too much
       = help: write `vpc` without brackets

    error[reference::selector]: `inputs` has no elements to select
      --> runbook.yaml:13:100
       |
    13 | y: ["${subnet[1c].subnet_id}", "${subnet.subnet_id}", "${vpc[x].arn}", "${inputs[x].y}", "${each.key}", "${subnet[each.key].subnet_id}"] }
       |                                                                                  ^ brackets select an element of a step with `for_each`
       = help: remove the brackets

    error[reference::each]: `each` is only known in the parameters of a step with `for_each`
      --> runbook.yaml:13:111
       |
    13 | et[1c].subnet_id}", "${subnet.subnet_id}", "${vpc[x].arn}", "${inputs[x].y}", "${each.key}", "${subnet[each.key].subnet_id}"] }
       |                                                                                  ^^^^ not known here
       = help: add `for_each` to the step, or refer to an input

    error[reference::unknown_key]: step `subnet` has no element `each.key`
      --> runbook.yaml:13:133
       |
    13 | {subnet.subnet_id}", "${vpc[x].arn}", "${inputs[x].y}", "${each.key}", "${subnet[each.key].subnet_id}"] }
       |                                                                                  ^^^^^^^^ this key is not there
       = help: its keys are `1a` and `1b`

    error[reference::unknown_step]: there is no step `nobody`
      --> runbook.yaml:14:17
       |
    14 |         needs: [nobody, "subnet[2a]", "${vpc}", vpc.arn]
       |                 ^^^^^^ this step is not there
       = help: the steps are `a`, `b`, `subnet` and `vpc`

    error[reference::unknown_key]: step `subnet` has no element `2a`
      --> runbook.yaml:14:33
       |
    14 |         needs: [nobody, "subnet[2a]", "${vpc}", vpc.arn]
       |                                 ^^ this key is not there
       = help: did you mean `1a`?

    error[plan::needs]: unexpected `$` in a reference, a step's id expected
      --> runbook.yaml:14:40
       |
    14 |         needs: [nobody, "subnet[2a]", "${vpc}", vpc.arn]
       |                                        ^ here
       = help: write a step's id, such as `vpc`, `subnet` or `subnet[1a]`, without `${}`

    error[plan::needs]: unexpected `.` in a reference, the end expected
      --> runbook.yaml:14:52
       |
    14 |         needs: [nobody, "subnet[2a]", "${vpc}", vpc.arn]
       |                                                    ^ here
       = help: write a step's id, such as `vpc`, `subnet` or `subnet[1a]`, without `${}`

    error[reference::each]: `each` has a `key` and a `value`
      --> runbook.yaml:15:65
       |
    15 |       - { id: b, op: test.echo, for_each: [x], with: { any: ["${each}", "${each.index}", "${each.value.x}"] } }
       |                                                                 ^^^^ it has nothing else
       = help: write `${each.key}`, `${each.value}` or `${each.value.FIELD}`

    error[reference::each]: `each` has a `key` and a `value`
      --> runbook.yaml:15:81
       |
    15 |       - { id: b, op: test.echo, for_each: [x], with: { any: ["${each}", "${each.index}", "${each.value.x}"] } }
       |                                                                                 ^^^^^ it has nothing else
       = help: write `${each.key}`, `${each.value}` or `${each.value.FIELD}`

    error[reference::unknown_field]: `${each.value.x}`: there is no field `x`
      --> runbook.yaml:15:104
       |
    15 | est.echo, for_each: [x], with: { any: ["${each}", "${each.index}", "${each.value.x}"] } }
       |                                                                                  ^ this field is not there
       = help: the value is not a map
    "#);
}

#[test]
fn malformed_references() {
    insta::assert_snapshot!(after_vpc(
        "      - id: a\n        op: test.echo\n        with:\n          text: \"see ${vpc.vpc_id\"\n          any: [\"${}\", '${ vpc.arn }', \"\\t${vpc..arn}\", { \"${vpc.arn}\": 1 }]\n"
    ), @r#"
    error[reference::malformed]: a reference ends too early, `.` or `}` expected
      --> runbook.yaml:14:22
       |
    14 |           text: "see ${vpc.vpc_id"
       |                      ^^^^^^^^^^^^ here
       = help: write `${inputs.NAME}`, `${STEP.FIELD}`, `${STEP[KEY].FIELD}`, `${STEP[*].FIELD}` or `${each.value}`; `$${` stands for a literal `${`

    error[reference::malformed]: unexpected `}` in a reference, `inputs`, `each` or a step's id expected
      --> runbook.yaml:15:20
       |
    15 |           any: ["${}", '${ vpc.arn }', "\t${vpc..arn}", { "${vpc.arn}": 1 }]
       |                    ^ here
       = help: write `${inputs.NAME}`, `${STEP.FIELD}`, `${STEP[KEY].FIELD}`, `${STEP[*].FIELD}` or `${each.value}`; `$${` stands for a literal `${`

    error[reference::malformed]: unexpected ` ` in a reference, `inputs`, `each` or a step's id expected
      --> runbook.yaml:15:27
       |
    15 |           any: ["${}", '${ vpc.arn }', "\t${vpc..arn}", { "${vpc.arn}": 1 }]
       |                           ^ here
       = help: write `${inputs.NAME}`, `${STEP.FIELD}`, `${STEP[KEY].FIELD}`, `${STEP[*].FIELD}` or `${each.value}`; `$${` stands for a literal `${`

    error[reference::malformed]: unexpected `.` in a reference, a field's name expected
      --> runbook.yaml:15:40
       |
    15 |           any: ["${}", '${ vpc.arn }', "\t${vpc..arn}", { "${vpc.arn}": 1 }]
       |                                        ^^^^^^^^^^^^^^^ here
       = help: write `${inputs.NAME}`, `${STEP.FIELD}`, `${STEP[KEY].FIELD}`, `${STEP[*].FIELD}` or `${each.value}`; `$${` stands for a literal `${`

    error[reference::in_key]: a key cannot hold a reference
      --> runbook.yaml:15:59
       |
    15 |           any: ["${}", '${ vpc.arn }', "\t${vpc..arn}", { "${vpc.arn}": 1 }]
       |                                                           ^^^^^^^^^^^^ this is a key
       = help: references stand in values only; `$${` stands for a literal `${`
    "#);
}

#[test]
fn a_subnet_id_given_as_a_vpc_id() {
    insta::assert_snapshot!(after_vpc(
        "      - id: inner\n        op: net.subnet\n        with: { vpc_id: \"${subnet[1a].subnet_id}\", cidr_block: 10.0.3.0/24 }\n"
    ), @r#"
    error[plan::wrong_id]: `vpc_id` wants a VpcId, `${subnet[1a].subnet_id}` is a SubnetId
      --> runbook.yaml:13:25
       |
    13 |         with: { vpc_id: "${subnet[1a].subnet_id}", cidr_block: 10.0.3.0/24 }
       |                         ^^^^^^^^^^^^^^^^^^^^^^^^^ this is a SubnetId
       = help: refer to an output that is a VpcId, such as `${vpc.vpc_id}`
    "#);
}

#[test]
fn a_plain_text_given_as_an_id() {
    insta::assert_snapshot!(after_vpc(
        "      - { id: a, op: net.subnet, with: { vpc_id: \"${vpc.arn}\", cidr_block: 10.0.3.0/24 } }\n      - { id: b, op: net.subnet, with: { vpc_id: \"vpc-${vpc.cidr.size}\", cidr_block: 10.0.3.0/24 } }\n      - { id: c, op: net.subnet, with: { vpc_id: subnet-1, cidr_block: 10.0.3.0/24 } }\n      - { id: d, op: net.group, with: { name: x, subnet_ids: [\"${subnet[1a].subnet_id}\", \"${vpc.vpc_id}\", \"${subnet[1b].public_id}\"] } }\n"
    ), @r#"
    error[plan::wrong_id]: `vpc_id` wants a VpcId, `${vpc.arn}` is a plain text
      --> runbook.yaml:11:50
       |
    11 |       - { id: a, op: net.subnet, with: { vpc_id: "${vpc.arn}", cidr_block: 10.0.3.0/24 } }
       |                                                  ^^^^^^^^^^^^ this is a plain text
       = help: refer to an output that is a VpcId, such as `${vpc.vpc_id}`

    error[plan::wrong_id]: `vpc_id` wants a VpcId, `vpc-${vpc.cidr.size}` is a plain text
      --> runbook.yaml:12:50
       |
    12 |       - { id: b, op: net.subnet, with: { vpc_id: "vpc-${vpc.cidr.size}", cidr_block: 10.0.3.0/24 } }
       |                                                  ^^^^^^^^^^^^^^^^^^^^^^ this is put together from pieces
       = help: refer to an output that is a VpcId, such as `${vpc.vpc_id}`; what is put together at run time cannot be checked before

    error[plan::pattern]: `vpc_id` wants a VpcId, not `subnet-1`
      --> runbook.yaml:13:50
       |
    13 |       - { id: c, op: net.subnet, with: { vpc_id: subnet-1, cidr_block: 10.0.3.0/24 } }
       |                                                  ^^^^^^^^ this does not match
       = help: it must match `^vpc-[0-9a-f]+$`

    error[plan::wrong_id]: `subnet_ids[1]` wants a SubnetId, `${vpc.vpc_id}` is a VpcId
      --> runbook.yaml:14:90
       |
    14 | { id: d, op: net.group, with: { name: x, subnet_ids: ["${subnet[1a].subnet_id}", "${vpc.vpc_id}", "${subnet[1b].public_id}"] } }
       |                                                                                  ^^^^^^^^^^^^^^^ this is a VpcId
       = help: refer to an output that is a SubnetId, such as `${subnet[1a].public_id}`
    "#);
}

#[test]
fn parameters_of_a_wrong_form() {
    insta::assert_snapshot!(after_vpc(
        "      - { id: a, op: net.vpc, with: { cidr_blok: 10.0.0.0/16, dns: yes, tenancy: dedicatd, tags: { a: 1, b: true, c: ok } } }\n      - { id: b, op: net.subnet, with: { vpc_id: 5, cidr_block: [x], port: 70000, zone: x } }\n      - { id: c, op: net.group, with: { name: \"\", subnet_ids: subnet-1, rules: [{ port: \"80\" }, { from: x }, 5] } }\n      - { id: d, op: net.group, with: { name: \"${vpc.cidr}\", subnet_ids: \"${vpc.vpc_id}\" } }\n      - { id: e, op: net.vpc }\n      - { id: f, op: test.echo, with: { text: \"a ${subnet[*].subnet_id} ${vpc.cidr}\" } }\n"
    ), @r#"
    error[plan::unknown_param]: `net.vpc` has no parameter `cidr_blok`
      --> runbook.yaml:11:39
       |
    11 |       - { id: a, op: net.vpc, with: { cidr_blok: 10.0.0.0/16, dns: yes, tenancy: dedicatd, tags: { a: 1, b: true, c: ok } } }
       |                                       ^^^^^^^^^ this parameter is not known
       = help: did you mean `cidr_block`?

    error[plan::wrong_type]: `dns` wants a boolean, not a text
      --> runbook.yaml:11:68
       |
    11 |       - { id: a, op: net.vpc, with: { cidr_blok: 10.0.0.0/16, dns: yes, tenancy: dedicatd, tags: { a: 1, b: true, c: ok } } }
       |                                                                    ^^^ this is a text
       = help: write `true` or `false`; `yes` is a text in YAML 1.2

    error[plan::not_one_of]: `tenancy` cannot be `dedicatd`
      --> runbook.yaml:11:82
       |
    11 |       - { id: a, op: net.vpc, with: { cidr_blok: 10.0.0.0/16, dns: yes, tenancy: dedicatd, tags: { a: 1, b: true, c: ok } } }
       |                                                                                  ^^^^^^^^ this value is not known
       = help: did you mean `dedicated`?

    error[plan::wrong_type]: `tags.a` wants a text, not a whole number
      --> runbook.yaml:11:103
       |
    11 | net.vpc, with: { cidr_blok: 10.0.0.0/16, dns: yes, tenancy: dedicatd, tags: { a: 1, b: true, c: ok } } }
       |                                                                                  ^ this is a whole number
       = help: write it in quotes to make it a text

    error[plan::wrong_type]: `tags.b` wants a text, not a boolean
      --> runbook.yaml:11:109
       |
    11 | c, with: { cidr_blok: 10.0.0.0/16, dns: yes, tenancy: dedicatd, tags: { a: 1, b: true, c: ok } } }
       |                                                                                  ^^^^ this is a boolean
       = help: write it in quotes to make it a text

    error[plan::wrong_type]: `vpc_id` wants a text, not a whole number
      --> runbook.yaml:12:50
       |
    12 |       - { id: b, op: net.subnet, with: { vpc_id: 5, cidr_block: [x], port: 70000, zone: x } }
       |                                                  ^ this is a whole number
       = help: write it in quotes to make it a text

    error[plan::wrong_type]: `cidr_block` wants a text, not a list
      --> runbook.yaml:12:65
       |
    12 |       - { id: b, op: net.subnet, with: { vpc_id: 5, cidr_block: [x], port: 70000, zone: x } }
       |                                                                 ^^^ this is a list
       = help: give a text

    error[plan::out_of_range]: `port` must be at most 65535, not 70000
      --> runbook.yaml:12:76
       |
    12 |       - { id: b, op: net.subnet, with: { vpc_id: 5, cidr_block: [x], port: 70000, zone: x } }
       |                                                                            ^^^^^ this is 70000
       = help: give a number of at most 65535

    error[plan::unknown_param]: `net.subnet` has no parameter `zone`
      --> runbook.yaml:12:83
       |
    12 |      - { id: b, op: net.subnet, with: { vpc_id: 5, cidr_block: [x], port: 70000, zone: x } }
       |                                                                                  ^^^^ this parameter is not known
       = help: `net.subnet` takes `availability_zone`, `cidr_block`, `port` and `vpc_id`

    error[plan::out_of_range]: `name` wants at least 1 character, not 0
      --> runbook.yaml:13:47
       |
    13 |       - { id: c, op: net.group, with: { name: "", subnet_ids: subnet-1, rules: [{ port: "80" }, { from: x }, 5] } }
       |                                               ^^ there are 0
       = help: give at least 1 character

    error[plan::wrong_type]: `subnet_ids` wants a list, not a text
      --> runbook.yaml:13:63
       |
    13 |       - { id: c, op: net.group, with: { name: "", subnet_ids: subnet-1, rules: [{ port: "80" }, { from: x }, 5] } }
       |                                                               ^^^^^^^^ this is a text
       = help: give a list

    error[plan::wrong_type]: `rules[0].port` wants a whole number, not a text
      --> runbook.yaml:13:89
       |
    13 |  { id: c, op: net.group, with: { name: "", subnet_ids: subnet-1, rules: [{ port: "80" }, { from: x }, 5] } }
       |                                                                                  ^^^^ this is a text
       = help: remove the quotes to make it a number

    error[plan::missing_param]: `rules[1]` wants the parameter `port`
      --> runbook.yaml:13:97
       |
    13 | , op: net.group, with: { name: "", subnet_ids: subnet-1, rules: [{ port: "80" }, { from: x }, 5] } }
       |                                                                                  ^^^^^^^^^^^ `port` is missing
       = help: add `port` to `rules[1]`

    error[plan::wrong_type]: `rules[2]` wants a map, not a whole number
      --> runbook.yaml:13:110
       |
    13 | up, with: { name: "", subnet_ids: subnet-1, rules: [{ port: "80" }, { from: x }, 5] } }
       |                                                                                  ^ this is a whole number
       = help: give a map

    error[plan::wrong_type]: `name` wants a text, `${vpc.cidr}` is a map
      --> runbook.yaml:14:47
       |
    14 |       - { id: d, op: net.group, with: { name: "${vpc.cidr}", subnet_ids: "${vpc.vpc_id}" } }
       |                                               ^^^^^^^^^^^^^ this is a map
       = help: refer to an output that is a text

    error[plan::wrong_type]: `subnet_ids` wants a list, `${vpc.vpc_id}` is a text
      --> runbook.yaml:14:74
       |
    14 |       - { id: d, op: net.group, with: { name: "${vpc.cidr}", subnet_ids: "${vpc.vpc_id}" } }
       |                                                                          ^^^^^^^^^^^^^^^ this is a text
       = help: refer to an output that is a list

    error[plan::missing_param]: `net.vpc` wants the parameter `cidr_block`
      --> runbook.yaml:15:22
       |
    15 |       - { id: e, op: net.vpc }
       |                      ^^^^^^^ `cidr_block` is missing
       = help: add `cidr_block` to `with`

    error[reference::in_text]: `${subnet[*].subnet_id}` is a list and cannot be part of a text
      --> runbook.yaml:16:50
       |
    16 |       - { id: f, op: test.echo, with: { text: "a ${subnet[*].subnet_id} ${vpc.cidr}" } }
       |                                                  ^^^^^^^^^^^^^^^^^^^^^^ this is a list
       = help: a reference keeps its type only when it is all that the text consists of

    error[reference::in_text]: `${vpc.cidr}` is a list or a map and cannot be part of a text
      --> runbook.yaml:16:73
       |
    16 |       - { id: f, op: test.echo, with: { text: "a ${subnet[*].subnet_id} ${vpc.cidr}" } }
       |                                                                         ^^^^^^^^^^^ this is a list or a map
       = help: a reference keeps its type only when it is all that the text consists of
    "#);
}

#[test]
fn what_only_the_operation_knows() {
    insta::assert_snapshot!(after_vpc("      - { id: a, op: net.vpc, with: { tags: {}, cidr_block: 10.0.0.0/99 } }\n"), @r#"
    error[plan::refused_param]: `cidr_block`: `10.0.0.0/99` is not a CIDR block
      --> runbook.yaml:11:61
       |
    11 |       - { id: a, op: net.vpc, with: { tags: {}, cidr_block: 10.0.0.0/99 } }
       |                                                             ^^^^^^^^^^^ the operation refuses this
       = help: `switchback ops net.vpc` shows its parameters
    "#);
}

#[test]
fn an_input_of_another_type() {
    let text = phase("      - { id: a, op: net.vpc, with: { cidr_block: \"${inputs.n}\", tags: \"${inputs.m}\" } }\n")
        .replace(
            "phases:",
            "inputs: { n: { type: integer, default: 5 }, m: { type: map, default: { a: 1 } } }\nphases:",
        );
    insta::assert_snapshot!(errors(&text), @r#"
    error[plan::wrong_type]: `cidr_block` wants a text, not a whole number
     --> runbook.yaml:7:51
      |
    7 |       - { id: a, op: net.vpc, with: { cidr_block: "${inputs.n}", tags: "${inputs.m}" } }
      |                                                   ^^^^^^^^^^^^^ `${inputs.n}` is a whole number
      = help: refer to a value that is a text

    error[plan::wrong_type]: `tags.a` wants a text, not a whole number
     --> runbook.yaml:7:72
      |
    7 |       - { id: a, op: net.vpc, with: { cidr_block: "${inputs.n}", tags: "${inputs.m}" } }
      |                                                                        ^^^^^^^^^^^^^ a part of `${inputs.m}` is a whole number
      = help: refer to a value that is a text
    "#);
}

#[test]
fn cycles() {
    insta::assert_snapshot!(errors(&phase("      - { id: a, op: test.echo, with: { text: \"${b.text}\" } }\n      - { id: b, op: test.echo, needs: [a] }\n")), @r#"
    error[plan::cycle]: steps wait for each other: a -> b -> a
     --> runbook.yaml:6:50
      |
    6 |       - { id: a, op: test.echo, with: { text: "${b.text}" } }
      |                                                  ^ `a` needs `b`
    7 |       - { id: b, op: test.echo, needs: [a] }
      |                                         - `b` needs `a`
      = help: take one of these references away; where two things name each other, a third step can tie them together
    "#);
    insta::assert_snapshot!(errors(&phase("      - { id: a, op: test.echo, with: { text: \"${a.text}\" } }\n")), @r#"
    error[plan::cycle]: steps wait for each other: a -> a
     --> runbook.yaml:6:50
      |
    6 |       - { id: a, op: test.echo, with: { text: "${a.text}" } }
      |                                                  ^ `a` needs `a`
      = help: take one of these references away; where two things name each other, a third step can tie them together
    "#);
}

#[test]
fn a_step_of_a_later_phase() {
    let text = phase("      - { id: a, op: test.echo, with: { text: \"${b.text}\" } }\n")
        + "  - name: later\n    steps:\n      - { id: b, op: test.echo }\n";
    insta::assert_snapshot!(errors(&text), @r#"
    error[plan::later_phase]: step `b` is in the later phase `later` and cannot be used in phase `main`
     --> runbook.yaml:6:50
      |
    6 |       - { id: a, op: test.echo, with: { text: "${b.text}" } }
      |                                                  ^ used here
    9 |       - { id: b, op: test.echo }
      |               - runs in phase `later`
      = help: a phase begins when the one before it is verified; move one of the two steps
    "#);
}

#[test]
fn a_step_that_is_left_out() {
    insta::assert_snapshot!(errors(&phase(
        "      - { id: a, op: test.echo, when: 1 > 2 }\n      - { id: b, op: test.echo, with: { text: \"${a.text}\" } }\n      - { id: c, op: test.echo, for_each: [x, y], when: each.key == 'x' }\n      - { id: d, op: test.echo, needs: [\"c[y]\"] }\n"
    )), @r#"
    error[plan::left_out]: step `a` is left out by its `when`
     --> runbook.yaml:7:50
      |
    7 |       - { id: b, op: test.echo, with: { text: "${a.text}" } }
      |                                                  ^ used here
    6 |       - { id: a, op: test.echo, when: 1 > 2 }
      |                                       ----- this is false
      = help: give this step the same `when`, or do not refer to it

    error[plan::left_out]: step `c[y]` is left out by its `when`
     --> runbook.yaml:9:44
      |
    9 |       - { id: d, op: test.echo, needs: ["c[y]"] }
      |                                            ^ used here
    8 |       - { id: c, op: test.echo, for_each: [x, y], when: each.key == 'x' }
      |                                                         --------------- this is false
      = help: give this step the same `when`, or do not refer to it
    "#);
}

#[test]
fn bad_conditions() {
    insta::assert_snapshot!(errors(&phase(
        "      - { id: a, op: test.echo, when: \"1 +\" }\n      - { id: b, op: test.echo, when: '${inputs.x} == 1' }\n      - { id: c, op: test.echo, when: inputs.missing }\n      - { id: d, op: test.echo, when: each.key == 'x' }\n      - { id: e, op: test.echo, when: 1 + 1 }\n      - { id: f, op: test.echo, verify: [\"output.count >\", inputs.x == 1] }\n"
    )), @r#"
    error[plan::condition]: `when` is not a CEL expression: it ends too early
     --> runbook.yaml:6:43
      |
    6 |       - { id: a, op: test.echo, when: "1 +" }
      |                                           ^ here
      = help: write a condition such as `inputs.replicas > 1 && inputs.region == "us-east-1"`

    error[plan::condition]: `when` is CEL, in which there is no `${...}`
     --> runbook.yaml:7:40
      |
    7 |       - { id: b, op: test.echo, when: '${inputs.x} == 1' }
      |                                        ^^ a reference begins here
      = help: name the value itself, such as `inputs.region == "us-east-1"`

    error[plan::condition]: `when` cannot be decided: no such key: missing
     --> runbook.yaml:8:39
      |
    8 |       - { id: c, op: test.echo, when: inputs.missing }
      |                                       ^^^^^^^^^^^^^^ this must be true or false
      = help: a condition knows `inputs` and, with `for_each`, `each.key` and `each.value`

    error[plan::condition]: `each` is only known in a step with `for_each`
     --> runbook.yaml:9:39
      |
    9 |       - { id: d, op: test.echo, when: each.key == 'x' }
      |                                       ^^^^^^^^^^^^^^^ this refers to `each`
      = help: add `for_each`, or refer to an input: `inputs.NAME`

    error[plan::condition]: `when` cannot be decided: it is a number, neither true nor false
      --> runbook.yaml:10:39
       |
    10 |       - { id: e, op: test.echo, when: 1 + 1 }
       |                                       ^^^^^ this must be true or false
       = help: a condition knows `inputs` and, with `for_each`, `each.key` and `each.value`

    error[plan::condition]: `verify` is not a CEL expression: it ends too early
      --> runbook.yaml:11:57
       |
    11 |       - { id: f, op: test.echo, verify: ["output.count >", inputs.x == 1] }
       |                                                         ^ here
       = help: write a condition such as `inputs.replicas > 1 && inputs.region == "us-east-1"`

    error[plan::condition]: `verify` does not know `inputs`
      --> runbook.yaml:11:60
       |
    11 |       - { id: f, op: test.echo, verify: ["output.count >", inputs.x == 1] }
       |                                                            ^^^^^^^^^^^^^ this looks at nothing that the step made
       = help: a check knows `output` (what the step made) and `observed` (what was read back)
    "#);
}

#[test]
fn bad_for_each() {
    insta::assert_snapshot!(errors(&phase(
        "      - { id: a, op: test.echo, for_each: 5 }\n      - { id: b, op: test.echo, for_each: [x, y, x] }\n      - { id: c, op: test.echo, for_each: [[1], a/b] }\n      - { id: d, op: test.echo, for_each: { \"a b\": 1, each.key: 2 } }\n      - { id: e, op: test.echo, for_each: \"${a.text}\" }\n      - { id: f, op: test.echo, with: { any: \"${b[x].text}\" } }\n"
    )), @r#"
    error[plan::for_each]: `for_each` wants a map or a list
     --> runbook.yaml:6:43
      |
    6 |       - { id: a, op: test.echo, for_each: 5 }
      |                                           ^ this is neither
      = help: write `{ KEY: VALUE }` or `[VALUE, VALUE]`, or refer to an input of such a type

    error[plan::duplicate_key]: `for_each` gives the key `x` twice
     --> runbook.yaml:7:50
      |
    7 |       - { id: b, op: test.echo, for_each: [x, y, x] }
      |                                                  ^ given again here
      = help: each key makes one step, so each must be there once; a map can give other keys to equal values

    error[plan::for_each]: an element of a `for_each` list must be a text, number or boolean
     --> runbook.yaml:8:44
      |
    8 |       - { id: c, op: test.echo, for_each: [[1], a/b] }
      |                                            ^^^ this cannot be a key
      = help: write a map instead: each key names a step, and its value can be anything

    error[plan::for_each]: `a/b` cannot be a key of a `for_each`
     --> runbook.yaml:8:49
      |
    8 |       - { id: c, op: test.echo, for_each: [[1], a/b] }
      |                                                 ^^^ this becomes part of a step's id
      = help: keys consist of letters, digits, `_`, `.` and `-`; with a map you can choose them

    error[plan::for_each]: `a b` cannot be a key of a `for_each`
     --> runbook.yaml:9:45
      |
    9 |       - { id: d, op: test.echo, for_each: { "a b": 1, each.key: 2 } }
      |                                             ^^^^^ this becomes part of a step's id
      = help: keys consist of letters, digits, `_`, `.` and `-`; with a map you can choose them

    error[plan::for_each]: `each.key` cannot be a key of a `for_each`
     --> runbook.yaml:9:55
      |
    9 |       - { id: d, op: test.echo, for_each: { "a b": 1, each.key: 2 } }
      |                                                       ^^^^^^^^ this becomes part of a step's id
      = help: keys consist of letters, digits, `_`, `.` and `-`; with a map you can choose them

    error[reference::plan_time]: only inputs can be referred to here
      --> runbook.yaml:10:46
       |
    10 |       - { id: e, op: test.echo, for_each: "${a.text}" }
       |                                              ^ not an input
       = help: this must be known before anything runs; write `${inputs.NAME}`
    "#);
}

#[test]
fn bad_targets_of_an_unwind() {
    let text = phase(
        "      - { id: a, op: test.echo, on_failure: { unwind_to: b } }\n      - { id: b, op: test.echo, on_failure: { unwind_to: main } }\n      - { id: c, op: test.echo, for_each: [x], on_failure: { unwind_to: mian } }\n      - { id: d, op: test.echo, on_failure: { unwind_to: c } }\n      - { id: e, op: test.echo, on_failure: { unwind_to: \"c[x]\" } }\n",
    )
    .replace("phases:", "policy: { on_failure: { unwind_to: nowhere } }\nphases:");
    insta::assert_snapshot!(errors(&text), @r#"
    error[plan::unwind_to]: there is no phase or step `nowhere`
     --> runbook.yaml:3:36
      |
    3 | policy: { on_failure: { unwind_to: nowhere } }
      |                                    ^^^^^^^ this is where to go back to
      = help: the phases are `main`

    error[plan::unwind_to]: step `b` is not before this one
     --> runbook.yaml:7:58
      |
    7 |       - { id: a, op: test.echo, on_failure: { unwind_to: b } }
      |                                                          ^ this is where to go back to
      = help: name an earlier phase, or one earlier step such as `vpc` or `subnet[1a]`

    error[plan::unwind_to]: phase `main` does not end before this step
     --> runbook.yaml:8:58
      |
    8 |       - { id: b, op: test.echo, on_failure: { unwind_to: main } }
      |                                                          ^^^^ this is where to go back to
      = help: name an earlier phase, or one earlier step such as `vpc` or `subnet[1a]`

    error[plan::unwind_to]: there is no phase or step `mian`
     --> runbook.yaml:9:73
      |
    9 |       - { id: c, op: test.echo, for_each: [x], on_failure: { unwind_to: mian } }
      |                                                                         ^^^^ this is where to go back to
      = help: did you mean `main`?

    error[plan::unwind_to]: `c` is not one step of this plan
      --> runbook.yaml:10:58
       |
    10 |       - { id: d, op: test.echo, on_failure: { unwind_to: c } }
       |                                                          ^ this is where to go back to
       = help: name an earlier phase, or one earlier step such as `vpc` or `subnet[1a]`
    "#);
}

#[test]
fn a_wrong_target() {
    let text = phase("")
        .replace("    steps:\n", "    steps: []\n")
        .replace("phases:", "target: { aws: { region: US East, account: \"1234\" } }\nphases:");
    insta::assert_snapshot!(errors(&text), @r#"
    error[plan::region]: `US East` is not an AWS region
     --> runbook.yaml:3:26
      |
    3 | target: { aws: { region: US East, account: "1234" } }
      |                          ^^^^^^^ a region is wanted here
      = help: a region is written like `us-east-1`

    error[plan::account]: `1234` is not an AWS account
     --> runbook.yaml:3:44
      |
    3 | target: { aws: { region: US East, account: "1234" } }
      |                                            ^^^^^^ an account is wanted here
      = help: an account has twelve digits, such as "123456789012"
    "#);
    let text = text.replace("\"1234\"", "\"${vpc.account}\"");
    insta::assert_snapshot!(errors(&text), @r#"
    error[reference::plan_time]: only inputs can be referred to here
     --> runbook.yaml:3:47
      |
    3 | target: { aws: { region: US East, account: "${vpc.account}" } }
      |                                               ^^^ not an input
      = help: this must be known before anything runs; write `${inputs.NAME}`
    "#);
}

#[test]
fn colours_and_boxes_for_a_terminal() {
    let all = crate::fakes::plan_with("runbook: demo\nversion: 1\nfases: []\n", &[]).unwrap_err();
    let shown = all.render(true, 80);
    assert!(
        shown.contains("\u{1b}[") && shown.contains("runbook.yaml:3:1") && shown.contains("did you mean `phases`?"),
        "{shown}"
    );
    assert_eq!(all.to_string(), "runbook.yaml:3:1: unknown key `fases` in the runbook");
}
