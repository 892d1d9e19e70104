//! Where a run acts: the target's clients and providers, made from the plan and the run's
//! endpoint, and from nothing else.

use std::sync::Arc;
use std::time::Duration;

use switchback_aws::{AwsConfig, AwsContext, AwsProvider};
use switchback_engine::Registry;
use switchback_engine::cx::Contexts;
use switchback_engine::executor::Environment;
use switchback_engine::secrets::Secrets;
use switchback_model::plan::Plan;
use switchback_model::record::Endpoint;

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
    let (info, started) = Sandbox::of(&app.state).up(0)?;
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

/// Everything that a run of this plan acts on and with. AWS clients are made only for a plan that
/// touches AWS; a run in the sandbox asks the sandbox where it is now.
pub(crate) async fn environment(
    app: &App,
    registry: Arc<Registry>,
    plan: &Plan,
    endpoint: &Endpoint,
    purpose: Purpose,
) -> CommandResult<Environment> {
    let mut env = Environment {
        registry,
        clock: Arc::new(SystemClock),
        contexts: Contexts::new(),
        secrets: Secrets::none(),
        providers: Vec::new(),
        tag_prefix: TAG_PREFIX.to_owned(),
    };
    if let Some(target) = &plan.target.aws {
        let config = if endpoint.sandbox {
            let info = Sandbox::of(&app.state).must_be_up()?;
            AwsConfig::endpoint(&target.region, info.endpoint, info.access_key_id, info.secret_access_key)
                .with_quiet(Duration::from_millis(info.quiet_ms))
        } else {
            let profile = host::var("AWS_PROFILE").map(|p| p.to_string_lossy().into_owned());
            let mut config = AwsConfig::standard(&target.region).with_profile(profile);
            config.endpoint_url.clone_from(&endpoint.url);
            config
        };
        let context = AwsContext::new(config).await;
        let provider = AwsProvider::new(context.clone(), target.account.clone(), TAG_PREFIX).sweeping_for(plan);
        env.providers.push(Arc::new(match purpose {
            Purpose::Begin => provider.for_plan(plan),
            Purpose::GoOn => provider,
        }));
        env.contexts = env.contexts.with(context);
    }
    Ok(env)
}
