//! Which steps a name means: `vpc`, `subnet[1a]`, `subnet[*]`, and whether they can be used where
//! the name stands.

use std::ops::Range;

use super::budget;
use super::expand::{Entry, Instances};
use super::scope::{InText, Scope};
use crate::runbook::{Diagnostic, Selector, Span, Spanned, Text, listed, parse_target};

/// What a step's id with its brackets stands for.
pub(super) enum Target<'s, 'a, 'r> {
    One(&'s Entry<'a, 'r>, u32),
    All(&'s Entry<'a, 'r>, &'s [u32]),
    Broken,
}

/// What a name is written for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    Reference,
    Needs,
}

impl<'s, 'a, 'r> Scope<'s, 'a, 'r> {
    /// An element of `needs`: the steps that it names.
    pub(crate) fn need(&mut self, text: &Spanned<Text>) {
        let at = InText { text: &text.value, whole: text.span };
        let (root, selector) = match parse_target(&text.value.value) {
            Ok(found) => found,
            Err(e) => {
                self.errors.push(
                    Diagnostic::new("plan::needs", e.message)
                        .at(at.span(&e.range), "here")
                        .help("write a step's id, such as `vpc`, `subnet` or `subnet[1a]`, without `${}`"),
                );
                return;
            }
        };
        match self.target(&root.name, at.span(&root.range), selector.as_ref(), &at, Use::Needs) {
            Target::One(_, index) => {
                self.needs.entry(index).or_insert(text.span);
            }
            Target::All(_, indexes) => {
                for index in indexes {
                    self.needs.entry(*index).or_insert(text.span);
                }
            }
            Target::Broken => {}
        }
    }

    fn refuse(&mut self, diagnostic: Diagnostic) -> Target<'s, 'a, 'r> {
        self.errors.push(diagnostic);
        Target::Broken
    }

    pub(super) fn target(
        &mut self,
        id: &str,
        id_span: Span,
        selector: Option<&(Selector, Range<usize>)>,
        at: &InText<'_>,
        used: Use,
    ) -> Target<'s, 'a, 'r> {
        let Some((steps, phase)) = self.steps else {
            let d = Diagnostic::new("reference::plan_time", "only inputs can be referred to here");
            return self.refuse(
                d.at(id_span, "not an input").help("this must be known before anything runs; write `${inputs.NAME}`"),
            );
        };
        let Some(entry) = steps.by_id.get(id).and_then(|i| steps.entries.get(*i)) else {
            let help = if self.inputs.get(id).is_some() {
                format!("did you mean `${{inputs.{id}}}`?")
            } else {
                self.suggest(id, steps.by_id.keys().copied(), || {
                    let mut names: Vec<&str> = steps.by_id.keys().copied().collect();
                    names.sort_unstable();
                    format!("the steps are {}", listed(names))
                })
            };
            return self.refuse(
                Diagnostic::new("reference::unknown_step", format!("there is no step `{id}`"))
                    .at(id_span, "this step is not there")
                    .help(help),
            );
        };
        if entry.phase > phase {
            let name = |i: usize| self.phases.get(i).map_or("", String::as_str);
            let message = format!(
                "step `{id}` is in the later phase `{}` and cannot be used in phase `{}`",
                name(entry.phase),
                name(phase)
            );
            return self.refuse(
                Diagnostic::new("plan::later_phase", message)
                    .at(id_span, "used here")
                    .at(entry.spec.id.span, format!("runs in phase `{}`", name(entry.phase)))
                    .help("a phase begins when the one before it is verified; move one of the two steps"),
            );
        }
        let left_out = |name: &str, span: Span| {
            let d = Diagnostic::new("plan::left_out", format!("step `{name}` is left out by its `when`"));
            let when = entry.spec.when.as_ref().map_or(entry.spec.id.span, |w| w.span);
            d.at(span, "used here")
                .at(when, "this is false")
                .help("give this step the same `when`, or do not refer to it")
        };
        match (&entry.instances, selector) {
            (Instances::Broken, _) => Target::Broken,
            (Instances::One(Some(index)), None) => Target::One(entry, *index),
            (Instances::One(None), None) => self.refuse(left_out(id, id_span)),
            (Instances::One(_), Some((_, range))) => self.refuse(
                Diagnostic::new(
                    "reference::selector",
                    format!("step `{id}` has no `for_each`, so there is nothing to select"),
                )
                .at(at.span(range), "these brackets are too much")
                .help(format!("write `{id}` without brackets")),
            ),
            (Instances::Each { kept, .. }, Some((Selector::All, _))) => self.all(entry, kept, id_span),
            (Instances::Each { kept, .. }, None) if used == Use::Needs => self.all(entry, kept, id_span),
            (Instances::Each { keys, .. }, None) => {
                let names = self.sorted(keys.keys());
                let one = names.first().map_or(String::new(), |key| format!("`{id}[{key}]`, or "));
                self.refuse(
                    Diagnostic::new(
                        "reference::selector",
                        format!("step `{id}` has a `for_each`, so it must be said which one is meant"),
                    )
                    .at(id_span, "which one?")
                    .help(format!("write {one}`{id}[*]` for a list of all")),
                )
            }
            (Instances::Each { keys, .. }, Some((Selector::Key(key), range))) => {
                let key = self.own_key(key);
                match keys.get(key.as_str()) {
                    Some(Some(index)) => Target::One(entry, *index),
                    Some(None) => self.refuse(left_out(&format!("{id}[{key}]"), at.span(range))),
                    None => {
                        let names = self.sorted(keys.keys());
                        let help = self.suggest(&key, names.iter().copied(), || {
                            format!("its keys are {}", listed(names.iter().copied()))
                        });
                        self.refuse(
                            Diagnostic::new("reference::unknown_key", format!("step `{id}` has no element `{key}`"))
                                .at(at.span(range), "this key is not there")
                                .help(help),
                        )
                    }
                }
            }
        }
    }

    /// All elements of a `for_each`.
    fn all(&mut self, entry: &'s Entry<'a, 'r>, kept: &'s [u32], span: Span) -> Target<'s, 'a, 'r> {
        if self.charge(budget::of_references(kept.len()), span) { Target::All(entry, kept) } else { Target::Broken }
    }

    /// `[each.key]` and `[each.value]` select by the element of this step's own `for_each`.
    fn own_key(&self, key: &str) -> String {
        match (self.each, key) {
            (Some(each), "each.key") => each.key.clone(),
            (Some(each), "each.value") => each.value.as_str().map_or_else(|| each.value.to_string(), str::to_owned),
            _ => key.to_owned(),
        }
    }
}
