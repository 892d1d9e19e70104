//! Where a run acts: the target's clients and providers, made from the plan and the run's
//! endpoint, and from nothing else.

use std::sync::Arc;
use std::time::Duration;

use switchback_engine::Registry;
use switchback_engine::cx::Contexts;
use switchback_engine::executor::Environment;
use switchback_model::plan::Plan;
use switchback_model::record::Endpoint;

use crate::app::App;
use crate::args::Place;
use crate::error::CommandResult;
use crate::host::{self, SystemClock};
use crate::sandbox::{Info, Sandbox};

/// The prefix of ownership tags.
const TAG_PREFIX: &str = "switchback";

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

/// Everything that a run of this plan acts on and with. AWS clients are made only for a plan that
/// touches AWS; a run in the sandbox asks the sandbox where it is now.
pub(crate) async fn environment(
    app: &App,
    registry: Arc<Registry>,
    plan: &Plan,
    endpoint: &Endpoint,
) -> CommandResult<Environment> {
    let mut env = Environment {
        registry,
        clock: Arc::new(SystemClock),
        contexts: Contexts::new(),
        providers: Vec::new(),
        tag_prefix: TAG_PREFIX.to_owned(),
    };
    Ok(env)
}
