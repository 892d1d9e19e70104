//! Puts the plan together, step by step.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;
use switchback_model::ids::StepId;
use switchback_model::plan::{
    AssumeRole, AwsTarget, ManagedSecret, OnFailure, PLAN_FORMAT_VERSION, Plan, PlanStep, Policy, SecretFrom,
    SecretInput, Target,
};

use super::arg::{Arg, ArgKind};
use super::budget;
use super::catalog::Catalog;
use super::check::check_params;
use super::expand::{self, Each, Entry, Instance, Instances, Steps};
use super::includes::{Beside, Includes, Nothing};
use super::inputs::{self, Inputs};
use super::load::plan_hash;
use super::order;
use super::scope::Scope;
use crate::cel;
use crate::operation::ParamError;
use crate::registry::Registry;
use crate::runbook::{
    AwsTargetSpec, Diagnostic, Diagnostics, InputType, Node, NodeValue, OnFailureSpec, Runbook, SecretFromSpec, Source,
    Span, Spanned, StepSpec, Text, did_you_mean, listed, parse,
};

/// A runbook that has been planned.
#[derive(Debug, Clone, PartialEq)]
pub struct Planned {
    /// The plan.
    pub plan: Plan,
    /// The SHA-256 of its canonical JSON, in hex.
    pub hash: String,
    /// Where each step of the plan stands in the runbook: line and column from 1, by the step's
    /// index.
    pub positions: Vec<(usize, usize)>,
}

/// Plans a runbook that includes nothing. `given` are the inputs by name, as texts.
///
/// # Errors
/// Everything that is wrong with the runbook or the inputs.
pub fn plan_runbook(
    source: &Source,
    registry: &Registry,
    given: &BTreeMap<String, String>,
) -> Result<Planned, Diagnostics> {
    plan_runbook_beside(source, registry, given, Arc::new(Nothing))
}

/// Plans a runbook that stands beside files which it may include.
///
/// # Errors
/// Everything that is wrong with the runbook, the inputs or what it includes.
pub fn plan_runbook_beside(
    source: &Source,
    registry: &Registry,
    given: &BTreeMap<String, String>,
    beside: Arc<dyn Beside>,
) -> Result<Planned, Diagnostics> {
    // Conditions want a deep stack; one for all of them instead of one for each.
    cel::with_deep_stack(|| {
        let runbook = parse(source)?;
        Builder::new(source, &runbook, registry).build(given, beside)
    })
    .unwrap_or_else(|e| Err(Diagnostics::one(source.clone(), Diagnostic::new("plan::internal", e.message))))
}

struct Builder<'a, 'r> {
    source: &'a Source,
    runbook: &'a Runbook,
    catalog: Catalog<'r>,
    phases: Vec<String>,
    errors: Diagnostics,
}

impl<'a, 'r> Builder<'a, 'r> {
    fn new(source: &'a Source, runbook: &'a Runbook, registry: &'r Registry) -> Self {
        let phases = runbook.phases.iter().map(|p| p.name.value.clone()).collect();
        let errors = Diagnostics::new(source.clone());
        Self { source, runbook, catalog: Catalog::new(registry), phases, errors }
    }

    fn build(mut self, given: &BTreeMap<String, String>, beside: Arc<dyn Beside>) -> Result<Planned, Diagnostics> {
        let runbook = self.runbook;
        let mut inputs = inputs::resolve(runbook, given, &mut self.errors);
        inputs.includes = Includes::new(beside);
        let inputs = inputs;
        let aws = runbook.target.aws.as_ref().and_then(|spec| self.target(spec, &inputs));
        let more: BTreeMap<String, Option<AwsTarget>> =
            runbook.target.more.iter().map(|(name, spec)| (name.value.clone(), self.target(spec, &inputs))).collect();
        let declared: BTreeMap<&str, SecretInput> = self.secrets(&inputs);
        let steps = expand::expand(runbook, &inputs, &mut self.catalog, &mut self.errors);
        let policy = Policy {
            on_failure: self.on_failure(runbook.policy.on_failure.as_ref(), &steps, None).unwrap_or_default(),
            max_parallel: runbook.policy.max_parallel.unwrap_or_else(|| Policy::default().max_parallel),
            require_rehearsal: runbook.policy.require_rehearsal,
        };
        let settings: Vec<Settings> =
            steps.entries.iter().enumerate().map(|(i, e)| self.settings(e, i, &steps, &inputs)).collect();
        let mut needs: Vec<Vec<(u32, Span)>> = Vec::with_capacity(steps.list.len());
        let mut planned = Vec::with_capacity(steps.list.len());
        for instance in &steps.list {
            if inputs.budget.is_spent() {
                // There will be no plan.
                break;
            }
            let Some((entry, settings)) = steps.entries.get(instance.entry).zip(settings.get(instance.entry)) else {
                continue;
            };
            let (step, mut found) = self.step(instance, entry, settings, &inputs, &steps);
            found.sort_unstable();
            planned.push(step);
            needs.push(found);
        }
        if !inputs.budget.is_spent() {
            self.cycles(&steps, &needs);
        }
        let plan = Plan {
            format: PLAN_FORMAT_VERSION,
            runbook: runbook.name.value.clone(),
            version: runbook.version,
            description: runbook.description.clone(),
            target: Target { more: more.into_iter().filter_map(|(name, t)| Some((name, t?))).collect(), aws },
            inputs: inputs.to_map(),
            secrets: used(&planned, declared),
            policy,
            phases: self.phases,
            steps: planned,
            files: inputs.includes.files(),
        };
        let positions = positions(self.source, &steps);
        let hash = if self.errors.is_empty() { plan_hash(&plan) } else { String::new() };
        self.errors.finish(Planned { plan, hash, positions })
    }

    /// A text in which only inputs are known.
    fn text(&mut self, text: &Spanned<Text>, what: &str, inputs: &Inputs) -> Option<String> {
        let arg = Scope::plan_time(inputs, &mut self.errors).text(&text.value, text.span);
        match arg.kind {
            ArgKind::Value(Value::String(text), _) => Some(text),
            ArgKind::Broken => None,
            _ => {
                self.errors.push(
                    Diagnostic::new("plan::wrong_type", format!("{what} wants a text"))
                        .at(text.span, "this is not a text")
                        .help("refer to an input of type `string`"),
                );
                None
            }
        }
    }

    /// The secret inputs as the runbook declares them.
    fn secrets(&mut self, inputs: &Inputs) -> BTreeMap<&'a str, SecretInput> {
        let runbook = self.runbook;
        let secrets = runbook.inputs.iter().filter(|spec| spec.kind == InputType::Secret);
        secrets
            .map(|spec| {
                let from = spec.from.as_ref().and_then(|from| self.secret_from(from, inputs));
                (spec.name.value.as_str(), SecretInput { description: spec.description.clone(), from })
            })
            .collect()
    }

    fn secret_from(&mut self, from: &SecretFromSpec, inputs: &Inputs) -> Option<SecretFrom> {
        if let (SecretFromSpec::SecretsManager(spec), None) = (from, &self.runbook.target.aws) {
            self.errors.push(
                Diagnostic::new("plan::secret_from", "a secret of Secrets Manager needs the target `aws`")
                    .at(spec.secret_id.span, "in which account and region is it?")
                    .help("declare `target: { aws: { region: REGION, account: \"ACCOUNT\" } }`"),
            );
        }
        let mut text = |text: &Spanned<Text>| self.text(text, "`from`", inputs);
        Some(match from {
            SecretFromSpec::File(path) => SecretFrom::File(text(path)?),
            SecretFromSpec::SecretsManager(spec) => SecretFrom::SecretsManager(ManagedSecret {
                secret_id: text(&spec.secret_id)?,
                json_key: spec.json_key.as_ref().and_then(&mut text),
                version_stage: spec.version_stage.as_ref().and_then(&mut text),
            }),
        })
    }

    fn target(&mut self, spec: &AwsTargetSpec, inputs: &Inputs) -> Option<AwsTarget> {
        let mut text = |text: &Spanned<Text>| self.text(text, "the target", inputs);
        let (region, account) = (text(&spec.region), text(&spec.account));
        let profile = spec.profile.as_ref().and_then(&mut text);
        let endpoint_url = spec.endpoint_url.as_ref().and_then(&mut text);
        let assume_role = spec.assume_role.as_ref().and_then(|role| {
            Some(AssumeRole {
                role_arn: text(&role.role_arn)?,
                external_id: role.external_id.as_ref().and_then(&mut text),
                session_name: role.session_name.as_ref().and_then(&mut text),
            })
        });
        let (region, account) = (region?, account?);
        if !(account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit())) {
            self.errors.push(
                Diagnostic::new("plan::account", format!("`{account}` is not an AWS account"))
                    .at(spec.account.span, "an account is wanted here")
                    .help("an account has twelve digits, such as \"123456789012\""),
            );
        }
        if region.is_empty() || !region.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-') {
            self.errors.push(
                Diagnostic::new("plan::region", format!("`{region}` is not an AWS region"))
                    .at(spec.region.span, "a region is wanted here")
                    .help("a region is written like `us-east-1`"),
            );
        }
        if let (Some(role), Some(spec)) = (&assume_role, &spec.assume_role)
            && !(role.role_arn.starts_with("arn:") && role.role_arn.contains(":role/"))
        {
            self.errors.push(
                Diagnostic::new("plan::role", format!("`{}` is not the ARN of a role", role.role_arn))
                    .at(spec.role_arn.span, "the ARN of a role is wanted here")
                    .help(format!("write it like `arn:aws:iam::{account}:role/NAME`")),
            );
        }
        if let (Some(url), Some(text)) = (&endpoint_url, &spec.endpoint_url)
            && !["http://", "https://"].iter().any(|scheme| url.starts_with(scheme))
        {
            self.errors.push(
                Diagnostic::new("plan::endpoint_url", format!("`{url}` is not the URL of an endpoint"))
                    .at(text.span, "a URL is wanted here")
                    .help("write it like `http://127.0.0.1:4566`"),
            );
        }
        Some(AwsTarget { region, account, profile, assume_role, endpoint_url })
    }

    /// The target that a step names; `None`: the default one, or one that is not there, which has
    /// been reported.
    fn provider(&mut self, spec: &StepSpec, inputs: &Inputs, each: Option<&Each>) -> Option<String> {
        let text = spec.provider.as_ref()?;
        let mut scope = Scope::plan_time(inputs, &mut self.errors);
        scope.each = each;
        let name = match scope.text(&text.value, text.span).kind {
            ArgKind::Value(Value::String(name), _) => name,
            ArgKind::Broken => return None,
            _ => String::new(),
        };
        let target = &self.runbook.target;
        let default = target.aws.iter().map(|_| Target::AWS);
        let known: Vec<&str> = default.chain(target.more.iter().map(|(name, _)| name.value.as_str())).collect();
        if !known.contains(&name.as_str()) {
            let help = did_you_mean(&name, known.iter().copied(), || match known.is_empty() {
                true => "the runbook has no targets; declare it under `target:`".to_owned(),
                false => format!("declare it under `target:`; the targets are {}", listed(known.iter().copied())),
            });
            self.errors.push(
                Diagnostic::new("plan::unknown_target", format!("there is no target `{name}`"))
                    .at(text.span, "this target is not declared")
                    .help(help),
            );
            return None;
        }
        (name != Target::AWS).then_some(name)
    }

    /// What does not differ between the elements of a `for_each`.
    fn settings(&mut self, entry: &Entry<'a, 'r>, index: usize, steps: &Steps<'a, 'r>, inputs: &Inputs) -> Settings {
        for check in &entry.spec.verify {
            if expand::no_secret(check, "verify", inputs, &mut self.errors).is_err() {
                continue;
            }
            let Ok(program) = expand::compile(check, "verify", &mut self.errors) else { continue };
            let names = program.variables();
            if !names.is_empty() && !names.iter().any(|n| n == "output" || n == "observed") {
                self.errors.push(
                    Diagnostic::new(
                        "plan::condition",
                        format!("`verify` does not know {}", listed(names.iter().map(String::as_str))),
                    )
                    .at(check.span, "this looks at nothing that the step made")
                    .help("a check knows `output` (what the step made) and `observed` (what was read back)"),
                );
            }
        }
        Settings {
            on_failure: self.on_failure(entry.spec.on_failure.as_ref(), steps, Some(index)),
            verify: entry.spec.verify.iter().map(|v| v.value.value.clone()).collect(),
            cost: entry.spec.verify.iter().map(|v| budget::of_text(&v.value.value)).sum::<usize>()
                + entry.spec.needs.len(),
        }
    }

    /// `before`: the step whose policy it is; what it goes back to must be earlier.
    fn on_failure(
        &mut self,
        spec: Option<&OnFailureSpec>,
        steps: &Steps<'a, 'r>,
        before: Option<usize>,
    ) -> Option<OnFailure> {
        let name = match spec? {
            OnFailureSpec::Unwind => return Some(OnFailure::Unwind),
            OnFailureSpec::Pause => return Some(OnFailure::Pause),
            OnFailureSpec::UnwindTo(name) => name,
        };
        let base = name.value.split('[').next().unwrap_or("");
        let phase = self.phases.iter().position(|p| *p == name.value);
        let step = steps.by_id.get(base).and_then(|i| Some((*i, steps.entries.get(*i)?)));
        let own_phase = before.and_then(|i| steps.entries.get(i)).map(|e| e.phase);
        let problem = match (phase, step) {
            (Some(phase), _) if own_phase.is_none_or(|own| phase < own) => None,
            (None, Some((i, entry))) => {
                let there = match &entry.instances {
                    Instances::One(kept) => kept.is_some() && base == name.value,
                    Instances::Each { keys, .. } => {
                        let key = name.value.strip_prefix(base).and_then(|k| k.strip_prefix('[')?.strip_suffix(']'));
                        key.and_then(|k| keys.get(k)).is_some_and(Option::is_some)
                    }
                    Instances::Broken => true,
                };
                match (there, before) {
                    (false, _) if base == name.value => Some(format!("`{base}` is not one step of this plan")),
                    (false, _) => Some(format!("there is no step `{}` in this plan", name.value)),
                    (true, Some(own)) if i >= own => Some(format!("step `{}` is not before this one", name.value)),
                    (true, _) => None,
                }
            }
            (Some(_), _) => Some(format!("phase `{}` does not end before this step", name.value)),
            (None, None) => Some(format!("there is no phase or step `{}`", name.value)),
        };
        if let Some(problem) = problem {
            let names = || self.phases.iter().map(String::as_str).chain(steps.by_id.keys().copied());
            let help = match step.is_none() && phase.is_none() {
                true => did_you_mean(&name.value, names(), || {
                    format!("the phases are {}", listed(self.phases.iter().map(String::as_str)))
                }),
                false => "name an earlier phase, or one earlier step such as `vpc` or `subnet[1a]`".to_owned(),
            };
            self.errors.push(
                Diagnostic::new("plan::unwind_to", problem).at(name.span, "this is where to go back to").help(help),
            );
        }
        Some(OnFailure::UnwindTo(name.value.clone()))
    }

    fn step(
        &mut self,
        instance: &Instance,
        entry: &Entry<'a, 'r>,
        settings: &Settings,
        inputs: &Inputs,
        steps: &Steps<'a, 'r>,
    ) -> (PlanStep, Vec<(u32, Span)>) {
        let spec = entry.spec;
        let empty = Node { value: NodeValue::Map(Vec::new()), span: spec.op.span };
        let each = instance.each.as_ref();
        let provider = self.provider(spec, inputs, each);
        let mut scope = Scope::in_step(inputs, each, steps, entry.phase, &self.phases, &mut self.errors);
        // Every element has these anew.
        scope.charge(settings.cost, spec.id.span);
        let args = scope.resolve(spec.with.as_ref().unwrap_or(&empty));
        for need in &spec.needs {
            scope.need(need);
        }
        let needs: Vec<(u32, Span)> = scope.needs.into_iter().collect();
        if let Some(info) = &entry.info {
            let full = self.errors.is_full();
            let example = |kind: &str| if full { None } else { output_of_kind(kind, steps, instance.entry) };
            let problems = check_params(info, &args, spec.op.span, &example);
            if problems.is_empty() {
                self.bind(info.op, &args, spec.op.span);
            }
            for problem in problems {
                self.errors.push(problem);
            }
        }
        let mut ids: Vec<StepId> =
            needs.iter().filter_map(|(i, _)| steps.list.get(*i as usize)).map(|i| i.id.clone()).collect();
        ids.sort_unstable();
        let step = PlanStep {
            id: instance.id.clone(),
            phase: u32::try_from(entry.phase).unwrap_or(u32::MAX),
            op: spec.op.value.clone(),
            op_version: entry.info.as_ref().map_or(0, |info| info.op.version()),
            params: args.into_template(),
            provider,
            needs: ids,
            timeout: spec.timeout,
            attempts: spec.retry.map(|r| r.attempts),
            on_failure: settings.on_failure.clone(),
            verify: settings.verify.clone(),
            protect: spec.protect,
        };
        (step, needs)
    }

    /// The operation's own check, where all parameters are known.
    fn bind(&mut self, op: &dyn crate::operation::DynOperation, args: &Arg<'_>, head: Span) {
        let Some(params) = args.known() else { return };
        let Err(problems) = op.bind(&params) else { return };
        for ParamError { path, message } in problems {
            let span = args.span_at(&path).unwrap_or(head);
            let name = if path.is_empty() { op.kind().to_owned() } else { path.join(".") };
            self.errors.push(
                Diagnostic::new("plan::refused_param", format!("`{name}`: {message}"))
                    .at(span, "the operation refuses this")
                    .help(format!("`switchback ops {}` shows its parameters", op.kind())),
            );
        }
    }

    fn cycles(&mut self, steps: &Steps<'a, 'r>, needs: &[Vec<(u32, Span)>]) {
        let plain: Vec<Vec<u32>> = needs.iter().map(|list| list.iter().map(|(i, _)| *i).collect()).collect();
        for cycle in order::cycles(&plain) {
            let name = |i: &u32| steps.list.get(*i as usize).map_or("", |s| s.id.as_str());
            let Some(first) = cycle.first() else { continue };
            let mut text: Vec<&str> = cycle.iter().map(name).collect();
            text.push(name(first));
            let mut d = Diagnostic::new("plan::cycle", format!("steps wait for each other: {}", shortened(&text)));
            let next = cycle.iter().skip(1).chain(std::iter::once(first));
            for (step, need) in cycle.iter().zip(next).take(4) {
                let span = needs
                    .get(*step as usize)
                    .and_then(|list| list.iter().find(|(i, _)| i == need))
                    .map(|(_, span)| *span);
                d = d.at(span.unwrap_or_default(), format!("`{}` needs `{}`", name(step), name(need)));
            }
            self.errors.push(d.help("take one of these references away; where two things name each other, a third step can tie them together"));
        }
    }
}

/// A reference to an output that is an id of that kind, as the step `user` may write it.
fn output_of_kind(kind: &str, steps: &Steps<'_, '_>, user: usize) -> Option<String> {
    let phase = steps.entries.get(user)?.phase;
    let visible = steps.entries.iter().enumerate().filter(|(i, e)| *i != user && e.phase <= phase);
    visible.map(|(_, entry)| entry).find_map(|entry| {
        let output = &entry.info.as_ref()?.output;
        let is_it = |name: &&str| output.field(output.root, name).and_then(|f| output.id_kind(f)) == Some(kind);
        let field = output.field_names(output.root).into_iter().find(is_it)?;
        let id = &entry.spec.id.value;
        match &entry.instances {
            Instances::One(Some(_)) => Some(format!("${{{id}.{field}}}")),
            Instances::Each { kept, .. } => {
                let first = steps.list.get(*kept.first()? as usize)?;
                Some(format!("${{{}.{field}}}", first.id))
            }
            _ => None,
        }
    })
}

/// The declared secrets that steps refer to: no other is ever asked for.
fn used(steps: &[PlanStep], mut declared: BTreeMap<&str, SecretInput>) -> BTreeMap<String, SecretInput> {
    let mut used = BTreeMap::new();
    for name in steps.iter().flat_map(|step| step.params.secrets()) {
        if let Some(secret) = declared.remove(name) {
            used.insert(name.to_owned(), secret);
        }
    }
    used
}

struct Settings {
    on_failure: Option<OnFailure>,
    verify: Vec<String>,
    /// What they take from the budget, once an element.
    cost: usize,
}

/// `a -> b -> a`; long ones are cut in the middle.
fn shortened(names: &[&str]) -> String {
    const SHOWN: usize = 10;
    if names.len() <= SHOWN {
        return names.join(" -> ");
    }
    let head = names.get(..SHOWN / 2).unwrap_or_default().join(" -> ");
    let tail = names.get(names.len() - SHOWN / 2..).unwrap_or_default().join(" -> ");
    format!("{head} -> ... {} more ... -> {tail}", names.len() - SHOWN)
}

/// Line and column of every step. One pass over the file.
fn positions(source: &Source, steps: &Steps<'_, '_>) -> Vec<(usize, usize)> {
    let (mut line, mut line_start, mut at) = (1, 0, 0);
    let text = source.text();
    let mut found: Vec<(usize, usize)> = Vec::with_capacity(steps.entries.len());
    for entry in &steps.entries {
        let to = entry.spec.id.span.start();
        if to < at {
            // Repeated by an alias: it stands earlier in the file.
            found.push(source.line_column(entry.spec.id.span.start));
            continue;
        }
        for (i, byte) in text.as_bytes().get(at..to).unwrap_or_default().iter().enumerate() {
            if *byte == b'\n' {
                line += 1;
                line_start = at + i + 1;
            }
        }
        at = to;
        found.push((line, text.get(line_start..to).unwrap_or("").chars().count() + 1));
    }
    steps.list.iter().map(|i| found.get(i.entry).copied().unwrap_or((1, 1))).collect()
}
