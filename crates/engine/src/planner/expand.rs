//! Which steps there are: `for_each` makes several of one, `when` leaves some out. Both must be
//! decidable from the inputs, since a step that appears at run time could not be planned,
//! approved or unwound.

use std::collections::HashMap;
use std::rc::Rc;

use serde_json::{Value, json};
use switchback_model::ids::StepId;

use super::arg::ArgKind;
use super::catalog::{Catalog, OpInfo};
use super::inputs::Inputs;
use super::scope::Scope;
use crate::cel;
use crate::runbook::{
    Diagnostic, Diagnostics, Runbook, Span, Spanned, StepSpec, Text, did_you_mean, is_key_char, listed,
};

/// A step as it is written.
pub(crate) struct Entry<'a, 'r> {
    pub(crate) spec: &'a StepSpec,
    pub(crate) phase: usize,
    /// `None`: the kind is not known, which has been reported.
    pub(crate) info: Option<Rc<OpInfo<'r>>>,
    pub(crate) instances: Instances,
}

/// The steps that one written step stands for, as places in [`Steps::list`]. `None`: left out.
pub(crate) enum Instances {
    One(Option<u32>),
    Each {
        keys: HashMap<String, Option<u32>>,
        kept: Vec<u32>,
    },
    /// Not known, because something is wrong that has been reported.
    Broken,
}

/// A step of the plan.
pub(crate) struct Instance {
    pub(crate) id: StepId,
    pub(crate) entry: usize,
    pub(crate) each: Option<Each>,
}

/// The element of a `for_each`.
pub(crate) struct Each {
    pub(crate) key: String,
    pub(crate) value: Value,
}

/// All steps.
pub(crate) struct Steps<'a, 'r> {
    pub(crate) entries: Vec<Entry<'a, 'r>>,
    pub(crate) by_id: HashMap<&'a str, usize>,
    pub(crate) list: Vec<Instance>,
}

/// Expands every step, in the order of the runbook.
pub(crate) fn expand<'a, 'r>(
    runbook: &'a Runbook,
    inputs: &Inputs,
    catalog: &mut Catalog<'r>,
    errors: &mut Diagnostics,
) -> Steps<'a, 'r> {
    let mut steps = Steps { entries: Vec::new(), by_id: HashMap::new(), list: Vec::new() };
    // Converted once: the conditions of all steps see the same inputs.
    let shared = cel::Vars::new(&[("inputs", &inputs.to_json())]);
    let specs = runbook.phases.iter().enumerate().flat_map(|(phase, p)| p.steps.iter().map(move |spec| (phase, spec)));
    for (phase, spec) in specs {
        let info = catalog.get(&spec.op.value);
        if info.is_none() {
            let help = did_you_mean(&spec.op.value, catalog.kinds(), || {
                format!("the operations are {}", listed(catalog.kinds()))
            });
            errors.push(
                Diagnostic::new("plan::unknown_op", format!("there is no operation `{}`", spec.op.value))
                    .at(spec.op.span, "this kind is not known")
                    .help(help),
            );
        }
        let index = steps.entries.len();
        let mut expander = Expander { inputs, shared: &shared, errors: &mut *errors };
        let instances = expander.step(spec, index, &mut steps.list);
        steps.entries.push(Entry { spec, phase, info, instances });
        steps.by_id.insert(&spec.id.value, index);
    }
    steps
}

struct Expander<'a> {
    inputs: &'a Inputs,
    shared: &'a Result<cel::Vars, String>,
    errors: &'a mut Diagnostics,
}

impl Expander<'_> {
    fn step(&mut self, spec: &StepSpec, entry: usize, list: &mut Vec<Instance>) -> Instances {
        let Ok(when) = spec.when.as_ref().map(|w| self.condition(w, spec.for_each.is_some())).transpose() else {
            return Instances::Broken;
        };
        let mut add = |id: String, each| {
            list.push(Instance { id: StepId::new(&id), entry, each });
            u32::try_from(list.len() - 1).ok()
        };
        let id = &spec.id.value;
        let Some(node) = &spec.for_each else {
            return match self.holds(when.as_ref(), spec, None) {
                Some(true) => Instances::One(add(id.clone(), None)),
                Some(false) => Instances::One(None),
                None => Instances::Broken,
            };
        };
        let mut scope = Scope::plan_time(self.inputs, self.errors);
        let arg = scope.resolve(node);
        let Some(elements) = self.elements(&arg.unfolded().kind, node.span) else { return Instances::Broken };
        let (mut keys, mut kept) = (HashMap::with_capacity(elements.len()), Vec::with_capacity(elements.len()));
        let mut broken = false;
        for (key, value, span) in elements {
            if keys.contains_key(&key) {
                self.errors.push(
                    Diagnostic::new("plan::duplicate_key", format!("`for_each` gives the key `{key}` twice"))
                        .at(span, "given again here")
                        .help("each key makes one step, so each must be there once; a map can give other keys to equal values"),
                );
                broken = true;
                continue;
            }
            let each = Each { key, value };
            match self.holds(when.as_ref(), spec, Some(&each)) {
                Some(true) => {
                    let key = each.key.clone();
                    let index = add(format!("{id}[{key}]"), Some(each));
                    keys.insert(key, index);
                    kept.extend(index);
                }
                Some(false) => {
                    keys.insert(each.key, None);
                }
                None => broken = true,
            }
        }
        if broken { Instances::Broken } else { Instances::Each { keys, kept } }
    }

    /// The elements of a `for_each`: key, value and place.
    fn elements(&mut self, kind: &ArgKind<'_>, whole: Span) -> Option<Vec<(String, Value, Span)>> {
        let mut elements = Vec::new();
        let mut good = true;
        match kind {
            ArgKind::Map(fields) => {
                for (key, arg) in fields {
                    good &= self.key(&key.value, key.span);
                    elements.push((key.value.clone(), arg.known()?, key.span));
                }
            }
            ArgKind::List(items) => {
                for item in items {
                    let value = item.known()?;
                    let key = match &value {
                        Value::String(text) => text.clone(),
                        Value::Number(_) | Value::Bool(_) => value.to_string(),
                        _ => {
                            self.errors.push(
                                Diagnostic::new(
                                    "plan::for_each",
                                    "an element of a `for_each` list must be a text, number or boolean",
                                )
                                .at(item.span, "this cannot be a key")
                                .help("write a map instead: each key names a step, and its value can be anything"),
                            );
                            good = false;
                            continue;
                        }
                    };
                    good &= self.key(&key, item.span);
                    elements.push((key, value, item.span));
                }
            }
            ArgKind::Broken => return None,
            _ => {
                self.errors.push(
                    Diagnostic::new("plan::for_each", "`for_each` wants a map or a list")
                        .at(whole, "this is neither")
                        .help("write `{ KEY: VALUE }` or `[VALUE, VALUE]`, or refer to an input of such a type"),
                );
                return None;
            }
        }
        good.then_some(elements)
    }

    fn key(&mut self, key: &str, span: Span) -> bool {
        let reserved = key == "each.key" || key == "each.value";
        let good = !key.is_empty() && !reserved && key.chars().all(is_key_char);
        if !good {
            self.errors.push(
                Diagnostic::new("plan::for_each", format!("`{key}` cannot be a key of a `for_each`"))
                    .at(span, "this becomes part of a step's id")
                    .help("keys consist of letters, digits, `_`, `.` and `-`; with a map you can choose them"),
            );
        }
        good
    }

    /// Compiles a condition and looks at its variables.
    fn condition(&mut self, text: &Spanned<Text>, in_for_each: bool) -> Result<cel::Program, ()> {
        no_secret(text, "when", self.inputs, self.errors)?;
        let program = compile(text, "when", self.errors)?;
        if !in_for_each && program.variables().iter().any(|v| v == "each") {
            self.errors.push(
                Diagnostic::new("plan::condition", "`each` is only known in a step with `for_each`")
                    .at(text.span, "this refers to `each`")
                    .help("add `for_each`, or refer to an input: `inputs.NAME`"),
            );
            return Err(());
        }
        Ok(program)
    }

    /// Whether the step is there. `None`: not known.
    fn holds(&mut self, when: Option<&cel::Program>, spec: &StepSpec, each: Option<&Each>) -> Option<bool> {
        let Some(program) = when else { return Some(true) };
        if !self.inputs.complete() {
            return None;
        }
        let element = each.map(|e| json!({ "key": e.key, "value": e.value }));
        let own: Vec<_> = element.as_ref().map(|e| ("each", e)).into_iter().collect();
        let shared = self.shared.as_ref().map_err(Clone::clone);
        match shared.and_then(|shared| cel::eval_bool_in(program, shared, &own)) {
            Ok(holds) => Some(holds),
            Err(reason) => {
                let element = each.map(|e| format!(" for `{}`", e.key)).unwrap_or_default();
                let span = spec.when.as_ref().map_or(spec.span, |w| w.span);
                self.errors.push(
                    Diagnostic::new("plan::condition", format!("`when` cannot be decided{element}: {reason}"))
                        .at(span, "this must be true or false")
                        .help("a condition knows `inputs` and, with `for_each`, `each.key` and `each.value`"),
                );
                None
            }
        }
    }
}

/// A condition that names a secret: what it decides would tell about the value.
pub(crate) fn no_secret(text: &Spanned<Text>, what: &str, inputs: &Inputs, errors: &mut Diagnostics) -> Result<(), ()> {
    let Some((name, at)) = inputs.secret_in(&text.value.value) else { return Ok(()) };
    errors.push(
        Diagnostic::new("plan::secret", format!("`{what}` cannot look at the secret `{name}`"))
            .at(text.value.span_of(at.start, at.end, text.span), "what this decides can be read by anybody")
            .help("decide by another input"),
    );
    Err(())
}

/// Compiles the CEL of a `when` or `verify`.
pub(crate) fn compile(text: &Spanned<Text>, what: &str, errors: &mut Diagnostics) -> Result<cel::Program, ()> {
    let inner = &text.value.value;
    if let Some(at) = inner.find("${") {
        errors.push(
            Diagnostic::new("plan::condition", format!("`{what}` is CEL, in which there is no `${{...}}`"))
                .at(text.value.span_of(at, at + 2, text.span), "a reference begins here")
                .help("name the value itself, such as `inputs.region == \"us-east-1\"`"),
        );
        return Err(());
    }
    cel::compile(inner).map_err(|e| {
        let span = match e.position {
            Some((1, column)) => {
                let at = inner.char_indices().nth(column - 1).map(|(i, c)| (i, i + c.len_utf8()));
                let (start, end) = at.unwrap_or((inner.len(), inner.len()));
                text.value.span_of(start, end, text.span)
            }
            _ => text.span,
        };
        errors.push(
            Diagnostic::new("plan::condition", format!("`{what}` is not a CEL expression: {}", e.message))
                .at(span, "here")
                .help("write a condition such as `inputs.replicas > 1 && inputs.region == \"us-east-1\"`"),
        );
    })
}
