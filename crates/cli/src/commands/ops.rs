//! `ops`: the catalog of operations, from what they say about themselves; and the IAM policy that a
//! runbook needs. Uses no network and writes nothing.

use std::path::Path;

use serde_json::{Map, Value, json};
use switchback_engine::operation::DynOperation;
use switchback_engine::runbook::did_you_mean;
use switchback_model::exit_code;
use switchback_model::facts::Facts;
use switchback_model::plan::Target;
use switchback_report::ops::{FieldView, OpView, catalog};

use crate::app::App;
use crate::args::Ops;
use crate::error::{CommandError, CommandResult};
use crate::{policy, source, target};

pub(crate) fn run(app: &App, args: &Ops) -> CommandResult<u8> {
    if let Some(file) = &args.policy {
        return least_privilege(app, args, file);
    }
    let registry = app.registry()?;
    let wanted = args.kind.as_deref().unwrap_or_default();
    if let Some(op) = registry.get(wanted) {
        if app.out.json {
            app.out.line("operation", None, view(op))?;
        } else {
            app.out.data(&view(op).render(&app.out.context()))?;
        }
        return Ok(exit_code::OK);
    }
    let views: Vec<OpView> = registry.iter().filter(|op| op.kind().starts_with(wanted)).map(view).collect();
    if views.is_empty() {
        let help =
            did_you_mean(wanted, registry.iter().map(|op| op.kind()), || "`switchback ops` lists them all".to_owned());
        return Err(CommandError::usage(format!("there is no operation `{wanted}`")).advice(help));
    }
    if app.out.json {
        for view in &views {
            app.out.line("operation", None, view)?;
        }
    } else {
        app.out.data(&catalog(&views, &app.out.context()))?;
    }
    Ok(exit_code::OK)
}

fn view(op: &dyn DynOperation) -> OpView {
    let (params, output) = (op.params_schema().to_value(), op.output_schema().to_value());
    let example = op.example().unwrap_or_else(|| Value::Object(Map::new()));
    let facts = op.facts_of(&example).unwrap_or_else(Facts::without_effect);
    OpView {
        kind: op.kind().to_owned(),
        version: op.version(),
        about: text(&params["description"]),
        params: fields(&params),
        outputs: fields(&output),
        actions_to_do: policy::to_do(&facts).into_iter().collect(),
        actions_to_undo: policy::to_undo(&facts).into_iter().collect(),
        example,
        facts,
    }
}

/// A description in one line.
fn text(description: &Value) -> String {
    description.as_str().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
}

fn fields(schema: &Value) -> Vec<FieldView> {
    let required = schema["required"].as_array().cloned().unwrap_or_default();
    let all = schema["properties"].as_object().cloned().unwrap_or_default();
    let mut fields: Vec<FieldView> = all
        .into_iter()
        .map(|(name, field)| FieldView {
            kind: kind(&field, schema),
            required: required.contains(&json!(name)),
            about: text(&field["description"]),
            name,
        })
        .collect();
    // What must be given comes first.
    fields.sort_by_key(|f| !f.required);
    fields
}

/// A field's type in a word: what an id is an id of, `secret`, or JSON's own name.
fn kind(field: &Value, root: &Value) -> String {
    if let Some(id) = field["x-switchback-id"].as_str() {
        return id.to_owned();
    }
    if field["x-switchback-secret"] == true {
        return "secret".to_owned();
    }
    if let Some(all) = field["enum"].as_array() {
        return all.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("|");
    }
    for union in ["anyOf", "oneOf", "allOf"] {
        if let Some(parts) = field[union].as_array() {
            let mut kinds: Vec<String> = parts.iter().map(|p| kind(p, root)).filter(|k| k != "null").collect();
            kinds.dedup();
            return kinds.join("|");
        }
    }
    if let Some(constant) = field["const"].as_str() {
        return constant.to_owned();
    }
    if let Some(name) = field["$ref"].as_str().and_then(|r| r.strip_prefix('#')) {
        return root.pointer(name).map_or_else(|| "object".to_owned(), |definition| kind(definition, root));
    }
    let name = match &field["type"] {
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).find(|k| *k != "null").unwrap_or("any"),
        Value::String(one) => one,
        _ => "any",
    };
    if name == "array" { format!("list of {}", kind(&field["items"], root)) } else { name.to_owned() }
}

fn least_privilege(app: &App, args: &Ops, file: &Path) -> CommandResult<u8> {
    let document = source::read(file)?;
    let registry = app.registry()?;
    let plan = source::plan(&document, &registry, &source::given(&args.inputs))?.plan;
    let provider = args.target.as_deref().filter(|name| *name != Target::AWS);
    let Some(aws) = plan.target.aws_of(provider) else {
        let names = plan.target.aws.iter().map(|_| Target::AWS).chain(plan.target.more.keys().map(String::as_str));
        let names: Vec<&str> = names.collect();
        return Err(match (provider, names.is_empty()) {
            (_, true) => CommandError::refused("the runbook names no AWS target, so it needs no IAM policy"),
            (Some(name), _) => CommandError::usage(format!("the runbook has no target `{name}`"))
                .advice(format!("its targets are {}", names.join(", "))),
            (None, _) => CommandError::usage("the runbook has no target `aws`")
                .advice(format!("say which one with --target: {}", names.join(", "))),
        });
    };
    let policy = policy::policy(&plan, &registry, aws, provider, target::TAG_PREFIX);
    if app.out.json {
        app.out.line("policy", None, &policy)?;
    } else {
        let text = serde_json::to_string_pretty(&policy).map_err(std::io::Error::other)?;
        app.out.data(&format!("{text}\n"))?;
    }
    let size = policy::size(&policy);
    if size > policy::LARGEST {
        app.out.note(&format!(
            "the policy has {size} characters; a managed policy takes {}, so put it into two, statement by statement",
            policy::LARGEST
        ));
    }
    Ok(exit_code::OK)
}
