//! STS: who the caller is, and credentials of roles.
//!
//! The access key id of temporary credentials says their account and the session token says who they are, so that they
//! stay good when the sandbox is restored to a time before they were given out.

use super::Desk;
use crate::input::Input;
use crate::notes::Answer;
use crate::place::{Place, TEMPORARY};
use crate::query::Params;
use crate::refusal::Refusal;
use crate::service::Service;
use crate::xml::Xml;

/// What a session token starts with; the ARN of the assumed role follows.
const SESSION: &str = "sandbox/";

/// Every call to STS.
pub(super) async fn handle(desk: &mut Desk<'_>, input: &Input) -> Result<Answer, Refusal> {
    let inner = match input.action.as_str() {
        "GetCallerIdentity" => caller_identity(desk),
        "AssumeRole" => assume_role(desk, input.params()?),
        _ => return desk.pass_on(input).await,
    };
    inner.map(Answer::Inner)
}

/// The ARN of who calls.
fn caller(desk: &Desk<'_>) -> String {
    let session = desk.caller.and_then(|caller| caller.session.as_deref());
    let assumed = session.and_then(|session| session.strip_prefix(SESSION));
    assumed.map_or_else(|| desk.place.arn(Service::Iam, "user/sandbox"), str::to_owned)
}

fn caller_identity(desk: &Desk<'_>) -> Result<String, Refusal> {
    let mut xml = Xml::new();
    xml.leaf("Arn", caller(desk));
    xml.leaf("UserId", desk.caller.map_or("", |caller| &caller.access_key));
    xml.leaf("Account", &desk.place.account);
    Ok(xml.finish())
}

fn assume_role(desk: &mut Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let (arn, session) = (params.required("RoleArn")?, params.required("RoleSessionName")?);
    let seconds = params.number("DurationSeconds")?.unwrap_or(3600);
    let account = arn.strip_prefix("arn:aws:iam::").and_then(|rest| rest.split_once(':')).map(|(account, _)| account);
    let name = arn.rsplit('/').next().unwrap_or_default();
    let Some(account) = account else {
        return Err(Refusal::new("ValidationError", format!("{arn} is invalid")));
    };
    let global = Place::new(account, &desk.place.region);
    let role = desk.world.get(&global).and_then(|local| {
        let (_, role) = local.picture.iam.role(arn)?;
        // IAM takes a while to tell STS of a new role.
        (!local.notes.is_pending(arn, desk.now)).then_some(role)
    });
    let Some(role) = role else {
        let message = format!("User: {} is not authorized to perform: sts:AssumeRole on resource: {arn}", caller(desk));
        return Err(Refusal::new("AccessDenied", message).with_status(403));
    };
    if !(900..=role.max_session.max(900)).contains(&seconds) {
        let message = "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.";
        return Err(Refusal::new("ValidationError", message));
    }
    let id = role.id.clone();
    let notes = desk.notes_mut();
    notes.sessions += 1;
    let key = format!("{TEMPORARY}{account}{:04X}", notes.sessions % 0x1_0000);
    let assumed = format!("arn:aws:sts::{account}:assumed-role/{name}/{session}");
    let mut xml = Xml::new();
    xml.tag("Credentials", |xml| {
        xml.leaf("AccessKeyId", &key);
        xml.leaf("SecretAccessKey", "the-sandbox-takes-any-secret");
        xml.leaf("SessionToken", format!("{SESSION}{assumed}"));
        // The sandbox has no calendar: credentials end by a fault, not by their date.
        xml.leaf("Expiration", "2100-01-01T00:00:00Z");
    });
    xml.tag("AssumedRoleUser", |xml| {
        xml.leaf("AssumedRoleId", format!("{id}:{session}"));
        xml.leaf("Arn", &assumed);
    });
    Ok(xml.finish())
}
