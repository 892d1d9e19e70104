//! What a listener or a rule does with a request.

use aws_sdk_elasticloadbalancingv2::types::{
    Action as Sdk, ActionTypeEnum, FixedResponseActionConfig, RedirectActionConfig, RedirectActionStatusCodeEnum,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use switchback_engine::operation::ParamError;

use crate::ids::TargetGroupArn;

/// The longest body of a fixed response.
const LONGEST_BODY: usize = 1024;

/// What is done with a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Action {
    /// Which of the three.
    #[serde(rename = "type")]
    pub kind: ActionType,
    /// To which target group; of `forward`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_group_arn: Option<TargetGroupArn>,
    /// What is answered; of `fixed-response`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fixed_response_config: Option<FixedResponse>,
    /// To where; of `redirect`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redirect_config: Option<Redirect>,
}

/// The kinds of action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ActionType {
    /// To a target group.
    Forward,
    /// An answer of the load balancer's own.
    FixedResponse,
    /// To another URL.
    Redirect,
}

/// An answer of the load balancer's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FixedResponse {
    /// The HTTP status, `200` or `404`.
    pub status_code: String,
    /// `text/plain`, `text/css`, `text/html`, `application/javascript` or `application/json`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// Up to 1024 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_body: Option<String>,
}

/// Another URL. What is not given stays as in the request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Redirect {
    /// `HTTP_301` (for good) or `HTTP_302` (for now).
    pub status_code: String,
    /// `HTTP` or `HTTPS`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// `1` to `65535`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<String>,
    /// The host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The path, with the leading slash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The query, without the question mark.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
}

impl Action {
    /// For the examples.
    pub(super) fn forward(arn: &str) -> Self {
        Self {
            kind: ActionType::Forward,
            target_group_arn: Some(TargetGroupArn::new(arn)),
            fixed_response_config: None,
            redirect_config: None,
        }
    }

    pub(super) fn to_sdk(&self) -> Sdk {
        let kind = match self.kind {
            ActionType::Forward => ActionTypeEnum::Forward,
            ActionType::FixedResponse => ActionTypeEnum::FixedResponse,
            ActionType::Redirect => ActionTypeEnum::Redirect,
        };
        let fixed = self.fixed_response_config.as_ref().map(|of| {
            FixedResponseActionConfig::builder()
                .status_code(&of.status_code)
                .set_content_type(of.content_type.clone())
                .set_message_body(of.message_body.clone())
                .build()
        });
        let redirect = self.redirect_config.as_ref().map(|of| {
            RedirectActionConfig::builder()
                .status_code(RedirectActionStatusCodeEnum::from(of.status_code.as_str()))
                .set_protocol(of.protocol.clone())
                .set_port(of.port.clone())
                .set_host(of.host.clone())
                .set_path(of.path.clone())
                .set_query(of.query.clone())
                .build()
        });
        Sdk::builder()
            .r#type(kind)
            .set_target_group_arn(self.target_group_arn.as_ref().map(ToString::to_string))
            .set_fixed_response_config(fixed)
            .set_redirect_config(redirect)
            .build()
    }

    pub(super) fn check(&self, field: &str, errors: &mut Vec<ParamError>) {
        let mut wrong = |message: String| errors.push(ParamError::new(field, message));
        for (kind, given, name) in [
            (ActionType::Forward, self.target_group_arn.is_some(), "target_group_arn"),
            (ActionType::FixedResponse, self.fixed_response_config.is_some(), "fixed_response_config"),
            (ActionType::Redirect, self.redirect_config.is_some(), "redirect_config"),
        ] {
            match (kind == self.kind, given) {
                (true, false) => wrong(format!("an action of this type needs `{name}`")),
                (false, true) => wrong(format!("`{name}` is of another type of action")),
                _ => {}
            }
        }
        if let Some(fixed) = &self.fixed_response_config {
            let fits = fixed.status_code.len() == 3
                && fixed.status_code.starts_with(['2', '4', '5'])
                && fixed.status_code.chars().all(|c| c.is_ascii_digit());
            if !fits {
                wrong(format!("{:?} is not a status of a fixed response: 2xx, 4xx or 5xx", fixed.status_code));
            }
            if fixed.message_body.as_ref().is_some_and(|body| body.len() > LONGEST_BODY) {
                wrong(format!("the body of a fixed response has up to {LONGEST_BODY} bytes"));
            }
        }
        if let Some(redirect) = &self.redirect_config {
            if !["HTTP_301", "HTTP_302"].contains(&redirect.status_code.as_str()) {
                wrong(format!("{:?} is not HTTP_301 or HTTP_302", redirect.status_code));
            }
            let Redirect { protocol, port, host, path, query, .. } = redirect;
            if [protocol, port, host, path, query].into_iter().all(Option::is_none) {
                wrong("a redirect changes the protocol, the port, the host, the path or the query".to_owned());
            }
        }
        if let Some(arn) = &self.target_group_arn {
            arn.check(field, errors);
        }
    }
}

/// Actions that were read back, in the form of the parameters. AWS fills in the parts of a redirect that were not
/// given; `asked` leaves those out again.
pub(super) fn read(actions: &[Sdk]) -> Value {
    let action = |action: &Sdk| {
        // A target group is given back alone, as a list of one, or as both.
        let of_list = action.forward_config().and_then(|of| match of.target_groups() {
            [one] => one.target_group_arn(),
            _ => None,
        });
        let mut it = json!({"type": action.r#type().map(ActionTypeEnum::as_str)});
        if let Some(arn) = action.target_group_arn().or(of_list) {
            it["target_group_arn"] = json!(arn);
        }
        if let Some(of) = action.fixed_response_config() {
            it["fixed_response_config"] = json!({
                "status_code": of.status_code(), "content_type": of.content_type(), "message_body": of.message_body(),
            });
        }
        if let Some(of) = action.redirect_config() {
            it["redirect_config"] = json!({
                "status_code": of.status_code().map(RedirectActionStatusCodeEnum::as_str), "protocol": of.protocol(),
                "port": of.port(), "host": of.host(), "path": of.path(), "query": of.query(),
            });
        }
        it
    };
    json!(actions.iter().map(action).collect::<Vec<_>>())
}

/// What is compared of the actions that were read back: what was asked for, one by one.
pub(super) fn of_those(wanted: &[Action], there: &Value) -> Value {
    let Some(there) = there.as_array().filter(|all| all.len() == wanted.len()) else { return there.clone() };
    json!(
        wanted
            .iter()
            .zip(there)
            .map(|(wanted, there)| crate::asked::of_those(&json!(wanted), there))
            .collect::<Vec<_>>()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUP: &str = "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/web/73e2d6bc24d8a067";

    fn action(value: Value) -> Action {
        serde_json::from_value(value).unwrap()
    }

    fn wrong(value: Value) -> usize {
        let mut errors = Vec::new();
        action(value).check("default_actions", &mut errors);
        errors.len()
    }

    #[test]
    fn each_type_has_its_own_part() {
        assert_eq!(wrong(json!({"type": "forward", "target_group_arn": GROUP})), 0);
        assert_eq!(wrong(json!({"type": "forward"})), 1);
        assert_eq!(wrong(json!({"type": "forward", "target_group_arn": "web"})), 1);
        assert_eq!(wrong(json!({"type": "fixed-response", "fixed_response_config": {"status_code": "404"}})), 0);
        assert_eq!(wrong(json!({"type": "fixed-response", "fixed_response_config": {"status_code": "300"}})), 1);
        let redirect = |more: Value| wrong(json!({"type": "redirect", "redirect_config": more}));
        assert_eq!(redirect(json!({"status_code": "HTTP_301", "protocol": "HTTPS", "port": "443"})), 0);
        assert_eq!(redirect(json!({"status_code": "HTTP_301"})), 1);
        assert_eq!(redirect(json!({"status_code": "301", "port": "443"})), 1);
    }

    #[test]
    fn what_aws_fills_in_is_no_difference() {
        let wanted = [
            action(json!({"type": "forward", "target_group_arn": GROUP})),
            action(json!({"type": "redirect", "redirect_config": {"status_code": "HTTP_301", "port": "443"}})),
        ];
        let mut sdk: Vec<Sdk> = wanted.iter().map(Action::to_sdk).collect();
        sdk[1] = Sdk::builder()
            .r#type(ActionTypeEnum::Redirect)
            .order(2)
            .redirect_config(
                RedirectActionConfig::builder()
                    .status_code(RedirectActionStatusCodeEnum::Http301)
                    .port("443")
                    .host("#{host}")
                    .build(),
            )
            .build();
        assert_eq!(of_those(&wanted, &read(&sdk)), json!(wanted));
        assert_ne!(of_those(&wanted, &read(&sdk[..1])), json!(wanted));
    }
}
