//! The sandbox as one thing: the layers put together, and the handles to look at it and to move it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_smithy_runtime_api::client::http::SharedHttpClient;

use crate::client::Client;
use crate::clock::{Clock, Moment};
use crate::database::{self, Database, Role};
use crate::endpoint::{Endpoint, Request};
use crate::faults::{FaultLayer, Faults, Late, Meddling};
use crate::meddle::Meddled;
use crate::models::Models;
use crate::report::{World, report};
use crate::rules::{Kept, Rules, World as Places};
use crate::settings::{Quotas, Settings};

/// A stand-in for AWS: one account and region by default, and any other that is called. Clones are handles to the same
/// one.
///
/// An access key id of twelve digits is of that account; any other is of the sandbox's own.
///
/// ```
/// # async fn example() {
/// use switchback_sandbox::Sandbox;
///
/// let sandbox = Sandbox::builder().build();
/// let _client = sandbox.http_client(); // for `aws_sdk_ec2::Config::builder().http_client(..)`
/// assert_eq!(sandbox.world().await.total, 0);
/// # }
/// ```
#[derive(Clone)]
pub struct Sandbox(Arc<Inner>);

struct Inner {
    settings: Settings,
    clock: Clock,
    faults: Faults,
    rules: Arc<Rules>,
    stack: Arc<FaultLayer>,
}

impl fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sandbox").field("settings", &self.0.settings).finish_non_exhaustive()
    }
}

/// Makes a [`Sandbox`].
#[derive(Debug, Default)]
#[must_use]
pub struct Builder {
    settings: Settings,
    clock: Option<Clock>,
}

/// All that exists in a sandbox, and the writes that are still to land; not its faults, and not the log of calls.
#[derive(Clone)]
pub struct Snapshot {
    kept: Kept,
    late: Vec<Late>,
    at: Moment,
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot").field("at", &self.at).finish_non_exhaustive()
    }
}

impl Snapshot {
    /// With this call on its way besides: it lands so much later than the snapshot was taken.
    pub(crate) fn with_late(mut self, request: Request, after: Duration) -> Self {
        self.late.push(Late::new(self.at.plus(after), request));
        self
    }
}

impl Builder {
    /// The account that it plays for access keys that do not say another one.
    pub fn account(mut self, account: impl Into<String>) -> Self {
        self.settings.account = account.into();
        self
    }

    /// Its own region. AWS's regions are all there; calls that are signed for any other one are refused.
    pub fn region(mut self, region: impl Into<String>) -> Self {
        self.settings.region = region.into();
        self
    }

    /// How long new resources are pending. 50 ms by default.
    pub fn settle(mut self, settle: Duration) -> Self {
        self.settings.settle = settle;
        self
    }

    /// How long databases, NAT gateways and endpoints take. As long as `settle` by default.
    pub fn slow(mut self, slow: Duration) -> Self {
        self.settings.slow = Some(slow);
        self
    }

    /// Whether a role that was made just now cannot be read for as long as `settle`. Off by default: services cannot
    /// use a new role for that long either way.
    pub fn iam_lag(mut self, lags: bool) -> Self {
        self.settings.iam_lag = lags;
        self
    }

    /// Its limits. None by default.
    pub fn quotas(mut self, quotas: Quotas) -> Self {
        self.settings.quotas = quotas;
        self
    }

    /// Whether Aurora clusters lead to a real server, which the parts of the sandbox bring ([`Parts`](crate::Parts)).
    /// Off by default: endpoints lead nowhere then.
    pub fn databases(mut self, are_real: bool) -> Self {
        self.settings.database = are_real.then(|| Arc::new(Database::new()));
        self
    }

    /// The host name of every load balancer, instead of one like AWS's: `127.0.0.1` leads to what is served there.
    pub fn balancer_host(mut self, host: impl Into<String>) -> Self {
        self.settings.balancer_host = Some(host.into());
        self
    }

    /// How many items of a `BatchWriteItem` are written; the others come back as unprocessed. All by default.
    pub fn batch(mut self, most: usize) -> Self {
        self.settings.batch = Some(most);
        self
    }

    /// Its clock. [`Clock::real`] by default.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Puts it together.
    #[must_use]
    pub fn build(self) -> Sandbox {
        let clock = self.clock.unwrap_or_else(Clock::real);
        let faults = Faults::default();
        let rules = Arc::new(Rules::new(self.settings.clone(), clock.clone()));
        let stack = Arc::new(FaultLayer::new(faults.clone(), Arc::clone(&rules), clock.clone()));
        Sandbox(Arc::new(Inner { settings: self.settings, clock, faults, rules, stack }))
    }
}

impl Sandbox {
    /// An empty sandbox, to be configured.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The account id that it plays.
    #[must_use]
    pub fn account(&self) -> &str {
        &self.0.settings.account
    }

    /// The region that it plays.
    #[must_use]
    pub fn region(&self) -> &str {
        &self.0.settings.region
    }

    /// The whole stack: faults, rules, emulator.
    #[must_use]
    pub fn endpoint(&self) -> Arc<dyn Endpoint> {
        Arc::clone(&self.0.stack) as Arc<dyn Endpoint>
    }

    /// Puts things into the models of its own place, as they are before a run.
    pub(crate) async fn seed(&self, put: impl FnOnce(&mut Models)) {
        self.0.rules.seed(put).await;
    }

    /// A client for the AWS SDK that needs no socket.
    #[must_use]
    pub fn http_client(&self) -> SharedHttpClient {
        SharedHttpClient::new(Client(self.endpoint()))
    }

    /// The faults, and the calls that were made.
    #[must_use]
    pub fn faults(&self) -> Faults {
        self.0.faults.clone()
    }

    /// The clock.
    #[must_use]
    pub fn clock(&self) -> Clock {
        self.0.clock.clone()
    }

    /// Everything that exists now, in all accounts and regions. Effects whose time has come land first.
    pub async fn world(&self) -> World {
        self.0.stack.land().await;
        let world = self.0.rules.world().await;
        report(&self.0.settings, &world)
    }

    /// Somebody else changes or deletes the resource of this id (its ARN outside EC2), with credentials of their own:
    /// one call to AWS, which is not in the log of calls and which AWS may refuse.
    ///
    /// `None` when there is no such resource, when it is of a kind that no operation makes, or when it has no setting
    /// that can be changed: an alias where there is no other key. A resource without settings of its own gets a tag.
    pub async fn meddle(&self, id: &str, how: Meddling) -> Option<Meddled> {
        self.0.stack.land().await;
        self.0.rules.meddle(id, how).await
    }

    /// Everything that exists now, as the rules see it. The same `Arc` as before when nothing has changed.
    pub(crate) async fn places(&self) -> Places {
        self.0.stack.land().await;
        self.0.rules.world().await
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// Its rules, for questions of its own parts: no fault is in front of them, and no call is counted.
    pub(crate) fn rules(&self) -> &Rules {
        &self.0.rules
    }

    /// What its clusters and a real server have in common.
    pub(crate) fn database(&self) -> Option<&Arc<Database>> {
        self.0.settings.database.as_ref()
    }

    /// The master users of the clusters that exist, by what the clusters are known by for their life. Those whose
    /// password AWS keeps are left out: nobody could sign in.
    pub(crate) async fn database_roles(&self) -> BTreeMap<String, Role> {
        let Some(database) = self.database() else { return BTreeMap::new() };
        let places = self.places().await;
        let clusters = places.values().flat_map(|local| local.picture.rds.clusters.values().map(move |it| (local, it)));
        let roles = clusters.filter_map(|(local, it)| {
            let id = database::id(&it.arn, &local.notes);
            let role =
                Role { name: it.master.clone()?, password: database.password(&id)?, database: it.database.clone() };
            Some((id, role))
        });
        roles.collect()
    }

    /// All of it, to be restored here or in another sandbox of the same account and region.
    pub async fn snapshot(&self) -> Snapshot {
        self.0.stack.let_go().await;
        Snapshot { kept: self.0.rules.keep().await, late: self.0.faults.late(), at: self.0.clock.now() }
    }

    /// Makes everything as it was: also the ages of what is pending, and the ids that come next.
    /// What was stuck then is stuck again, until the faults are cleared after this.
    pub async fn restore(&self, snapshot: &Snapshot) {
        // That was about the world that goes.
        self.0.faults.take_let_go();
        self.0.rules.restore(&snapshot.kept).await;
        let now = self.0.clock.now();
        self.0.faults.set_late(snapshot.late.iter().map(|late| late.moved(snapshot.at, now)).collect());
    }

    /// Removes everything that exists, and all that is still to land. Ids go on counting; faults stay.
    pub async fn reset(&self) {
        self.0.faults.set_late(Vec::new());
        self.0.rules.reset().await;
    }
}
