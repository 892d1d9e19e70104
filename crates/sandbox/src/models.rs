//! Models of what is not AWS: databases, streams, registries, files, as far as operations can see them.
//!
//! A model answers the same calls as the real system (`switchback_engine::remote`), of the same types; that it answers
//! alike is tested against the real one. It is called as a service of the sandbox, by the name of its calls, so that it
//! stands behind the same faults as AWS, is saved and loaded with everything else, and shows its things in the report.
//! Only rehearsals call models; the running sandbox has the real systems beside it.

pub(crate) mod command;
pub(crate) mod file;
pub(crate) mod nats;
pub(crate) mod postgresql;
pub(crate) mod registry;
pub(crate) mod web;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Value, json};
use switchback_engine::remote::Ask;
use switchback_model::plan::Plan;
use switchback_model::{OpError, OpResult};

use crate::input::Input;
use crate::notes::Answer;
use crate::refusal::Refusal;
use crate::service::Service;

/// The action with which somebody else changes a thing of a model.
pub(crate) const CHANGES: &str = "SomebodyChanges";
/// The action with which somebody else deletes one.
pub(crate) const DELETES: &str = "SomebodyDeletes";

/// One thing that a model holds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Modelled {
    /// As in the report: `database`.
    pub(crate) kind: &'static str,
    /// What calls name it by.
    pub(crate) id: String,
    /// The marks of the run that made it, by the names of ownership tags (`switchback:run`); none: it is nobody's.
    pub(crate) tags: BTreeMap<String, String>,
    /// It is meant to stay on the way back.
    pub(crate) residue: bool,
    /// What it is; nothing that changes by itself and nothing secret.
    pub(crate) attributes: BTreeMap<&'static str, Value>,
}

/// The model of one system. What it holds is part of every snapshot: cheap to clone.
pub(crate) trait Model: Clone + Default {
    /// Its calls.
    type Ask: Ask;

    /// Does what is asked.
    fn answer(&mut self, ask: Self::Ask) -> OpResult<<Self::Ask as Ask>::Answer>;

    /// Everything that it holds and that is worth comparing.
    fn things(&self) -> Vec<Modelled>;

    /// Somebody else changes, or deletes, the thing of this id. Whether that happened.
    fn meddle(&mut self, id: &str, delete: bool) -> bool;
}

/// All models of a place.
#[derive(Debug, Clone, Default)]
pub(crate) struct Models {
    pub(crate) command: Arc<command::Commands>,
    pub(crate) file: Arc<file::Files>,
    pub(crate) postgresql: Arc<postgresql::Servers>,
    pub(crate) nats: Arc<nats::Nats>,
    pub(crate) registry: Arc<registry::Registry>,
    pub(crate) web: Arc<web::Web>,
    pub(crate) ports: Arc<web::Ports>,
}

impl Models {
    /// Everything that they hold.
    pub(crate) fn things(&self) -> Vec<Modelled> {
        [self.file.things(), self.nats.things(), self.postgresql.things(), self.registry.things()].concat()
    }

    /// Whether these are the same ones, and hold the same.
    pub(crate) fn are(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.file, &other.file)
            && Arc::ptr_eq(&self.nats, &other.nats)
            && Arc::ptr_eq(&self.postgresql, &other.postgresql)
            && Arc::ptr_eq(&self.registry, &other.registry)
    }

    /// What the steps of a plan find there in a rehearsal, as the operator's systems have it before a run.
    pub(crate) fn seed(&mut self, plan: &Plan) {
        Arc::make_mut(&mut self.nats).seed(plan);
        Arc::make_mut(&mut self.web).seed(plan);
        let imports = command::imports(plan);
        if !imports.is_empty() {
            let names: BTreeSet<String> = imports.iter().flat_map(|import| import.fields.iter().cloned()).collect();
            Arc::make_mut(&mut self.command).prints(names.into_iter().collect());
        }
        for import in imports {
            if let Some(path) = import.path {
                Arc::make_mut(&mut self.file).put(&path, &command::rows(&import.fields));
            }
        }
    }

    /// A call to the model of that service.
    pub(crate) fn handle(&mut self, service: Service, input: &Input) -> Result<Answer, Refusal> {
        match service {
            Service::Command => handle(&mut self.command, input),
            Service::File => handle(&mut self.file, input),
            Service::Postgresql => handle(&mut self.postgresql, input),
            Service::Nats => handle(&mut self.nats, input),
            Service::Registry => handle(&mut self.registry, input),
            Service::Http => handle(&mut self.web, input),
            Service::Tcp => handle(&mut self.ports, input),
            other => Err(Refusal::internal(format!("The sandbox has no model of {}", other.name()))),
        }
    }
}

/// The answer and the errors of a model go over the same wire, each as it is.
fn handle<M: Model>(model: &mut Arc<M>, input: &Input) -> Result<Answer, Refusal> {
    let body = &input.body()?.0;
    if [CHANGES, DELETES].contains(&input.action.as_str()) {
        let id = body.get("id").and_then(Value::as_str).unwrap_or_default();
        let done = Arc::make_mut(model).meddle(id, input.action == DELETES);
        return if done {
            Ok(Answer::json(&json!({})))
        } else {
            Err(Refusal::new("NotThere", "There is no such thing"))
        };
    }
    let ask = body.get("ask").cloned().unwrap_or_default();
    let ask: M::Ask = serde_json::from_value(ask).map_err(|_| Refusal::unreadable())?;
    // A read leaves the snapshot as it is.
    let outcome = if ask.writes() { Arc::make_mut(model).answer(ask) } else { M::clone(model).answer(ask) };
    let reply = match outcome {
        Ok(answer) => json!({"answer": answer}),
        Err(error) => json!({"error": error}),
    };
    Ok(Answer::json(&reply))
}

/// A call to a model, as the body of a request.
pub(crate) fn body_of<A: Ask>(ask: &A) -> Value {
    json!({"ask": ask})
}

/// What a model replied.
pub(crate) fn reply_of<A: Ask>(body: &[u8]) -> OpResult<A::Answer> {
    let unreadable = |error: serde_json::Error| OpError::permanent(format!("a model gave no answer: {error}"));
    let mut reply: BTreeMap<String, Value> = serde_json::from_slice(body).map_err(unreadable)?;
    if let Some(error) = reply.remove("error") {
        return Err(serde_json::from_value(error).map_err(unreadable)?);
    }
    serde_json::from_value(reply.remove("answer").unwrap_or_default()).map_err(unreadable)
}
