//! The plan of faults: data, and the matching of calls against it. Pure; time and effects are the layer's business.

use serde::{Deserialize, Serialize};

use crate::input::Input;

/// What goes wrong, and when. The first fault of the list that matches a call decides.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Decides for the faults that have a `chance`. The same seed and the same calls give the same faults.
    #[serde(default)]
    pub seed: u64,
    /// In order of precedence.
    #[serde(default)]
    pub faults: Vec<Fault>,
    /// Access keys that are expired from the start; `*` is all of them.
    #[serde(default)]
    pub expired: Vec<String>,
}

/// One thing that goes wrong.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// The action, such as `CreateVpc`; a `*` at its end stands for the rest (`Describe*`, `*`).
    pub action: String,
    /// Only calls to this service, by its name in a credential scope: `ecs`, `secretsmanager`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// Only calls that have this value in one of their parameters: an id, a name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// The first of the matching calls that it happens to, from 1.
    #[serde(default = "one")]
    pub nth: u32,
    /// How many matching calls it happens to, one after the other; 0 is all of them.
    #[serde(default = "one")]
    pub times: u32,
    /// How likely it happens to such a call, from 0 to 1. Certain by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chance: Option<f64>,
    /// What happens.
    pub effect: Effect,
}

fn one() -> u32 {
    1
}

impl Fault {
    /// Happens to the first call of this action.
    #[must_use]
    pub fn new(action: impl Into<String>, effect: Effect) -> Self {
        Self { action: action.into(), service: None, resource: None, nth: 1, times: 1, chance: None, effect }
    }

    /// Happens to the nth such call instead.
    #[must_use]
    pub fn nth(mut self, nth: u32) -> Self {
        self.nth = nth;
        self
    }

    /// Happens to so many calls; 0 is all of them.
    #[must_use]
    pub fn times(mut self, times: u32) -> Self {
        self.times = times;
        self
    }

    /// Happens only to calls to this service.
    #[must_use]
    pub fn service(mut self, service: impl Into<String>) -> Self {
        self.service = Some(service.into());
        self
    }

    /// Happens only to calls that name this resource.
    #[must_use]
    pub fn resource(mut self, resource: impl Into<String>) -> Self {
        self.resource = Some(resource.into());
        self
    }

    fn matches(&self, service: &str, input: &Input) -> bool {
        let action = input.action.as_str();
        let fits = match self.action.strip_suffix('*') {
            Some(start) => action.starts_with(start),
            None => action == self.action,
        };
        fits && self.service.as_ref().is_none_or(|of| of == service)
            && self.resource.as_ref().is_none_or(|resource| input.has_value(resource))
    }
}

/// What happens to a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Effect {
    /// The caller gets this error.
    Error {
        /// HTTP status.
        status: u16,
        /// AWS error code, such as `InternalError`.
        code: String,
        /// A message of its own.
        #[serde(default)]
        message: Option<String>,
        /// Whether the call had its effect.
        #[serde(default)]
        when: When,
    },
    /// `RequestLimitExceeded`, or what the service calls it, before any effect.
    Throttle,
    /// `UnauthorizedOperation`, or what the service calls it, before any effect.
    Deny,
    /// The connection is refused before anything was sent. Over a socket this looks like a lost request.
    Refuse,
    /// The call is lost: no effect, and the connection is cut.
    RequestLost {
        /// How long the caller waits before the connection is cut.
        #[serde(default)]
        wait_ms: u64,
    },
    /// The call has its effect, and the connection is cut.
    ReplyLost {
        /// How long the caller waits before the connection is cut.
        #[serde(default)]
        wait_ms: u64,
    },
    /// The connection is cut, and the effect comes later.
    Late {
        /// When it lands, from the call on.
        delay_ms: u64,
        /// How long the caller waits before the connection is cut.
        #[serde(default)]
        wait_ms: u64,
    },
    /// A read answers from the world as it was so long ago. Has no meaning for writes.
    Lag {
        /// How old.
        ms: u64,
    },
    /// The effect comes at once, the answer takes a while.
    Slow {
        /// How long.
        ms: u64,
    },
    /// The caller's credentials expire with this call, until they are renewed or the plan is replaced.
    Expire,
    /// The call has its effect, and what it makes, changes or deletes stays `creating`, `modifying`, `deleting`,
    /// `pending`, until the faults are cleared or the plan is replaced; then it goes on. It is no longer stuck when a
    /// later call puts it into another state. Snapshots hold it. In the log of calls, `touched` says what stuck.
    ///
    /// It means nothing for a call that leaves nothing pending: a read, a refused call, tags, rules, routes, what is there
    /// or gone at once. A role that is stuck stays unknown to other services.
    Stuck,
    /// Right before this call somebody else, with other credentials of the account, changes or deletes what it names;
    /// by a call to AWS, which AWS may refuse. See [`Sandbox::meddle`](crate::Sandbox::meddle) for what is done.
    ///
    /// That is the first of its parameters, in the order of their names, that is the id, ARN or name of a resource that
    /// carries a tag `*:run`, or that this caller made where nothing can be tagged. In the log of calls, `touched` says
    /// which; it is empty when the call names none, when nobody can change it so, and when AWS refused.
    Meddle {
        /// What is done to it.
        how: Meddling,
    },
}

impl Effect {
    /// Whether it can be had in front of the sandbox's own rules only, and not in front of a foreign service.
    #[must_use]
    pub fn needs_rules(&self) -> bool {
        matches!(self, Self::Lag { .. } | Self::Stuck | Self::Meddle { .. })
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Error { .. } => "error",
            Self::Throttle => "throttle",
            Self::Deny => "deny",
            Self::Refuse => "refuse",
            Self::RequestLost { .. } => "request_lost",
            Self::ReplyLost { .. } => "reply_lost",
            Self::Late { .. } => "late",
            Self::Lag { .. } => "lag",
            Self::Slow { .. } => "slow",
            Self::Expire => "expire",
            Self::Stuck => "stuck",
            Self::Meddle { .. } => "meddle",
        }
    }
}

/// What somebody else does to a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Meddling {
    /// One of its settings is changed; a tag, where it has no setting.
    Change,
    /// It is deleted, or its deletion begins.
    Delete,
}

/// On which side of the effect an error comes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// Nothing happened.
    #[default]
    Before,
    /// It happened, and the caller is told that it failed.
    After,
}

/// A plan with its counters.
#[derive(Debug, Default)]
pub(super) struct Matcher {
    seed: u64,
    random: u64,
    faults: Vec<(Fault, u32)>,
}

impl Matcher {
    pub(super) fn new(plan: Plan) -> Self {
        let faults = plan.faults.into_iter().map(|fault| (fault, 0)).collect();
        Self { seed: plan.seed, random: plan.seed, faults }
    }

    pub(super) fn add(&mut self, fault: Fault) {
        self.faults.push((fault, 0));
    }

    pub(super) fn plan(&self) -> Plan {
        let faults = self.faults.iter().map(|(fault, _)| fault.clone()).collect();
        Plan { seed: self.seed, faults, expired: Vec::new() }
    }

    /// What happens to this call. Every fault counts it, whichever happens.
    pub(super) fn decide(&mut self, service: &str, input: &Input) -> Option<Effect> {
        let mut decided = None;
        for (fault, seen) in self.faults.iter_mut().filter(|(fault, _)| fault.matches(service, input)) {
            *seen = seen.saturating_add(1);
            let from = fault.nth.max(1);
            let in_turn = *seen >= from && (fault.times == 0 || *seen - from < fault.times);
            let happens = in_turn && fault.chance.is_none_or(|chance| roll(&mut self.random) < chance);
            if happens && decided.is_none() {
                decided = Some(fault.effect.clone());
            }
        }
        decided
    }
}

/// The next number from 0 to 1 of splitmix64.
fn roll(state: &mut u64) -> f64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut bits = *state;
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^= bits >> 31;
    let top = u32::try_from(bits >> 32).unwrap_or(0);
    f64::from(top) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::Params;

    fn decisions(plan: Plan, calls: &[&str]) -> Vec<bool> {
        let mut matcher = Matcher::new(plan);
        calls.iter().map(|action| matcher.decide("ec2", &Params::call(action).into()).is_some()).collect()
    }

    #[test]
    fn a_fault_happens_in_its_turn() {
        let fault = Fault::new("CreateVpc", Effect::Throttle).nth(2).times(2);
        let plan = Plan { faults: vec![fault], ..Plan::default() };
        let calls = ["CreateVpc", "CreateVpc", "DescribeVpcs", "CreateVpc", "CreateVpc"];
        assert_eq!(decisions(plan, &calls), [false, true, false, true, false]);
    }

    #[test]
    fn a_star_and_zero_times_are_everything() {
        let plan = Plan { faults: vec![Fault::new("Describe*", Effect::Deny).times(0)], ..Plan::default() };
        assert_eq!(decisions(plan, &["DescribeVpcs", "CreateVpc", "DescribeTags"]), [true, false, true]);
    }

    #[test]
    fn a_fault_can_be_for_one_resource() {
        let fault = Fault::new("*", Effect::Refuse).resource("vpc-00000001");
        let mut matcher = Matcher::new(Plan { faults: vec![fault], ..Plan::default() });
        assert_eq!(matcher.decide("ec2", &Params::call("DeleteVpc").with("VpcId", "vpc-00000002").into()), None);
        assert_eq!(
            matcher.decide("ec2", &Params::call("DeleteVpc").with("VpcId", "vpc-00000001").into()),
            Some(Effect::Refuse)
        );
    }

    #[test]
    fn a_fault_can_be_for_one_service() {
        let fault = Fault::new("TagResource", Effect::Refuse).service("ecs");
        let mut matcher = Matcher::new(Plan { faults: vec![fault], ..Plan::default() });
        let call = Params::call("TagResource").into();
        assert_eq!(matcher.decide("kms", &call), None);
        assert_eq!(matcher.decide("ecs", &call), Some(Effect::Refuse));
    }

    #[test]
    fn chances_follow_the_seed() {
        let plan = |seed| {
            let fault = Fault { chance: Some(0.5), ..Fault::new("*", Effect::Throttle).times(0) };
            Plan { seed, faults: vec![fault], ..Plan::default() }
        };
        let calls = ["X"; 200];
        let first = decisions(plan(1), &calls);
        assert_eq!(first, decisions(plan(1), &calls));
        assert_ne!(first, decisions(plan(2), &calls));
        let happened = first.iter().filter(|happened| **happened).count();
        assert!((70..130).contains(&happened), "{happened}");
    }

    #[test]
    fn the_json_form_is_stable() {
        let text = r#"{"faults": [
            {"action": "CreateVpc", "effect": {"kind": "error", "status": 500, "code": "InternalError", "when": "after"}},
            {"action": "DeleteVpc", "nth": 2, "effect": {"kind": "late", "delay_ms": 300}},
            {"action": "Describe*", "times": 0, "effect": {"kind": "lag", "ms": 100}},
            {"action": "CreateDBCluster", "effect": {"kind": "stuck"}},
            {"action": "DeleteVpc", "effect": {"kind": "meddle", "how": "delete"}},
            {"action": "*", "effect": {"kind": "expire"}}
        ], "expired": ["AKIAOLD"]}"#;
        let plan: Plan = serde_json::from_str(text).unwrap();
        assert_eq!(plan.faults[4].effect, Effect::Meddle { how: Meddling::Delete });
        assert_eq!(plan.faults[1].effect, Effect::Late { delay_ms: 300, wait_ms: 0 });
        assert_eq!(serde_json::from_str::<Plan>(&serde_json::to_string(&plan).unwrap()).unwrap(), plan);
        for wrong in [r#"{"fault": []}"#, r#"{"faults": [{"action": "X", "effect": {"kind": "slow", "sec": 1}}]}"#] {
            assert!(serde_json::from_str::<Plan>(wrong).is_err(), "{wrong}");
        }
    }
}
