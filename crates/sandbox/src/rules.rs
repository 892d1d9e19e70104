//! The rules layer: refuses what AWS refuses, in AWS's words, and mends what the emulator leaves out.
//!
//! Every decision is made on a [`Picture`] of the emulator; there is no second model of the world. One call is
//! handled at a time, so a picture cannot become old between a check and the write that it allowed. Each service has a
//! module, which names its actions in one `match`; a call that it does not name is passed to the emulator as it is.
//!
//! ```text
//! call -> signed? -> place -> what is due has ended -> token seen? -> service: checks -> emulator -> notes -> reply
//! ```
//!
//! What is deleted slowly stays in the emulator, and goes on holding what it holds, until its time has come: see
//! [`Desk::end`].

mod backup;
mod cloudwatch;
mod dynamodb;
mod ec2;
mod ecr;
mod ecs;
mod elb;
mod iam;
mod kms;
mod lambda;
mod logs;
mod rds;
mod s3;
mod secrets;
mod servicediscovery;
mod sns;
mod ssm;
mod sts;
mod tagging;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::sync::Mutex;

use crate::clock::{Clock, Moment};
use crate::emulator::{Emulator, Saved};
use crate::endpoint::{AsOf, At, Cut, Endpoint, Request, Response, Scope, Stick, Touched};
use crate::input::Input;
use crate::models::Models;
use crate::notes::{Answer, Notes, Replay};
use crate::picture::Picture;
use crate::place::Place;
use crate::refusal::{Refusal, respond};
use crate::service::{Protocol, Service};
use crate::settings::Settings;
use crate::xml::Xml;

/// How long former worlds are kept for reads that lag behind.
const MEMORY: Duration = Duration::from_secs(120);
/// And how many of them.
const MEMORIES: usize = 1024;

/// The emulators behind their rules.
pub(crate) struct Rules {
    settings: Settings,
    clock: Clock,
    memory: Mutex<Memory>,
    requests: AtomicU64,
}

/// One place, as far as rules can see it.
#[derive(Clone, Default)]
pub(crate) struct Local {
    pub(crate) picture: Arc<Picture>,
    pub(crate) notes: Arc<Notes>,
}

impl Local {
    /// Whether nothing has changed.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.picture, &other.picture) && Arc::ptr_eq(&self.notes, &other.notes)
    }
}

/// All places that were ever called.
pub(crate) type World = Arc<BTreeMap<Place, Local>>;

#[derive(Default)]
struct Memory {
    emulators: BTreeMap<Place, Arc<Emulator>>,
    now: World,
    /// What the world was until a moment, oldest first.
    past: VecDeque<(Moment, World)>,
    /// What was kept last, and of which world: the same again as long as nothing changes.
    kept: Option<(World, Arc<Places>)>,
}

/// What each place holds.
type Places = BTreeMap<Place, (Saved, Arc<Notes>)>;

/// All of it, to be restored later.
#[derive(Clone)]
pub(crate) struct Kept {
    places: Arc<Places>,
    at: Moment,
}

impl Memory {
    /// The emulator of a place, made on first use.
    fn emulator(&mut self, place: &Place, settings: &Settings) -> Arc<Emulator> {
        let made = self.emulators.entry(place.clone()).or_insert_with(|| {
            let first_id = place.first_id(settings);
            let local = Local { notes: Arc::new(Notes::starting_at(first_id)), ..Local::default() };
            Arc::make_mut(&mut self.now).insert(place.clone(), local);
            Arc::new(Emulator::new(place, first_id))
        });
        Arc::clone(made)
    }

    fn at(&self, moment: Moment) -> &World {
        let later = self.past.partition_point(|(until, _)| *until <= moment);
        self.past.get(later).map_or(&self.now, |(_, world)| world)
    }

    fn change(&mut self, at: Moment, place: &Place, local: Local) {
        let before = Arc::clone(&self.now);
        Arc::make_mut(&mut self.now).insert(place.clone(), local);
        self.past.push_back((at, before));
        let old = at.minus(MEMORY);
        while self.past.len() > MEMORIES || self.past.front().is_some_and(|(until, _)| *until < old) {
            self.past.pop_front();
        }
    }

    /// What comes to its end first, when its time has come.
    fn next_gone(&self, now: Moment) -> Option<(Moment, Place, String)> {
        let all = self.now.iter().filter_map(|(place, local)| {
            let (at, id) = local.notes.next_gone(now)?;
            Some((at, place, id))
        });
        all.min().map(|(at, place, id)| (at, place.clone(), id.to_owned()))
    }
}

/// What the rules of a service work with: the place that is called, and the means to change it.
struct Desk<'a> {
    service: Service,
    emulator: Arc<Emulator>,
    settings: &'a Settings,
    place: &'a Place,
    /// Who calls; nobody when something comes to its end by itself.
    caller: Option<&'a Scope>,
    now: Moment,
    /// Whether what this call makes pending stays so, and what that is by now.
    sticks: Option<BTreeSet<String>>,
    local: Local,
    world: World,
}

impl Desk<'_> {
    /// Everything in the place.
    fn picture(&self) -> &Picture {
        &self.local.picture
    }

    /// EC2 in the place.
    fn ec2(&self) -> &crate::picture::ec2::Ec2 {
        &self.local.picture.ec2
    }

    /// IAM of the account, from any region.
    fn iam(&self) -> Option<&Local> {
        self.world.get(&self.place.global())
    }

    /// A role of this account that services can use by now: IAM takes a while to tell all others of a new one.
    fn role(&self, arn: &str) -> Option<&crate::picture::iam::Role> {
        let local = self.iam()?;
        let (_, role) = local.picture.iam.role(arn)?;
        (!local.notes.is_pending(arn, self.now)).then_some(role)
    }

    fn notes(&self) -> &Notes {
        &self.local.notes
    }

    fn notes_mut(&mut self) -> &mut Notes {
        Arc::make_mut(&mut self.local.notes)
    }

    /// Looks at the emulator again, after a write.
    fn look(&mut self) {
        self.look_again(false);
    }

    fn look_again(&mut self, new_rules_are_default: bool) {
        self.local.picture = self.emulator.picture();
        let picture = Arc::clone(&self.local.picture);
        self.notes_mut().sync(&picture, new_rules_are_default);
    }

    /// A new resource is pending for a while.
    fn settle(&mut self, id: &str) {
        self.ready_after(id, self.settings.settle);
    }

    /// A resource is pending, being made or being changed, for so long.
    fn ready_after(&mut self, id: &str, wait: Duration) {
        let ready = self.now.plus(wait);
        self.notes_mut().ready.insert(id.to_owned(), ready);
        self.stick(id);
    }

    /// A resource is being deleted for so long. Then the `finish` of its service takes it out of the emulator; until
    /// then it exists, and [`Desk::is_ending`] says why it may no longer be used.
    fn end(&mut self, id: &str, wait: Duration) {
        let gone = self.now.plus(wait);
        self.notes_mut().gone.insert(id.to_owned(), gone);
        self.stick(id);
    }

    /// A new state sticks when the call does; otherwise it ends one that was stuck.
    fn stick(&mut self, id: &str) {
        if let Some(sticks) = &mut self.sticks {
            sticks.insert(id.to_owned());
            self.notes_mut().stuck.insert(id.to_owned());
        } else {
            self.notes_mut().stuck.remove(id);
        }
    }

    /// What comes to its end after others is stuck when one of them is.
    fn stick_behind(&mut self, id: &str, others: &[String]) {
        if others.iter().any(|other| self.notes().stuck.contains(other)) {
            self.notes_mut().stuck.insert(id.to_owned());
        }
    }

    fn is_pending(&self, id: &str) -> bool {
        self.notes().is_pending(id, self.now)
    }

    fn is_ending(&self, id: &str) -> bool {
        self.notes().gone.contains_key(id)
    }

    /// A name cannot be used again for so long.
    fn block(&mut self, name: &str, wait: Duration) {
        let until = self.now.plus(wait);
        let now = self.now;
        let blocked = &mut self.notes_mut().blocked;
        blocked.retain(|_, until| now < *until);
        blocked.insert(name.to_owned(), until);
    }

    fn is_blocked(&self, name: &str) -> bool {
        self.notes().is_blocked(name, self.now)
    }

    fn state(&self, id: &str) -> &'static str {
        if self.is_pending(id) { "pending" } else { "available" }
    }

    /// Every call, by service.
    async fn handle(&mut self, input: &Input) -> Result<Answer, Refusal> {
        match self.service {
            Service::Ec2 => ec2::handle(self, input).await,
            Service::Sts => sts::handle(self, input).await,
            Service::Iam => iam::handle(self, input).await,
            Service::Rds => rds::handle(self, input).await,
            Service::Ecs => ecs::handle(self, input).await,
            Service::Ecr => ecr::handle(self, input).await,
            Service::Elb => elb::handle(self, input).await,
            Service::DynamoDb => dynamodb::handle(self, input).await,
            Service::Logs => logs::handle(self, input).await,
            Service::CloudWatch => cloudwatch::handle(self, input).await,
            Service::Sns => sns::handle(self, input).await,
            Service::Kms => kms::handle(self, input).await,
            Service::SecretsManager => secrets::handle(self, input).await,
            Service::CloudMap => servicediscovery::handle(self, input).await,
            Service::Ssm => ssm::handle(self, input).await,
            Service::S3 => s3::handle(self, input).await,
            Service::Lambda => lambda::handle(self, input).await,
            Service::Backup => backup::handle(self, input).await,
            Service::Tagging => tagging::handle(self, input),
            service if service.is_modelled() => self.model(input),
            service => Err(Refusal::internal(format!("The sandbox has no rules of {}", service.name()))),
        }
    }

    /// A call to a model.
    fn model(&mut self, input: &Input) -> Result<Answer, Refusal> {
        let service = self.service;
        if is_write(&input.action) {
            return self.notes_mut().models.handle(service, input);
        }
        self.notes().models.clone().handle(service, input)
    }

    /// The time of a resource has come, by the service in its ARN.
    async fn finish(&mut self, id: &str) -> Result<(), Refusal> {
        match self.service {
            Service::Ec2 => ec2::finish(self, id).await,
            Service::Rds => rds::finish(self, id).await,
            Service::Kms => kms::finish(self, id).await,
            Service::SecretsManager => secrets::finish(self, id).await,
            Service::CloudMap => servicediscovery::finish(self, id).await,
            Service::Ecs => ecs::finish(self, id).await,
            Service::DynamoDb => {
                dynamodb::finish(self, id).await;
                Ok(())
            }
            service => Err(Refusal::internal(format!("The sandbox does not know how {id} of {} ends", service.name()))),
        }
    }

    /// A call with a client token has its effect once; the same call again gets the same answer.
    async fn handle_once(&mut self, input: &Input) -> Result<Answer, Refusal> {
        let Some(token) = input.token(self.service).filter(|_| is_write(&input.action)) else {
            return self.handle(input).await;
        };
        let key = (self.service, input.action.clone(), token.to_owned());
        let asked = input.asked(self.service);
        if let Some(replay) = self.notes().replays.get(&key) {
            if replay.asked != asked {
                return Err(mismatch(self.service, &input.action, token));
            }
            if let Ok(params) = input.params() {
                params.stop_if_dry_run()?;
            }
            return Ok(replay.answer.clone());
        }
        let answer = self.handle(input).await?;
        self.notes_mut().replays.insert(key, Replay { asked, answer: answer.clone() });
        Ok(answer)
    }

    /// Passes a call to the emulator as it came.
    async fn pass_on(&mut self, input: &Input) -> Result<Answer, Refusal> {
        let raw = match self.service.protocol() {
            Protocol::Json => {
                let body = serde_json::Value::Object(input.body()?.0.clone());
                self.emulator.forward_json(self.service, &input.action, &body).await
            }
            Protocol::RestJson | Protocol::RestXml => {
                self.emulator.forward_rest(self.service, is_write(&input.action), input.rest()?).await
            }
            Protocol::Ec2Query | Protocol::Query => self.emulator.forward(self.service, input.params()?).await,
        };
        if is_write(&input.action) {
            self.look();
        }
        if raw.status < 300 && self.service.protocol().is_rest() {
            return Ok(Answer::Rest(raw.into_reply()));
        }
        if raw.status < 300 { Ok(Answer::Whole(raw.body)) } else { Err(raw.refusal(self.service)) }
    }
}

/// A client token that was used for something else.
fn mismatch(service: Service, action: &str, token: &str) -> Refusal {
    match (service, action) {
        (Service::Ecs, "CreateService") => {
            Refusal::new("InvalidParameterException", "Creation of service was not idempotent.")
        }
        (Service::Ecs, _) => Refusal::new(
            "ConflictException",
            format!(
                "The {action} request could not be processed due to conflicts. The provided clientToken is already \
                 in use with a different {action} request."
            ),
        ),
        (Service::CloudMap, "CreateService") => {
            Refusal::new("ServiceAlreadyExists", "The creator request id was used for another service.")
        }
        (Service::CloudMap, _) => {
            Refusal::new("NamespaceAlreadyExists", "The creator request id was used for another namespace.")
        }
        _ => Refusal::new(
            "IdempotentParameterMismatch",
            format!("The client token '{token}' was already used for a request with other parameters."),
        ),
    }
}

/// Whether a call can change anything.
pub(crate) fn is_write(action: &str) -> bool {
    const READS: [&str; 12] = [
        "Query",
        "Scan",
        "Head",
        "Describe",
        "Get",
        "List",
        "Search",
        "BatchGet",
        "BatchCheck",
        "Filter",
        "Lookup",
        "Simulate",
    ];
    !READS.iter().any(|verb| action.starts_with(verb))
}

impl Rules {
    pub(crate) fn new(settings: Settings, clock: Clock) -> Self {
        Self { settings, clock, memory: Mutex::default(), requests: AtomicU64::new(0) }
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// A request id that no other request of this sandbox has.
    pub(crate) fn next_request_id(&self) -> String {
        let n = self.requests.fetch_add(1, Ordering::Relaxed) + 1;
        format!("5b0c5b0c-0000-4000-8000-{n:012x}")
    }

    pub(crate) async fn world(&self) -> World {
        let mut memory = self.memory.lock().await;
        self.finish_until(&mut memory, self.clock.now()).await;
        Arc::clone(&memory.now)
    }

    pub(crate) async fn keep(&self) -> Kept {
        let mut memory = self.memory.lock().await;
        let at = self.clock.now();
        self.finish_until(&mut memory, at).await;
        if let Some((world, places)) = &memory.kept
            && Arc::ptr_eq(world, &memory.now)
        {
            return Kept { places: Arc::clone(places), at };
        }
        let mut places = BTreeMap::new();
        for (place, emulator) in &memory.emulators {
            let notes = memory.now.get(place).map(|local| Arc::clone(&local.notes)).unwrap_or_default();
            places.insert(place.clone(), (emulator.save().await, notes));
        }
        let places = Arc::new(places);
        memory.kept = Some((Arc::clone(&memory.now), Arc::clone(&places)));
        Kept { places, at }
    }

    pub(crate) async fn restore(&self, kept: &Kept) {
        let mut memory = self.memory.lock().await;
        memory.emulators.retain(|place, _| kept.places.contains_key(place));
        let mut world = BTreeMap::new();
        for (place, (saved, notes)) in kept.places.iter() {
            let emulator = memory.emulator(place, &self.settings);
            emulator.load(saved).await;
            let notes = Arc::new(notes.moved(kept.at, self.clock.now()));
            world.insert(place.clone(), Local { picture: emulator.picture(), notes });
        }
        (memory.now, memory.past) = (Arc::new(world), VecDeque::new());
    }

    pub(crate) async fn reset(&self) {
        let mut memory = self.memory.lock().await;
        let mut world = BTreeMap::new();
        for (place, emulator) in &memory.emulators {
            emulator.clear().await;
            let notes = memory.now.get(place).map(|local| local.notes.cleared()).unwrap_or_default();
            world.insert(place.clone(), Local { picture: emulator.picture(), notes: Arc::new(notes) });
        }
        (memory.now, memory.past) = (Arc::new(world), VecDeque::new());
    }

    /// Puts things into the models of the sandbox's own place.
    pub(crate) async fn seed(&self, put: impl FnOnce(&mut Models)) {
        let place = Place::new(&self.settings.account, &self.settings.region);
        let mut memory = self.memory.lock().await;
        memory.emulator(&place, &self.settings);
        let mut local = memory.now.get(&place).cloned().unwrap_or_default();
        put(&mut Arc::make_mut(&mut local.notes).models);
        memory.change(self.clock.now(), &place, local);
    }

    /// Lets go all that is stuck: the first of it comes to its end now, the others as long after it as they would have.
    pub(crate) async fn unstick(&self) {
        let mut memory = self.memory.lock().await;
        let now = self.clock.now();
        self.finish_until(&mut memory, now).await;
        let Some(first) = memory.now.values().filter_map(|local| local.notes.first_stuck()).min() else { return };
        for (place, mut local) in BTreeMap::clone(&memory.now) {
            if !local.notes.stuck.is_empty() {
                Arc::make_mut(&mut local.notes).unstick(now.since(first));
                memory.change(now, &place, local);
            }
        }
    }

    /// Takes away what has come to its end, in order, each at its own moment.
    async fn finish_until(&self, memory: &mut Memory, now: Moment) {
        while let Some((at, place, id)) = memory.next_gone(now) {
            let emulator = memory.emulator(&place, &self.settings);
            let world = Arc::clone(&memory.now);
            let local = world.get(&place).cloned().unwrap_or_default();
            let service = id.strip_prefix("arn:aws:").and_then(|rest| rest.split(':').next()).and_then(Service::named);
            let service = service.unwrap_or(Service::Ec2);
            let (settings, place) = (&self.settings, &place);
            let mut desk =
                Desk { service, emulator, settings, place, caller: None, now: at, sticks: None, local, world };
            if let Err(refusal) = desk.finish(&id).await {
                tracing::error!(%id, code = %refusal.code, message = %refusal.message, "could not end a resource");
            }
            // It may have set itself another end.
            let gone = &mut desk.notes_mut().gone;
            if gone.get(&id).is_some_and(|still| *still <= at) {
                gone.remove(&id);
            }
            let local = desk.local;
            memory.change(at, place, local);
        }
    }

    async fn answer(&self, request: Request) -> Response {
        let id = self.next_request_id();
        let Some(scope) = Scope::of(&request) else {
            let refusal = Refusal::new("MissingAuthenticationToken", "Request is missing Authentication Token");
            return refusal.with_status(403).reply(Service::Ec2, &id);
        };
        let Some(service) = Service::named(&scope.service) else {
            let message = format!("The sandbox does not stand in for the service `{}`", scope.service);
            return Refusal::new("NotImplemented", message).with_status(501).reply(Service::Ec2, &id);
        };
        let input = Input::read(&request, Some(service));
        if input.action.is_empty() && service.protocol().is_rest() {
            return Refusal::unknown_action(service, request.method().as_str()).reply(service, &id);
        }
        if input.action.is_empty() {
            return Refusal::new("MissingAction", "The request must contain the parameter Action").reply(service, &id);
        }
        let (answer, touched) = self.call_service(service, &request, &scope, &input).await;
        let mut response = match answer {
            Ok(Answer::Inner(inner)) => {
                let mut xml = Xml::declared();
                let action = &input.action;
                match service.protocol() {
                    Protocol::Ec2Query => xml.tag_in(&format!("{action}Response"), service.namespace(), |xml| {
                        xml.leaf("requestId", &id);
                        xml.raw(&inner);
                    }),
                    _ => {
                        xml.tag_in(&format!("{action}Response"), service.namespace(), |xml| {
                            xml.tag(&format!("{action}Result"), |xml| xml.raw(&inner));
                            xml.tag("ResponseMetadata", |xml| xml.leaf("RequestId", &id));
                        });
                    }
                }
                respond(service, 200, &id, xml.finish())
            }
            Ok(Answer::Whole(body)) => respond(service, 200, &id, body),
            Ok(Answer::Rest(reply)) => {
                let mut response = respond(service, reply.status, &id, reply.body);
                response.headers_mut().extend(reply.headers);
                response
            }
            Err(refusal) => refusal.reply(service, &id),
        };
        response.extensions_mut().insert(Touched(touched));
        response
    }

    /// The answer, and what stays pending after it.
    async fn call_service(
        &self,
        service: Service,
        request: &Request,
        scope: &Scope,
        input: &Input,
    ) -> (Result<Answer, Refusal>, Vec<String>) {
        let settings = &self.settings;
        let Some(place) = &Place::of(settings, service, &scope.access_key, &scope.region) else {
            return (Err(Refusal::bad_region(service, &scope.region)), Vec::new());
        };
        let mut memory = self.memory.lock().await;
        let now = request.extensions().get::<At>().map_or_else(|| self.clock.now(), |at| at.0);
        self.finish_until(&mut memory, now).await;
        let emulator = memory.emulator(place, settings);
        let is_write = is_write(&input.action);
        let then =
            request.extensions().get::<AsOf>().filter(|_| !is_write && !input.is_consistent()).map(|then| then.0);
        let world = Arc::clone(then.map_or(&memory.now, |then| memory.at(then)));
        let local = world.get(place).cloned().unwrap_or_default();
        let (caller, now) = (Some(scope), then.unwrap_or(now));
        let sticks = request.extensions().get::<Stick>().map(|_| BTreeSet::new());
        let mut desk = Desk { service, emulator, settings, place, caller, now, sticks, local, world };
        let answer = desk.handle_once(input).await;
        let touched = desk.sticks.into_iter().flatten().collect();
        let local = desk.local;
        if is_write && memory.now.get(place).is_none_or(|before| !before.is(&local)) {
            memory.change(now, place, local);
        }
        (answer, touched)
    }
}

impl Endpoint for Rules {
    fn call(&self, request: Request) -> BoxFuture<'_, Result<Response, Cut>> {
        // Unconstrained: nothing in here waits but for its turn, and the scheduler must not make it. So a call that is
        // dropped half way, by a caller that gave up, has either not begun or is over.
        async move { Ok(tokio::task::unconstrained(self.answer(request)).await) }.boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_change_nothing() {
        for action in [
            "DescribeVpcs",
            "GetSecretValue",
            "ListRoles",
            "HeadObject",
            "BatchGetImage",
            "FilterLogEvents",
            "LookupEvents",
        ] {
            assert!(!is_write(action), "{action}");
        }
        for action in ["CreateVpc", "RunTask", "BatchDeleteImage", "AssumeRole", "PutRetentionPolicy", "TagResource"] {
            assert!(is_write(action), "{action}");
        }
    }

    #[test]
    fn a_token_that_was_used_has_a_code_of_its_own() {
        for (service, action, code) in [
            (Service::Ec2, "CreateNatGateway", "IdempotentParameterMismatch"),
            (Service::Ecs, "CreateService", "InvalidParameterException"),
            (Service::Ecs, "RunTask", "ConflictException"),
        ] {
            assert_eq!(mismatch(service, action, "t").code, code);
        }
    }
}
