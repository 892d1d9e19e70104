//! DynamoDB: tables and their items.
//!
//! The emulator holds the tables; their settings and items are in the notes. A table is made and deleted slowly; until it
//! is ACTIVE it has no items, and from its deletion on.

mod item;
mod search;
mod table;
mod transact;

use serde_json::{Value, json};

use super::Desk;
use crate::input::Input;
use crate::notes::Answer;
use crate::picture::dynamodb::Table;
use crate::refusal::Refusal;
use crate::service::Service;

/// Every call to the service.
pub(super) async fn handle(desk: &mut Desk<'_>, input: &Input) -> Result<Answer, Refusal> {
    let body = input.body()?;
    let reply = match input.action.as_str() {
        "CreateTable" => table::create(desk, body).await,
        "DescribeTable" => table::describe(desk, body),
        "UpdateTable" => table::update(desk, body).await,
        "DeleteTable" => table::delete(desk, body),
        "ListTables" => table::list(desk, body),
        "DescribeContinuousBackups" => table::describe_backups(desk, body),
        "UpdateContinuousBackups" => table::update_backups(desk, body).await,
        "ListTagsOfResource" => table::list_tags(desk, body),
        "TagResource" => table::tag(desk, body).await,
        "UntagResource" => table::untag(desk, body).await,
        "PutItem" => item::put(desk, body),
        "GetItem" => item::get(desk, body),
        "UpdateItem" => item::update(desk, body),
        "DeleteItem" => item::delete(desk, body),
        "BatchWriteItem" => item::batch_write(desk, body),
        "BatchGetItem" => item::batch_get(desk, body),
        "TransactWriteItems" => transact::write(desk, body),
        "Query" => search::query(desk, body),
        "Scan" => search::scan(desk, body),
        // What has no rules here would act on other items than these.
        action => Err(Refusal::unknown_action(desk.service, action)),
    };
    reply.map(|reply| Answer::json(&reply))
}

/// The deletion of a table is over.
pub(super) async fn finish(desk: &mut Desk<'_>, arn: &str) {
    desk.emulator.drop_table(arn).await;
    desk.look();
}

fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::new("ValidationException", message.into())
}

fn wrong_value(message: impl std::fmt::Display) -> Refusal {
    invalid(format!("One or more parameter values were invalid: {message}"))
}

/// The ARN of a table, from that or from its name.
fn arn_of(desk: &Desk<'_>, given: &str) -> String {
    if given.starts_with("arn:") {
        given.to_owned()
    } else {
        desk.place.arn(Service::DynamoDb, &format!("table/{given}"))
    }
}

/// A table that exists, in whatever state.
fn find<'a>(desk: &'a Desk<'_>, arn: &str) -> Result<&'a Table, Refusal> {
    desk.picture().dynamodb.tables.get(arn).ok_or_else(|| {
        let name = arn.rsplit('/').next().unwrap_or_default();
        Refusal::new("ResourceNotFoundException", format!("Requested resource not found: Table: {name} not found"))
    })
}

/// A table that has items: it is made, and not being deleted.
fn usable<'a>(desk: &'a Desk<'_>, arn: &str) -> Result<&'a Table, Refusal> {
    let gone = || Refusal::new("ResourceNotFoundException", "Requested resource not found");
    let it = desk.picture().dynamodb.tables.get(arn).ok_or_else(gone)?;
    let is_made = !desk.is_pending(arn) || it.while_pending == "UPDATING";
    if is_made && !desk.is_ending(arn) { Ok(it) } else { Err(gone()) }
}

/// Where a table stands.
fn status(desk: &Desk<'_>, arn: &str) -> String {
    match desk.picture().dynamodb.tables.get(arn) {
        _ if desk.is_ending(arn) => "DELETING".to_owned(),
        Some(it) if desk.is_pending(arn) => it.while_pending.clone(),
        _ => "ACTIVE".to_owned(),
    }
}

fn fact(desk: &Desk<'_>, arn: &str, name: &str) -> Value {
    desk.notes().fact(arn, name).cloned().unwrap_or_else(|| json!({}))
}
