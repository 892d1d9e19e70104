//! From a tree of values to a [`Runbook`]: which keys there are, which are required, and what
//! form their values have. Names that must be unique are checked here; everything that needs
//! another part of the file, an operation or an input is the planner's.

use std::collections::HashMap;

use super::diagnostic::{Diagnostic, Diagnostics};
use super::document::{
    AssumeRoleSpec, AwsTargetSpec, InputSpec, InputType, ManagedSecretSpec, OnFailureSpec, PhaseSpec, PolicySpec,
    RetrySpec, Runbook, SecretFromSpec, StepSpec, TargetSpec,
};
use super::duration;
use super::node::{Entry, Node, NodeValue, Spanned, Text};
use super::source::{Source, Span};
use super::suggest::{closest, did_you_mean, listed};
use super::yaml;

/// What the names of further targets begin with.
const PREFIX: &str = "aws.";

/// Names that mean something else in a reference.
const RESERVED: [&str; 2] = ["inputs", "each"];

/// Reads a runbook.
///
/// # Errors
/// Everything that is wrong with the file, each error with its place.
pub fn parse(source: &Source) -> Result<Runbook, Diagnostics> {
    let mut errors = Diagnostics::new(source.clone());
    let runbook = yaml::parse_tree(source, &mut errors).and_then(|root| Reader { errors: &mut errors }.runbook(root));
    match runbook {
        Some(runbook) => errors.finish(runbook),
        None => {
            if errors.is_empty() {
                errors.push(Diagnostic::new("runbook::invalid", "the file is not a runbook"));
            }
            errors.finish(()).and_then(|()| Err(Diagnostics::new(source.clone())))
        }
    }
}

/// The entries of a map that must have known keys. What is taken is gone.
struct Fields {
    what: &'static str,
    span: Span,
    entries: Vec<Option<Entry>>,
    /// Known keys that unknown ones seem to stand for: they are not reported as missing.
    misspelt: Vec<&'static str>,
}

impl Fields {
    fn take(&mut self, key: &str) -> Option<Entry> {
        self.entries.iter_mut().find(|e| e.as_ref().is_some_and(|e| e.key.value == key))?.take()
    }
}

struct Reader<'a> {
    errors: &'a mut Diagnostics,
}

impl Reader<'_> {
    fn error(&mut self, diagnostic: Diagnostic) {
        self.errors.push(diagnostic);
    }

    /// `what` and what it wants, at a node that is something else.
    fn wrong_type(&mut self, what: &str, wants: &str, node: &Node) {
        let help = match (wants, &node.value) {
            ("a text", NodeValue::Number(_) | NodeValue::Bool(_)) => "write it in quotes to make it a text",
            ("a text", _) => "write a text, in quotes if it holds special characters",
            ("a list", _) => "write `[...]`, or a line `- ...` for each element",
            ("a boolean", NodeValue::Text(text)) if is_yaml_1_1_boolean(&text.value) => {
                "write `true` or `false`; words such as `yes` and `on` are texts in YAML 1.2"
            }
            ("a boolean", _) => "write `true` or `false`",
            ("a whole number from 1", _) => "write a whole number such as `1`, without quotes",
            _ => "write a line `key: value` for each key",
        };
        let is = match &node.value {
            NodeValue::Number(n) if wants != "a text" => format!("`{n}`"),
            _ => node.kind().to_owned(),
        };
        self.error(
            Diagnostic::new("runbook::wrong_type", format!("{what} wants {wants}, not {is}"))
                .at(node.span, format!("this is {is}"))
                .help(help),
        );
    }

    fn fields(&mut self, node: Node, what: &'static str, known: &[&'static str]) -> Option<Fields> {
        let NodeValue::Map(entries) = node.value else {
            self.wrong_type(what, "a map", &node);
            return None;
        };
        let span = entries.first().map_or(node.span, |e| e.key.span);
        let mut kept = Vec::with_capacity(entries.len());
        let mut misspelt = Vec::new();
        for entry in entries {
            let key = entry.key.value.as_str();
            if known.contains(&key) {
                kept.push(Some(entry));
                continue;
            }
            let unused = known.iter().copied();
            misspelt.extend(closest(key, unused.clone()));
            self.error(
                Diagnostic::new("runbook::unknown_key", format!("unknown key `{key}` in {what}"))
                    .at(entry.key.span, "this key is not known")
                    .help(did_you_mean(key, unused.clone(), || format!("{what} has the keys {}", listed(unused)))),
            );
        }
        Some(Fields { what, span, entries: kept, misspelt })
    }

    fn require(&mut self, fields: &mut Fields, key: &str, example: &str) -> Option<Entry> {
        let entry = fields.take(key);
        if entry.is_none() && !fields.misspelt.contains(&key) {
            self.error(
                Diagnostic::new("runbook::missing_key", format!("{} lacks the key `{key}`", fields.what))
                    .at(fields.span, format!("`{key}` is missing here"))
                    .help(format!("add `{key}: {example}`")),
            );
        }
        entry
    }

    fn text(&mut self, entry: Entry) -> Option<Spanned<Text>> {
        self.text_node(&format!("`{}`", entry.key.value), entry.value)
    }

    fn text_node(&mut self, what: &str, node: Node) -> Option<Spanned<Text>> {
        match node.value {
            NodeValue::Text(text) => Some(Spanned::new(text, node.span)),
            _ => {
                self.wrong_type(what, "a text", &node);
                None
            }
        }
    }

    fn string(&mut self, entry: Entry) -> Option<Spanned<String>> {
        self.text(entry).map(|t| Spanned::new(t.value.value, t.span))
    }

    fn positive(&mut self, entry: &Entry) -> Option<u32> {
        let number = match &entry.value.value {
            NodeValue::Number(n) => n.as_u64().and_then(|n| u32::try_from(n).ok()).filter(|n| *n > 0),
            _ => None,
        };
        if number.is_none() {
            self.wrong_type(&format!("`{}`", entry.key.value), "a whole number from 1", &entry.value);
        }
        number
    }

    fn list(&mut self, entry: Entry) -> Option<Vec<Node>> {
        match entry.value.value {
            NodeValue::List(items) => Some(items),
            _ => {
                self.wrong_type(&format!("`{}`", entry.key.value), "a list", &entry.value);
                None
            }
        }
    }

    fn texts(&mut self, entry: Option<Entry>) -> Vec<Spanned<Text>> {
        let Some(entry) = entry else { return Vec::new() };
        let what = format!("an element of `{}`", entry.key.value);
        let items = self.list(entry).unwrap_or_default();
        items.into_iter().filter_map(|item| self.text_node(&what, item)).collect()
    }

    fn runbook(&mut self, root: Node) -> Option<Runbook> {
        if root.value == NodeValue::Null {
            self.error(
                Diagnostic::new("yaml::empty", "the file is empty")
                    .at(root.span, "nothing here")
                    .help("a runbook begins with `runbook: NAME`, `version: 1` and `phases:`"),
            );
            return None;
        }
        let mut fields = self.fields(root, "the runbook", Runbook::KEYS)?;
        let name = self.require(&mut fields, "runbook", "NAME").and_then(|e| self.string(e));
        let version = self.require(&mut fields, "version", "1").and_then(|e| self.positive(&e));
        let description = fields.take("description").and_then(|e| self.string(e)).map(|t| t.value).unwrap_or_default();
        let target = fields.take("target").map(|e| self.target(e.value)).unwrap_or_default();
        let inputs = fields.take("inputs");
        let inputs_key = inputs.as_ref().map(|e| e.key.span);
        let inputs = inputs.map(|e| self.inputs(e)).unwrap_or_default();
        let policy = fields.take("policy").map(|e| self.policy(e.value)).unwrap_or_default();
        let phases = self.require(&mut fields, "phases", "[...]").map(|e| self.phases(e)).unwrap_or_default();
        let name = self.not_empty(name?);
        Some(Runbook { name, version: version?, description, target, inputs, policy, phases, inputs_key })
    }

    fn not_empty(&mut self, name: Spanned<String>) -> Spanned<String> {
        if name.value.trim().is_empty() {
            self.error(
                Diagnostic::new("runbook::empty_name", "the name is empty")
                    .at(name.span, "a name is wanted here")
                    .help("give it a name of letters, digits, `-` and `_`"),
            );
        }
        name
    }

    fn target(&mut self, node: Node) -> TargetSpec {
        let mut more = Vec::new();
        let node = match node.value {
            NodeValue::Map(entries) => {
                let (named, rest): (Vec<_>, Vec<_>) =
                    entries.into_iter().partition(|e| e.key.value.strip_prefix(PREFIX).is_some_and(is_name));
                more.extend(named.into_iter().filter_map(|e| Some((e.key, self.aws_target(e.value)?))));
                Node { value: NodeValue::Map(rest), ..node }
            }
            _ => node,
        };
        let Some(mut fields) = self.fields(node, "`target`", TargetSpec::KEYS) else { return TargetSpec::default() };
        let aws = fields.take("aws").and_then(|entry| self.aws_target(entry.value));
        TargetSpec { aws, more }
    }

    fn aws_target(&mut self, node: Node) -> Option<AwsTargetSpec> {
        let mut aws = self.fields(node, "an AWS target", AwsTargetSpec::KEYS)?;
        let region = self.require(&mut aws, "region", "us-east-1").and_then(|e| self.text(e));
        let account = self.require(&mut aws, "account", "\"123456789012\"").and_then(|e| self.text(e));
        let profile = self.option(&mut aws, "profile");
        let assume_role = aws.take("assume_role").and_then(|e| {
            let mut role = self.fields(e.value, "`assume_role`", AssumeRoleSpec::KEYS)?;
            let role_arn = self.require(&mut role, "role_arn", "ARN").and_then(|e| self.text(e));
            let (external_id, session_name) =
                (self.option(&mut role, "external_id"), self.option(&mut role, "session_name"));
            Some(AssumeRoleSpec { role_arn: role_arn?, external_id, session_name })
        });
        let endpoint_url = self.option(&mut aws, "endpoint_url");
        Some(AwsTargetSpec { region: region?, account: account?, profile, assume_role, endpoint_url })
    }

    /// A text that may be left out.
    fn option(&mut self, fields: &mut Fields, key: &str) -> Option<Spanned<Text>> {
        fields.take(key).and_then(|e| self.text(e))
    }

    fn inputs(&mut self, entry: Entry) -> Vec<InputSpec> {
        let NodeValue::Map(entries) = entry.value.value else {
            self.wrong_type("`inputs`", "a map of names", &entry.value);
            return Vec::new();
        };
        entries.into_iter().filter_map(|e| self.input(e)).collect()
    }

    fn input(&mut self, entry: Entry) -> Option<InputSpec> {
        let name = entry.key;
        if !is_name(&name.value) {
            self.bad_name("an input", &name);
        }
        let mut fields = self.fields(entry.value, "an input", InputSpec::KEYS)?;
        fields.span = name.span;
        let kind = self.require(&mut fields, "type", "string").and_then(|e| self.input_type(e));
        let default = fields.take("default").map(|e| e.value);
        if let (Some(InputType::Secret), Some(default)) = (kind, &default) {
            // The planner says that it must not be there. Other errors of the line do not show it either.
            self.errors.hide(default.span);
        }
        let description = fields.take("description").and_then(|e| self.string(e)).map(|t| t.value);
        let pattern = fields.take("pattern").and_then(|e| self.string(e));
        let from = fields.take("from").and_then(|e| self.secret_from(e.value));
        Some(InputSpec { name, kind: kind?, default, description, pattern, from })
    }

    fn secret_from(&mut self, node: Node) -> Option<SecretFromSpec> {
        let span = node.span;
        let mut fields = self.fields(node, "`from`", SecretFromSpec::KEYS)?;
        let (file, managed) = (fields.take("file"), fields.take("secrets_manager"));
        if file.is_some() == managed.is_some() {
            self.error(
                Diagnostic::new("runbook::secret_from", "`from` wants one place")
                    .at(span, "this is not one")
                    .help("write `from: { file: PATH }` or `from: { secrets_manager: { secret_id: NAME } }`"),
            );
            return None;
        }
        let managed = managed.and_then(|e| {
            let mut managed = self.fields(e.value, "`secrets_manager`", ManagedSecretSpec::KEYS)?;
            let secret_id = self.require(&mut managed, "secret_id", "NAME").and_then(|e| self.text(e));
            let (json_key, version_stage) =
                (self.option(&mut managed, "json_key"), self.option(&mut managed, "version_stage"));
            Some(SecretFromSpec::SecretsManager(ManagedSecretSpec { secret_id: secret_id?, json_key, version_stage }))
        });
        managed.or_else(|| file.and_then(|e| self.text(e)).map(SecretFromSpec::File))
    }

    fn input_type(&mut self, entry: Entry) -> Option<InputType> {
        let text = self.string(entry)?;
        if let Some(kind) = InputType::ALL.into_iter().find(|k| k.name() == text.value) {
            return Some(kind);
        }
        let names = || InputType::ALL.iter().map(|k| k.name());
        self.error(
            Diagnostic::new("runbook::input_type", format!("`{}` is not a type of input", text.value))
                .at(text.span, "this type is not known")
                .help(did_you_mean(&text.value, names(), || format!("the types are {}", listed(names())))),
        );
        None
    }

    fn policy(&mut self, node: Node) -> PolicySpec {
        let Some(mut fields) = self.fields(node, "`policy`", PolicySpec::KEYS) else { return PolicySpec::default() };
        let on_failure = fields.take("on_failure").and_then(|e| self.on_failure(e.value));
        let max_parallel = fields.take("max_parallel").and_then(|e| self.positive(&e));
        let require_rehearsal = fields.take("require_rehearsal").is_some_and(|e| self.boolean(&e));
        PolicySpec { on_failure, max_parallel, require_rehearsal }
    }

    fn on_failure(&mut self, node: Node) -> Option<OnFailureSpec> {
        const HELP: &str = "write `unwind`, `pause` or `{ unwind_to: PHASE }`";
        match node.value {
            NodeValue::Text(t) if t.value == "unwind" => Some(OnFailureSpec::Unwind),
            NodeValue::Text(t) if t.value == "pause" => Some(OnFailureSpec::Pause),
            NodeValue::Map(_) => {
                let mut fields = self.fields(node, "`on_failure`", &["unwind_to"])?;
                let to = self.require(&mut fields, "unwind_to", "PHASE")?;
                self.string(to).map(OnFailureSpec::UnwindTo)
            }
            _ => {
                let d = Diagnostic::new("runbook::on_failure", "`on_failure` has no such value");
                self.error(d.at(node.span, "this is not known").help(HELP));
                None
            }
        }
    }

    fn phases(&mut self, entry: Entry) -> Vec<PhaseSpec> {
        let key = entry.key.span;
        let phases: Vec<_> = self.list(entry).unwrap_or_default().into_iter().filter_map(|n| self.phase(n)).collect();
        if phases.is_empty() && self.errors.is_empty() {
            self.error(
                Diagnostic::new("runbook::no_phases", "the runbook has no phases")
                    .at(key, "nothing is listed here")
                    .help("add a phase: `- name: NAME` with `steps:`"),
            );
        }
        self.unique_names(&phases);
        phases
    }

    /// Phases and steps share one set of names: `unwind --to NAME` takes either.
    fn unique_names(&mut self, phases: &[PhaseSpec]) {
        let mut seen: HashMap<&str, (&'static str, Span)> = HashMap::new();
        let phase_names = phases.iter().map(|p| ("phase", &p.name));
        let step_ids = phases.iter().flat_map(|p| &p.steps).map(|s| ("step", &s.id));
        for (what, name) in phase_names.chain(step_ids).filter(|(_, name)| !name.value.is_empty()) {
            if let Some((other, first)) = seen.get(name.value.as_str()) {
                self.errors.push(
                    Diagnostic::new("runbook::duplicate_name", format!("the {what} `{}` has the name of another {other}", name.value))
                        .at(name.span, "used again here")
                        .at(*first, "first used here")
                        .help("phases and steps need names that are unique in the whole runbook, since `unwind --to NAME` takes either"),
                );
            } else {
                seen.insert(&name.value, (what, name.span));
            }
        }
    }

    fn bad_name(&mut self, what: &str, name: &Spanned<String>) {
        self.error(
            Diagnostic::new("runbook::bad_name", format!("`{}` cannot be the name of {what}", name.value))
                .at(name.span, "not a name")
                .help("a name begins with a small letter; small letters, digits and `_` follow"),
        );
    }

    fn phase(&mut self, node: Node) -> Option<PhaseSpec> {
        let mut fields = self.fields(node, "a phase", PhaseSpec::KEYS)?;
        let name = self.require(&mut fields, "name", "NAME").and_then(|e| self.string(e));
        let steps = self.require(&mut fields, "steps", "[...]").and_then(|e| self.list(e)).unwrap_or_default();
        let steps: Vec<_> = steps.into_iter().filter_map(|n| self.step(n)).collect();
        let name = name.unwrap_or_else(|| Spanned::new(String::new(), fields.span));
        let named = name.value.starts_with(|c: char| c.is_ascii_alphanumeric())
            && name.value.chars().all(super::reference::is_key_char);
        if !named && !name.value.is_empty() {
            self.error(
                Diagnostic::new("runbook::bad_name", format!("`{}` cannot be the name of a phase", name.value))
                    .at(name.span, "not a name")
                    .help("a phase's name consists of letters, digits, `_`, `.` and `-`"),
            );
        }
        Some(PhaseSpec { name, steps })
    }

    fn step(&mut self, node: Node) -> Option<StepSpec> {
        let span = node.span;
        let mut fields = self.fields(node, "a step", StepSpec::KEYS)?;
        let id = self.require(&mut fields, "id", "NAME").and_then(|e| self.string(e));
        if let Some(id) = &id {
            fields.span = id.span;
            self.step_id(id);
        }
        let op = self.require(&mut fields, "op", "KIND").and_then(|e| self.string(e));
        let provider = self.option(&mut fields, "provider");
        let with = fields.take("with").and_then(|e| match e.value.value {
            NodeValue::Map(_) => Some(e.value),
            _ => {
                self.wrong_type("`with`", "a map", &e.value);
                None
            }
        });
        let needs = fields.take("needs");
        let needs = self.texts(needs);
        let for_each = fields.take("for_each").map(|e| e.value);
        let when = fields.take("when").and_then(|e| self.text(e));
        let timeout = fields.take("timeout").and_then(|e| self.timeout(e));
        let retry = fields.take("retry").and_then(|e| {
            let mut retry = self.fields(e.value, "`retry`", RetrySpec::KEYS)?;
            let attempts = self.require(&mut retry, "attempts", "5")?;
            self.positive(&attempts).map(|attempts| RetrySpec { attempts })
        });
        let on_failure = fields.take("on_failure").and_then(|e| self.on_failure(e.value));
        let verify = fields.take("verify");
        let verify = self.texts(verify);
        let protect = fields.take("protect").is_some_and(|e| self.boolean(&e));
        let (id, op) = (id?, op?);
        Some(StepSpec {
            id,
            op,
            provider,
            with,
            needs,
            for_each,
            when,
            timeout,
            retry,
            on_failure,
            verify,
            protect,
            span,
        })
    }

    fn step_id(&mut self, id: &Spanned<String>) {
        if RESERVED.contains(&id.value.as_str()) {
            self.error(
                Diagnostic::new("runbook::bad_name", format!("`{}` cannot be the id of a step", id.value))
                    .at(id.span, "this word is reserved")
                    .help(format!("{} mean something else in a reference; use another id", listed(RESERVED))),
            );
        } else if !is_name(&id.value) {
            self.bad_name("a step", id);
        }
    }

    fn boolean(&mut self, entry: &Entry) -> bool {
        if let NodeValue::Bool(b) = entry.value.value {
            return b;
        }
        self.wrong_type(&format!("`{}`", entry.key.value), "a boolean", &entry.value);
        false
    }

    fn timeout(&mut self, entry: Entry) -> Option<std::time::Duration> {
        if let NodeValue::Text(text) = &entry.value.value
            && let Some(duration) = duration::parse_duration(&text.value).filter(|d| !d.is_zero())
        {
            return Some(duration);
        }
        self.error(
            Diagnostic::new("runbook::duration", format!("`{}` wants a duration", entry.key.value))
                .at(entry.value.span, "this is not one")
                .help(duration::EXPECTED),
        );
        None
    }
}

/// What YAML 1.1 took for a boolean.
pub(crate) fn is_yaml_1_1_boolean(text: &str) -> bool {
    ["yes", "no", "on", "off", "y", "n"].iter().any(|word| text.eq_ignore_ascii_case(word))
}

/// `[a-z][a-z0-9_]*`.
fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}
