//! DynamoDB: tables. Their settings and their items are in the notes.

use std::collections::BTreeMap;

use super::Thing;
use crate::query::Tags;

/// The section of DynamoDB.
#[derive(Debug, Clone, Default)]
pub(crate) struct DynamoDb {
    /// By ARN.
    pub(crate) tables: BTreeMap<String, Table>,
}

#[derive(Debug, Clone)]
pub(crate) struct Table {
    pub(crate) name: String,
    /// `CREATING` until it was changed once, then `UPDATING`: what it is while it is pending.
    pub(crate) while_pending: String,
    /// Names and types, `S`, `N` or `B`, of `HASH` and `RANGE`.
    pub(crate) keys: Vec<(String, String)>,
    pub(crate) backed_up: bool,
    pub(crate) tags: Tags,
}

impl DynamoDb {
    pub(super) fn things<'a>(&'a self, all: &mut BTreeMap<&'a str, Thing<'a>>) {
        for (arn, it) in &self.tables {
            let thing =
                Thing::new("dynamodb-table", &it.tags).with("name", it.name.as_str()).with("backed_up", it.backed_up);
            all.insert(arn, thing);
        }
    }
}
