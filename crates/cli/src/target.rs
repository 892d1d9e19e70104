//! Where a run acts: the target's clients and providers, made from the plan and the run's
//! endpoint, and from nothing else.

use std::sync::Arc;
use std::time::Duration;

use switchback_aws::{AwsConfig, AwsContext, AwsProvider, CredentialSource, Role};
use switchback_container::ask::RegistryAsk;
use switchback_container::remote::{EngineConfig, Registries};
use switchback_data::command::{CommandAsk, Commands};
use switchback_data::nats::ask::NatsAsk;
use switchback_data::nats::client::Nats;
use switchback_data::postgres::{PgAsk, PgRemote};
use switchback_engine::Registry;
use switchback_engine::cx::Contexts;
use switchback_engine::executor::Environment;
use switchback_engine::file::{FileAsk, Files};
use switchback_engine::remote::Answers;
use switchback_engine::secrets::Secrets;
use switchback_model::RunId;
use switchback_model::plan::{AwsTarget, Plan, Target};
use switchback_model::record::Endpoint;
use switchback_probe::web::{HttpAsk, TcpAsk, Web};
use switchback_report::text;

use crate::app::App;
use crate::args::Place;
use crate::error::CommandResult;
use crate::host::{self, SystemClock};
use crate::sandbox::{Info, Sandbox};

/// The prefix of ownership tags.
pub(crate) const TAG_PREFIX: &str = "switchback";

/// The endpoint that a new run remembers. Starts the sandbox where it is wanted and none is up.
pub(crate) fn choose(app: &App, place: &Place) -> CommandResult<(Endpoint, Option<Info>)> {
    if !place.sandbox {
        return Ok((Endpoint { url: place.endpoint_url.clone(), sandbox: false, quiet_ms: None }, None));
    }
    let (info, started) = Sandbox::of(&app.state).up(0, false)?;
    if started {
        app.out.remark(&format!("sandbox started at {}", info.endpoint));
    }
    Ok((of_sandbox(&info), Some(info)))
}

/// The endpoint of a sandbox.
pub(crate) fn of_sandbox(info: &Info) -> Endpoint {
    Endpoint { url: Some(info.endpoint.clone()), sandbox: true, quiet_ms: Some(info.quiet_ms) }
}

/// What the target is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A run that has not begun: everything that the plan needs is asked for.
    Begin,
    /// A run that is there: what it needs by now is not what its plan needed.
    GoOn,
}

/// Everything that a run of this plan acts on and with, but the values of secrets. AWS clients are
/// made only for a plan that touches AWS, for each of its targets; a run in the sandbox asks the
/// sandbox where it is now.
pub(crate) async fn environment(
    app: &App,
    registry: Arc<Registry>,
    plan: &Plan,
    endpoint: &Endpoint,
    run: Option<RunId>,
    purpose: Purpose,
) -> CommandResult<Environment> {
    let mut env = Environment {
        registry,
        clock: Arc::new(SystemClock),
        contexts: Contexts::new()
            .with::<Answers<CommandAsk>>(Arc::new(Commands))
            .with::<Answers<FileAsk>>(Arc::new(Files::inside(&app.state)))
            .with::<Answers<RegistryAsk>>(Arc::new(Registries::new(engine(app))))
            .with::<Answers<NatsAsk>>(Arc::new(Nats::new()))
            .with::<Answers<HttpAsk>>(Arc::new(Web))
            .with::<Answers<PgAsk>>(PgRemote::new("aws"))
            .with::<Answers<TcpAsk>>(Arc::new(Web)),
        secrets: Secrets::none(),
        providers: Vec::new(),
        tag_prefix: TAG_PREFIX.to_owned(),
    };
    for (name, target) in plan.target.all() {
        let config = if endpoint.sandbox {
            let info = Sandbox::of(&app.state).must_be_up()?;
            // In the sandbox the id of an access key is the account that it belongs to.
            AwsConfig::endpoint(&target.region, info.endpoint, &target.account, info.secret_access_key)
                .with_quiet(Duration::from_millis(info.quiet_ms))
        } else {
            remote(target, endpoint, run)
        };
        let context = AwsContext::new(config).await;
        let provider =
            AwsProvider::new(context.clone(), target.account.clone(), TAG_PREFIX).named(name).sweeping_for(plan);
        env.providers.push(Arc::new(match purpose {
            Purpose::Begin => provider.for_plan(plan),
            Purpose::GoOn => provider,
        }));
        env.contexts = match name {
            Target::AWS => env.contexts.with(context),
            _ => env.contexts.with_named(name, context),
        };
    }
    Ok(env)
}

/// The container engine that builds: as `DOCKER_HOST` says, else where engines usually listen.
fn engine(app: &App) -> EngineConfig {
    let host = host::var("DOCKER_HOST").map(|host| host.to_string_lossy().into_owned());
    EngineConfig { host: host.filter(|host| !host.is_empty()), scratch: app.state.join("builds") }
}

/// A target that is not the sandbox: AWS, or what stands in for it at an endpoint.
fn remote(target: &AwsTarget, endpoint: &Endpoint, run: Option<RunId>) -> AwsConfig {
    let mut config = AwsConfig::standard(&target.region);
    config.endpoint_url = target.endpoint_url.clone().or_else(|| endpoint.url.clone());
    config.credentials = match &target.profile {
        Some(name) => CredentialSource::Profile { name: name.clone() },
        None => {
            let profile = host::var("AWS_PROFILE").map(|p| p.to_string_lossy().into_owned());
            CredentialSource::Standard { profile }
        }
    };
    let session = run.map_or_else(|| "switchback-plan".to_owned(), |run| format!("switchback-{}", text::short(run)));
    config.with_role(target.assume_role.as_ref().map(|role| Role {
        role_arn: role.role_arn.clone(),
        external_id: role.external_id.clone(),
        session_name: role.session_name.clone().unwrap_or(session),
    }))
}

#[cfg(test)]
mod tests {
    use switchback_model::plan::AssumeRole;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_target_says_more_than_the_command() {
        let role = AssumeRole { role_arn: "arn:x".into(), external_id: None, session_name: None };
        let mut target = AwsTarget {
            region: "us-west-2".into(),
            account: "123456789012".into(),
            profile: Some("west".into()),
            assume_role: Some(role),
            endpoint_url: Some("http://127.0.0.1:2".into()),
        };
        let endpoint = Endpoint { url: Some("http://127.0.0.1:1".into()), ..Endpoint::default() };
        let run = RunId::new(Uuid::from_u128(7));
        let config = remote(&target, &endpoint, Some(run));
        assert_eq!(config.endpoint_url.as_deref(), Some("http://127.0.0.1:2"));
        assert_eq!(config.credentials, CredentialSource::Profile { name: "west".into() });
        assert_eq!(config.role.unwrap().session_name, "switchback-00000007");
        target.endpoint_url = None;
        assert_eq!(remote(&target, &endpoint, None).endpoint_url, endpoint.url);
        assert_eq!(remote(&target, &endpoint, None).role.unwrap().session_name, "switchback-plan");
    }
}
