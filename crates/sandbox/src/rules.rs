//! The rules layer: refuses what AWS refuses, in AWS's words, and mends what the emulator leaves out.
//!
//! Every decision is made on a [`Picture`] of the emulator; there is no second model of the world. One call is
//! handled at a time, so a picture cannot become old between a check and the write that it allowed. A module of a
//! resource family says what that family refuses; a call that no family knows is passed to the emulator as it is.
//!
//! ```text
//! call -> signed? -> token seen? -> family: checks -> DryRun? -> emulator -> notes -> reply
//! ```

mod account;
mod address;
mod gateway;
mod group;
mod holders;
mod ids;
mod interface;
mod permission;
mod rule;
mod select;
mod subnet;
mod tags;
mod vpc;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::sync::Mutex;

use crate::clock::{Clock, Moment};
use crate::emulator::{Emulator, Saved, refusal_in};
use crate::endpoint::{AsOf, At, Cut, Endpoint, Request, Response, Scope};
use crate::notes::{Answer, Notes, Replay};
use crate::picture::Picture;
use crate::query::Params;
use crate::refusal::{EC2_NAMESPACE, Refusal, STS_NAMESPACE, Service, respond};
use crate::settings::Settings;
use crate::xml::Xml;

/// How long former worlds are kept for reads that lag behind.
const MEMORY: Duration = Duration::from_secs(120);
/// And how many of them.
const MEMORIES: usize = 1024;

/// The emulator behind its rules.
pub(crate) struct Rules {
    emulator: Emulator,
    settings: Settings,
    clock: Clock,
    memory: Mutex<Memory>,
    requests: AtomicU64,
}

/// The world, as far as rules can see it.
#[derive(Clone, Default)]
pub(crate) struct World {
    pub(crate) picture: Arc<Picture>,
    pub(crate) notes: Arc<Notes>,
}

#[derive(Default)]
struct Memory {
    now: World,
    /// What the world was until a moment, oldest first.
    past: VecDeque<(Moment, World)>,
}

/// All of it, to be restored later.
#[derive(Clone)]
pub(crate) struct Kept {
    saved: Saved,
    notes: Arc<Notes>,
    at: Moment,
}

impl Memory {
    fn at(&self, moment: Moment) -> &World {
        let later = self.past.partition_point(|(until, _)| *until <= moment);
        self.past.get(later).map_or(&self.now, |(_, world)| world)
    }

    fn change(&mut self, at: Moment, world: World) {
        let before = std::mem::replace(&mut self.now, world);
        self.past.push_back((at, before));
        let old = at.minus(MEMORY);
        while self.past.len() > MEMORIES || self.past.front().is_some_and(|(until, _)| *until < old) {
            self.past.pop_front();
        }
    }
}

/// What a family of rules works with: the world, and the means to change it.
struct Desk<'a> {
    emulator: &'a Emulator,
    settings: &'a Settings,
    now: Moment,
    world: World,
}

impl Desk<'_> {
    fn picture(&self) -> &Picture {
        &self.world.picture
    }

    fn notes(&self) -> &Notes {
        &self.world.notes
    }

    fn notes_mut(&mut self) -> &mut Notes {
        Arc::make_mut(&mut self.world.notes)
    }

    /// Looks at the emulator again, after a write.
    fn look(&mut self) {
        self.look_again(false);
    }

    fn look_again(&mut self, new_rules_are_default: bool) {
        self.world.picture = self.emulator.picture();
        let picture = Arc::clone(&self.world.picture);
        self.notes_mut().sync(&picture, new_rules_are_default);
    }

    /// A new resource is pending for a while.
    fn settle(&mut self, id: &str) {
        let ready = self.now.plus(self.settings.settle);
        self.notes_mut().ready.insert(id.to_owned(), ready);
    }

    fn state(&self, id: &str) -> &'static str {
        if self.notes().is_pending(id, self.now) { "pending" } else { "available" }
    }
}

/// Whether a call can change anything.
pub(crate) fn is_write(action: &str) -> bool {
    !["Describe", "Get", "List", "Search"].iter().any(|verb| action.starts_with(verb))
}

impl Rules {
    pub(crate) fn new(settings: Settings, clock: Clock) -> Self {
        Self {
            emulator: Emulator::new(&settings.region),
            settings,
            clock,
            memory: Mutex::default(),
            requests: AtomicU64::new(0),
        }
    }

    /// A request id that no other request of this sandbox has.
    pub(crate) fn next_request_id(&self) -> String {
        let n = self.requests.fetch_add(1, Ordering::Relaxed) + 1;
        format!("5b0c5b0c-0000-4000-8000-{n:012x}")
    }

    pub(crate) async fn world(&self) -> World {
        self.memory.lock().await.now.clone()
    }

    pub(crate) async fn keep(&self) -> Kept {
        let memory = self.memory.lock().await;
        Kept { saved: self.emulator.save().await, notes: Arc::clone(&memory.now.notes), at: self.clock.now() }
    }

    pub(crate) async fn restore(&self, kept: &Kept) {
        let mut memory = self.memory.lock().await;
        self.emulator.load(&kept.saved).await;
        let notes = kept.notes.moved(kept.at, self.clock.now());
        *memory =
            Memory { now: World { picture: self.emulator.picture(), notes: Arc::new(notes) }, past: VecDeque::new() };
    }

    pub(crate) async fn reset(&self) {
        let mut memory = self.memory.lock().await;
        self.emulator.clear().await;
        let notes = memory.now.notes.cleared();
        *memory =
            Memory { now: World { picture: self.emulator.picture(), notes: Arc::new(notes) }, past: VecDeque::new() };
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
        let params = Params::parse(request.uri().query(), request.body());
        let action = params.action();
        if action.is_empty() {
            return Refusal::new("MissingAction", "The request must contain the parameter Action").reply(service, &id);
        }
        let outcome = match service {
            Service::Sts => account::sts(&self.settings, &self.emulator, &scope, &params).await,
            Service::Ec2 => self.ec2(&request, &scope, &params).await,
        };
        match outcome {
            Ok(Answer::Inner(inner)) => {
                let mut xml = Xml::declared();
                match service {
                    Service::Ec2 => xml.tag_in(&format!("{action}Response"), EC2_NAMESPACE, |xml| {
                        xml.leaf("requestId", &id);
                        xml.raw(&inner);
                    }),
                    Service::Sts => xml.tag_in(&format!("{action}Response"), STS_NAMESPACE, |xml| {
                        xml.tag(&format!("{action}Result"), |xml| xml.raw(&inner));
                        xml.tag("ResponseMetadata", |xml| xml.leaf("RequestId", &id));
                    }),
                }
                respond(200, &id, xml.finish())
            }
            Ok(Answer::Whole(body)) => {
                let mut response = respond(200, &id, String::new());
                *response.body_mut() = body;
                response
            }
            Err(refusal) => refusal.reply(service, &id),
        }
    }

    async fn ec2(&self, request: &Request, scope: &Scope, params: &Params) -> Result<Answer, Refusal> {
        if scope.region != self.settings.region {
            let message = format!("Credential should be scoped to a valid region, not '{}'. ", scope.region);
            return Err(Refusal::new("AuthFailure", message).with_status(401));
        }
        let action = params.action();
        let mut memory = self.memory.lock().await;
        if let (Some(AsOf(then)), false) = (request.extensions().get::<AsOf>(), is_write(action)) {
            let world = memory.at(*then).clone();
            let mut desk = Desk { emulator: &self.emulator, settings: &self.settings, now: *then, world };
            return desk.handle(params).await;
        }
        let now = request.extensions().get::<At>().map_or_else(|| self.clock.now(), |at| at.0);
        let world = memory.now.clone();
        let mut desk = Desk { emulator: &self.emulator, settings: &self.settings, now, world };
        let answer = desk.handle_once(params).await;
        if is_write(action) {
            let world = desk.world;
            if !Arc::ptr_eq(&world.picture, &memory.now.picture) || !Arc::ptr_eq(&world.notes, &memory.now.notes) {
                memory.change(now, world);
            }
        }
        answer
    }
}

impl Endpoint for Rules {
    fn call(&self, request: Request) -> BoxFuture<'_, Result<Response, Cut>> {
        // Unconstrained: nothing in here waits but for its turn, and the scheduler must not make it. So a call that is
        // dropped half way, by a caller that gave up, has either not begun or is over.
        async move { Ok(tokio::task::unconstrained(self.answer(request)).await) }.boxed()
    }
}

impl Desk<'_> {
    /// A call with a client token has its effect once; the same call again gets the same answer.
    async fn handle_once(&mut self, params: &Params) -> Result<Answer, Refusal> {
        let Some(token) = params.get("ClientToken").filter(|_| is_write(params.action())) else {
            return self.handle(params).await;
        };
        let key = (params.action().to_owned(), token.to_owned());
        let request = params.without(&["ClientToken", "DryRun"]);
        if let Some(replay) = self.notes().replays.get(&key) {
            if replay.request != request {
                return Err(Refusal::new(
                    "IdempotentParameterMismatch",
                    format!("The client token '{token}' was already used for a request with other parameters."),
                ));
            }
            params.stop_if_dry_run()?;
            return Ok(replay.answer.clone());
        }
        let answer = self.handle(params).await?;
        self.notes_mut().replays.insert(key, Replay { request, answer: answer.clone() });
        Ok(answer)
    }

    async fn handle(&mut self, params: &Params) -> Result<Answer, Refusal> {
        let inner = match params.action() {
            "CreateVpc" => vpc::create(self, params).await,
            "DescribeVpcs" => vpc::describe(self, params),
            "DescribeVpcAttribute" => vpc::describe_attribute(self, params),
            "ModifyVpcAttribute" => vpc::modify_attribute(self, params).await,
            "DeleteVpc" => vpc::delete(self, params).await,
            "CreateSubnet" => subnet::create(self, params).await,
            "DescribeSubnets" => subnet::describe(self, params),
            "ModifySubnetAttribute" => subnet::modify_attribute(self, params).await,
            "DeleteSubnet" => subnet::delete(self, params).await,
            "CreateInternetGateway" => gateway::create(self, params).await,
            "DescribeInternetGateways" => gateway::describe(self, params),
            "AttachInternetGateway" => gateway::attach(self, params).await,
            "DetachInternetGateway" => gateway::detach(self, params).await,
            "DeleteInternetGateway" => gateway::delete(self, params).await,
            "CreateSecurityGroup" => group::create(self, params).await,
            "DescribeSecurityGroups" => group::describe(self, params),
            "DeleteSecurityGroup" => group::delete(self, params).await,
            "AuthorizeSecurityGroupIngress" => rule::authorize(self, params, false).await,
            "AuthorizeSecurityGroupEgress" => rule::authorize(self, params, true).await,
            "ModifySecurityGroupRules" => rule::modify(self, params).await,
            "RevokeSecurityGroupIngress" => rule::revoke(self, params, false).await,
            "RevokeSecurityGroupEgress" => rule::revoke(self, params, true).await,
            "DescribeSecurityGroupRules" => rule::describe(self, params),
            "CreateNetworkInterface" => interface::create(self, params).await,
            "DescribeNetworkInterfaces" => interface::describe(self, params),
            "DeleteNetworkInterface" => interface::delete(self, params).await,
            "CreateTags" => tags::create(self, params).await,
            "DeleteTags" => tags::delete(self, params).await,
            "DescribeTags" => tags::describe(self, params),
            "DescribeAvailabilityZones" => account::describe_zones(self, params),
            "DescribeAccountAttributes" => account::describe_attributes(params),
            _ => return self.pass_on(params).await,
        };
        inner.map(Answer::Inner)
    }

    /// A call that has no rules here yet.
    async fn pass_on(&mut self, params: &Params) -> Result<Answer, Refusal> {
        params.stop_if_dry_run()?;
        let raw = self.emulator.forward(Service::Ec2, params).await;
        if is_write(params.action()) {
            self.look();
        }
        if raw.status < 300 {
            Ok(Answer::Whole(raw.body))
        } else {
            Err(refusal_in(raw.status, &String::from_utf8_lossy(&raw.body)))
        }
    }
}
