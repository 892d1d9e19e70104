//! `aws.ec2.security_group_rule`: one rule of a security group.
//!
//! AWS gives every rule an id and takes tags for it in the call that makes it, so a rule is ours by
//! its tags and undone by its id. It takes no two equal rules in a group: a second create is
//! impossible, and an equal rule of somebody else is found before the first one.
//!
//! `rollback` reads the rule once more. What was changed since we made it is somebody's decision, and
//! taking it away would undo that as well: it is drift. What was taken away already is undone.

use std::collections::BTreeMap;

use aws_sdk_ec2::types::{ResourceType, SecurityGroup, SecurityGroupRule as Described};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use switchback_engine::operation::ParamError;
use switchback_engine::{Cx, Expect, Found, Operation, Undo, Verdict};
use switchback_model::facts::Facts;
use switchback_model::record::Proof;
use switchback_model::{OpError, OpResult};

use super::rule::{self, Peer, Rule};
use super::{Absent, Calls, client, resource, tags};
use crate::cidr::{self, Cidr};
use crate::errors::{Call, op_error};
use crate::ids::{PrefixListId, SecurityGroupId, SecurityGroupRuleId};

/// Which way traffic goes that the rule lets through.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Into what the group guards (`AuthorizeSecurityGroupIngress`).
    #[default]
    Ingress,
    /// Out of it (`AuthorizeSecurityGroupEgress`).
    Egress,
}

/// One rule of a security group. Of `cidr_ipv4`, `cidr_ipv6`, `prefix_list_id` and `referenced_group_id` exactly one is given.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The group that the rule is in (GroupId).
    pub group_id: SecurityGroupId,
    /// Which way traffic goes.
    #[serde(default)]
    pub direction: Direction,
    /// `tcp`, `udp`, `icmp`, `icmpv6`, `-1` for all, or a protocol's number (IpProtocol).
    pub ip_protocol: String,
    /// The first port; for ICMP the type, -1 for any (FromPort).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_port: Option<i32>,
    /// The last port; for ICMP the code, -1 for any (ToPort).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to_port: Option<i32>,
    /// An IPv4 range, `10.0.0.0/16` (CidrIp).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cidr_ipv4: Option<String>,
    /// An IPv6 range, `::/0` (CidrIpv6).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cidr_ipv6: Option<String>,
    /// A list of ranges (PrefixListId).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix_list_id: Option<PrefixListId>,
    /// Whatever another group guards, or the group itself (UserIdGroupPairs GroupId; as read back,
    /// ReferencedGroupInfo GroupId).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub referenced_group_id: Option<SecurityGroupId>,
    /// What it is for: up to 255 characters (Description).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Tags, beside those that say whose it is (TagSpecifications).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
}

/// What later steps may refer to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// Its id.
    pub security_group_rule_id: SecurityGroupRuleId,
    /// The group that it is in.
    pub group_id: SecurityGroupId,
}

/// The operation.
#[derive(Debug, Clone, Copy, Default)]
pub struct SecurityGroupRule;

impl Params {
    fn peers(&self) -> Vec<Peer> {
        let text = |id: &dyn ToString| id.to_string();
        [
            self.cidr_ipv4.as_deref().map(|c| Peer::V4(cidr::canonical(c))),
            self.cidr_ipv6.as_deref().map(|c| Peer::V6(cidr::canonical(c))),
            self.prefix_list_id.as_ref().map(|id| Peer::PrefixList(text(id))),
            self.referenced_group_id.as_ref().map(|id| Peer::Group(text(id))),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    fn rule(&self) -> Rule {
        let protocol = rule::protocol(&self.ip_protocol);
        // ICMP without type and code is ICMP of any.
        let default = protocol.starts_with("icmp").then_some(-1);
        Rule {
            is_egress: self.direction == Direction::Egress,
            protocol,
            from_port: self.from_port.or(default),
            to_port: self.to_port.or(default),
            peer: self.peers().into_iter().next(),
        }
    }

    fn about(&self) -> String {
        format!("rule `{}` of {}", self.rule(), self.group_id)
    }

    fn output(&self, id: &str) -> Output {
        Output { security_group_rule_id: SecurityGroupRuleId::new(id), group_id: self.group_id.clone() }
    }

    /// The call that makes it.
    fn authorize(&self) -> &'static str {
        match self.direction {
            Direction::Ingress => "ec2:AuthorizeSecurityGroupIngress",
            Direction::Egress => "ec2:AuthorizeSecurityGroupEgress",
        }
    }

    /// The call that takes it away.
    fn revoke(&self) -> &'static str {
        match self.direction {
            Direction::Ingress => "ec2:RevokeSecurityGroupIngress",
            Direction::Egress => "ec2:RevokeSecurityGroupEgress",
        }
    }

    fn check_ports(&self, errors: &mut Vec<ParamError>) {
        let protocol = rule::protocol(&self.ip_protocol);
        let mut wrong = |field: &str, message: String| errors.push(ParamError::new(field, message));
        let (from, to) = (self.from_port, self.to_port);
        match protocol.as_str() {
            "tcp" | "udp" => match (from, to) {
                (Some(from), Some(to)) if (0..=65535).contains(&from) && (from..=65535).contains(&to) => {}
                (Some(from), Some(to)) => {
                    wrong("from_port", format!("{from}-{to} is not a range of ports, 0 to 65535"))
                }
                _ => wrong("from_port", format!("`{protocol}` needs `from_port` and `to_port`")),
            },
            "icmp" | "icmpv6" => {
                for (field, value) in [("from_port", from), ("to_port", to)] {
                    if value.is_some_and(|v| !(-1..=255).contains(&v)) {
                        wrong(field, "is an ICMP type or code here: 0 to 255, or -1 for any".to_owned());
                    }
                }
            }
            other => {
                if other != "-1" && other.parse::<u8>().is_err() {
                    let takes = "`tcp`, `udp`, `icmp`, `icmpv6`, `-1` for all, or a number from 0 to 255";
                    wrong("ip_protocol", format!("{:?} is none of {takes}", self.ip_protocol));
                } else if from.or(to).is_some() {
                    wrong("from_port", format!("protocol `{other}` has no ports; leave them out"));
                }
            }
        }
    }
}

/// What AWS says of a rule, where it can be compared with what this step set.
fn differences(params: &Params, there: &Described) -> Verdict {
    let (want, got) = (params.rule(), Rule::described(there));
    let mut verdict = Verdict::new()
        .compare("group_id", params.group_id.as_str(), there.group_id())
        .compare("is_egress", want.is_egress, got.is_egress)
        .compare("ip_protocol", want.protocol.as_str(), got.protocol.as_str())
        .compare("from_port", want.from_port, got.from_port)
        .compare("to_port", want.to_port, got.to_port)
        .compare("peer", want.peer.as_ref().map(Peer::text), got.peer.as_ref().map(Peer::text));
    if let Some(description) = &params.description {
        verdict = verdict.compare("description", description.as_str(), there.description().unwrap_or_default());
    }
    verdict
}

/// This step's rule by its tags, or else the equal rule of somebody else.
async fn look(cx: &Cx, params: &Params) -> OpResult<Found<Output>> {
    let rules: Vec<Described> = resource::list(cx, vec![tags::filter("group-id", params.group_id.as_str())]).await?;
    let id = |r: &Described| r.security_group_rule_id().unwrap_or_default().to_owned();
    let ours: Vec<_> = rules.iter().filter(|r| tags::are_of_step(cx, r.tags())).collect();
    if let [first, second, ..] = ours.as_slice() {
        return Err(OpError::permanent(format!(
            "more than one rule of {} carries the tags of step `{}`: {}, {}",
            params.group_id,
            cx.step(),
            id(first),
            id(second)
        )));
    }
    if let [rule] = ours.as_slice() {
        return Ok(Found::Ours { output: params.output(&id(rule)), proof: Proof::Strong });
    }
    let wanted = params.rule();
    let equal = rules.iter().find(|r| Rule::described(r) == wanted);
    Ok(equal.map_or(Found::Absent, |r| Found::Foreign {
        what: format!("{}, {}{}", params.about(), id(r), tags::owner(cx, r.tags())),
    }))
}

impl Operation for SecurityGroupRule {
    const KIND: &'static str = "aws.ec2.security_group_rule";
    const VERSION: u32 = 1;
    type Params = Params;
    type Before = Absent;
    type Output = Output;
    /// It is there with its create call.
    const SETTLES: bool = false;

    fn facts(&self, params: &Params) -> Facts {
        let calls = Calls {
            reads: &["ec2:DescribeSecurityGroupRules", "ec2:DescribeSecurityGroups"],
            creates: params.authorize(),
            settles: Vec::new(),
            rolls_back: vec![params.revoke()],
            besides: &["ec2:CreateTags"],
        };
        // A group that no step of the plan makes may carry nobody's tags.
        let arn = |kind: &str, id: &str| format!("arn:{{partition}}:ec2:{{region}}:{{account}}:{kind}/{id}");
        let group = params.group_id.as_str();
        let arns = match group.starts_with(SecurityGroupId::PREFIX) {
            true => vec![arn("security-group", group), arn("security-group-rule", "*")],
            false => Vec::new(),
        };
        Facts { unique: true, arns, ..calls.into_facts() }
    }

    fn example() -> Option<Params> {
        Some(Params {
            group_id: SecurityGroupId::new("sg-0a1b2c3d4e5f60718"),
            direction: Direction::Ingress,
            ip_protocol: "tcp".to_owned(),
            from_port: Some(443),
            to_port: Some(443),
            cidr_ipv4: Some("10.0.0.0/16".to_owned()),
            cidr_ipv6: None,
            prefix_list_id: None,
            referenced_group_id: None,
            description: Some("HTTPS from the network".to_owned()),
            tags: BTreeMap::from([("Name".to_owned(), "https".to_owned())]),
        })
    }

    fn check(&self, params: &Params) -> Result<(), Vec<ParamError>> {
        let mut errors = Vec::new();
        params.group_id.check("group_id", &mut errors);
        params.check_ports(&mut errors);
        let peers = params.peers().len();
        if peers != 1 {
            let of = "`cidr_ipv4`, `cidr_ipv6`, `prefix_list_id` and `referenced_group_id`";
            errors.push(ParamError { path: vec![], message: format!("of {of} exactly one is needed, not {peers}") });
        }
        for (field, text, v4) in [("cidr_ipv4", &params.cidr_ipv4, true), ("cidr_ipv6", &params.cidr_ipv6, false)] {
            match text.as_deref().map(Cidr::parse) {
                Some(Ok(range)) if range.is_v4() != v4 => {
                    errors.push(ParamError::new(field, format!("{range} is of the other IP version")));
                }
                Some(Err(why)) => errors.push(ParamError::new(field, why)),
                _ => {}
            }
        }
        if let Some(id) = &params.prefix_list_id {
            id.check("prefix_list_id", &mut errors);
        }
        if let Some(id) = &params.referenced_group_id {
            id.check("referenced_group_id", &mut errors);
        }
        if let Some(text) = &params.description {
            rule::check_text(text, 0, "description", &mut errors);
        }
        tags::check(&params.tags, &mut errors);
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    async fn capture(&self, cx: &Cx, params: &Params) -> OpResult<Absent> {
        resource::existing::<SecurityGroup>(cx, params.group_id.as_str()).await?;
        match look(cx, params).await? {
            Found::Absent => Ok(Absent {}),
            Found::Foreign { what } => Err(OpError::foreign(format!("{what} is there already"))
                .with_hint("leave the step out, or remove the rule that is there")),
            Found::Ours { output, .. } => {
                Err(OpError::foreign(format!("{} carries this step's tags already", output.security_group_rule_id)))
            }
        }
    }

    async fn create(&self, cx: &Cx, params: &Params, _before: &Absent) -> OpResult<Output> {
        let (client, about) = (client(cx)?, params.about());
        let call = Call::new(params.authorize(), &about).just_made();
        let permission = params.rule().permission(params.description.as_deref());
        let tags = tags::specification(cx, ResourceType::SecurityGroupRule, &params.tags);
        let rules = match params.direction {
            Direction::Ingress => {
                let request = client.authorize_security_group_ingress().group_id(params.group_id.as_str());
                let reply = request.ip_permissions(permission).tag_specifications(tags).send().await;
                reply.map_err(|e| op_error(call, e))?.security_group_rules
            }
            Direction::Egress => {
                let request = client.authorize_security_group_egress().group_id(params.group_id.as_str());
                let reply = request.ip_permissions(permission).tag_specifications(tags).send().await;
                reply.map_err(|e| op_error(call, e))?.security_group_rules
            }
        };
        if let Some(id) = rules.unwrap_or_default().first().and_then(Described::security_group_rule_id) {
            return Ok(params.output(id));
        }
        // AWS names the rule; a stand-in may not. It is made, so the only question is its id.
        match look(cx, params).await? {
            Found::Ours { output, .. } => Ok(output),
            Found::Absent | Found::Foreign { .. } => Err(resource::nameless(params.authorize(), &about)),
        }
    }

    async fn find(&self, cx: &Cx, params: &Params, _before: &Absent) -> OpResult<Found<Output>> {
        look(cx, params).await
    }

    async fn rollback(&self, cx: &Cx, params: &Params, _before: &Absent, out: &Output) -> OpResult<Undo> {
        let id = out.security_group_rule_id.as_str();
        let Some(there) = resource::by_id::<Described>(cx, id).await? else { return Ok(Undo::Nothing) };
        let compared = differences(params, &there);
        if !compared.holds() {
            let moved = compared.compared.iter().filter(|c| !c.holds());
            let moved: Vec<_> = moved.map(|c| format!("{} was {} and is {}", c.what, c.want, c.got)).collect();
            return Err(OpError::drift(format!(
                "{id} of {} was changed since this run made it: {} (it was `{}` and is `{}`)",
                out.group_id,
                moved.join(", "),
                params.rule(),
                Rule::described(&there)
            )));
        }
        let client = client(cx)?;
        let call = Call::new(params.revoke(), id);
        let revoked = match params.direction {
            Direction::Ingress => {
                let request = client.revoke_security_group_ingress().group_id(out.group_id.as_str());
                request.security_group_rule_ids(id).send().await.map(|_| ()).map_err(|e| op_error(call, e))
            }
            Direction::Egress => {
                let request = client.revoke_security_group_egress().group_id(out.group_id.as_str());
                request.security_group_rule_ids(id).send().await.map(|_| ()).map_err(|e| op_error(call, e))
            }
        };
        if !resource::was_there(revoked)? {
            return Ok(Undo::Nothing);
        }
        resource::wait_until_gone::<Described>(cx, id).await?;
        Ok(Undo::Done)
    }

    async fn verify(
        &self,
        cx: &Cx,
        params: &Params,
        _before: &Absent,
        out: Option<&Output>,
        want: Expect,
    ) -> OpResult<Verdict> {
        let id = out.map(|o| o.security_group_rule_id.as_str());
        if want == Expect::RolledBack {
            return resource::verify_gone::<Described>(cx, id).await;
        }
        let Some(there) = resource::made::<Described>(cx, id).await? else {
            return Ok(resource::missing::<Described>(id));
        };
        let wanted = tags::all(cx, &params.tags);
        let mut verdict =
            differences(params, &there).compare("tags", json!(wanted), json!(tags::of_those(&wanted, there.tags())));
        verdict.observed = json!({
            "security_group_rule_id": there.security_group_rule_id(), "group_id": there.group_id(),
            "rule": Rule::described(&there).to_string(), "description": there.description(),
            "tags": tags::read(there.tags()),
        });
        Ok(verdict)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn params(more: Value) -> Params {
        let mut all = json!({"group_id": "sg-12345678", "ip_protocol": "tcp", "from_port": 80, "to_port": 80,
            "cidr_ipv4": "10.0.0.0/16"});
        for (key, value) in more.as_object().unwrap() {
            if value.is_null() {
                all.as_object_mut().unwrap().remove(key)
            } else {
                all.as_object_mut().unwrap().insert(key.clone(), value.clone())
            };
        }
        serde_json::from_value(all).unwrap()
    }

    fn wrong(more: Value) -> Vec<String> {
        let errors = SecurityGroupRule.check(&params(more)).err().unwrap_or_default();
        errors.into_iter().map(|e| e.path.join(".")).collect()
    }

    #[test]
    fn parameters_are_held_to_the_rules() {
        assert!(wrong(json!({})).is_empty());
        assert_eq!(wrong(json!({"from_port": 81})), ["from_port"]);
        assert_eq!(wrong(json!({"to_port": 65536})), ["from_port"]);
        assert_eq!(wrong(json!({"to_port": null})), ["from_port"]);
        assert_eq!(wrong(json!({"ip_protocol": "-1"})), ["from_port"]);
        assert!(wrong(json!({"ip_protocol": "-1", "from_port": null, "to_port": null})).is_empty());
        assert!(wrong(json!({"ip_protocol": "icmp", "from_port": 8, "to_port": -1})).is_empty());
        assert_eq!(wrong(json!({"ip_protocol": "icmp", "from_port": 256, "to_port": -1})), ["from_port"]);
        assert_eq!(wrong(json!({"ip_protocol": "ftp"})), ["ip_protocol"]);
        assert_eq!(wrong(json!({"cidr_ipv4": "10.0.0.1/16"})), ["cidr_ipv4"]);
        assert_eq!(wrong(json!({"cidr_ipv4": "::/0"})), ["cidr_ipv4"]);
        assert_eq!(wrong(json!({"cidr_ipv4": null})), [""]);
        assert_eq!(wrong(json!({"referenced_group_id": "sg-12345678"})), [""]);
        assert_eq!(wrong(json!({"cidr_ipv4": null, "referenced_group_id": "vpc-12345678"})), ["referenced_group_id"]);
        assert_eq!(wrong(json!({"description": "it's"})), ["description"]);
    }

    #[test]
    fn the_direction_chooses_the_calls() {
        let facts = SecurityGroupRule.facts(&params(json!({})));
        assert_eq!(facts.creates, ["ec2:AuthorizeSecurityGroupIngress"]);
        assert_eq!(facts.rolls_back, ["ec2:RevokeSecurityGroupIngress"]);
        let facts = SecurityGroupRule.facts(&params(json!({"direction": "egress"})));
        assert_eq!(facts.creates, ["ec2:AuthorizeSecurityGroupEgress"]);
    }

    #[test]
    fn only_what_the_step_set_is_compared() {
        let there = |port: i32, description: &str| {
            Described::builder()
                .group_id("sg-12345678")
                .is_egress(false)
                .ip_protocol("tcp")
                .from_port(port)
                .to_port(port)
                .cidr_ipv4("10.0.0.0/16")
                .description(description)
                .build()
        };
        assert!(differences(&params(json!({})), &there(80, "added by hand")).holds());
        assert!(!differences(&params(json!({})), &there(81, "")).holds());
        assert!(!differences(&params(json!({"description": "ours"})), &there(80, "theirs")).holds());
    }
}
