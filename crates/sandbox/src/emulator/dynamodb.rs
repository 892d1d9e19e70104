//! DynamoDB: between the emulator's state view and the section of the picture; and its expressions, which are evaluated
//! by the emulator's own code. Items are kept in the notes: a look at the emulator would copy all of them.

use std::collections::HashMap;

use serde::de::DeserializeOwned;
use serde_json::Value;
use winterbaume_dynamodb::DynamodbStateView;
use winterbaume_dynamodb::expr;
use winterbaume_dynamodb::types::AttributeValue;
use winterbaume_dynamodb::views::{ContinuousBackupsConfigView, DynamoDbTagView, KeySchemaElementView, TableStateView};

use super::Emulator;
use crate::items::{Key, Number, Part};
use crate::picture::dynamodb::{DynamoDb, Table};
use crate::query::Tags;

/// An item: attributes by name.
pub(crate) type Item = HashMap<String, AttributeValue>;

/// Reads all that exists.
pub(super) fn picture_of(view: &DynamodbStateView) -> DynamoDb {
    let tables = view.tables.values().map(|it| {
        let hash = (it.hash_key_attr.clone(), it.hash_key_type.clone());
        let range = it.range_key_attr.clone().zip(it.range_key_type.clone());
        let tags = view.tags.get(&it.arn).into_iter().flatten();
        let table = Table {
            name: it.name.clone(),
            while_pending: it.table_status.clone(),
            keys: std::iter::once(hash).chain(range).collect(),
            backed_up: view.continuous_backups.get(&it.name).is_some_and(|of| of.point_in_time_recovery_enabled),
            tags: tags.map(|tag| (tag.key.clone(), tag.value.clone())).collect(),
        };
        (it.arn.clone(), table)
    });
    DynamoDb { tables: tables.collect() }
}

impl Emulator {
    /// Makes a table, or makes it this.
    pub(crate) async fn put_table(&self, arn: &str, it: Table) {
        self.edit(|view: &mut DynamodbStateView| {
            let tag = |(key, value)| DynamoDbTagView { key, value };
            view.tags.insert(arn.to_owned(), it.tags.into_iter().map(tag).collect());
            let backups = ContinuousBackupsConfigView { point_in_time_recovery_enabled: it.backed_up };
            view.continuous_backups.insert(it.name.clone(), backups);
            let key = |(name, kind): (&(String, String), &str)| KeySchemaElementView {
                attribute_name: name.0.clone(),
                key_type: kind.to_owned(),
            };
            let (hash, range) = (it.keys.first().cloned().unwrap_or_default(), it.keys.get(1).cloned());
            let made = TableStateView {
                name: it.name.clone(),
                arn: arn.to_owned(),
                key_schema: it.keys.iter().zip(["HASH", "RANGE"]).map(key).collect(),
                attribute_definitions: Vec::new(),
                billing_mode: String::new(),
                provisioned_throughput: None,
                creation_date_time: jiff::Timestamp::UNIX_EPOCH.to_string(),
                table_status: it.while_pending,
                hash_key_attr: hash.0,
                hash_key_type: hash.1,
                range_key_attr: range.as_ref().map(|of| of.0.clone()),
                range_key_type: range.map(|of| of.1),
                items: HashMap::new(),
                stream_enabled: false,
                stream_view_type: None,
                latest_stream_arn: None,
                latest_stream_label: None,
                global_secondary_index: Vec::new(),
                local_secondary_index: Vec::new(),
                replica: Vec::new(),
                import_table: None,
                on_demand_throughput: None,
            };
            view.tables.insert(it.name, made);
        })
        .await;
    }

    /// Takes a table away.
    pub(crate) async fn drop_table(&self, arn: &str) {
        self.edit(|view: &mut DynamodbStateView| {
            view.tables.retain(|_, it| it.arn != arn);
            view.tags.remove(arn);
            let tables = &view.tables;
            view.continuous_backups.retain(|name, _| tables.contains_key(name));
        })
        .await;
    }

    /// The tags of a table.
    pub(crate) async fn set_table_tags(&self, arn: &str, tags: Tags) {
        self.edit(|view: &mut DynamodbStateView| {
            let tag = |(key, value)| DynamoDbTagView { key, value };
            view.tags.insert(arn.to_owned(), tags.into_iter().map(tag).collect());
        })
        .await;
    }
}

/// An item, an expression's values or names, out of a call.
pub(crate) fn read<T: DeserializeOwned + Default>(given: Option<&Value>) -> Result<T, String> {
    given.map_or_else(|| Ok(T::default()), |given| T::deserialize(given).map_err(|error| error.to_string()))
}

/// The part of a key that an attribute is. `None` when it is not of this type.
pub(crate) fn part(item: &Item, name: &str, kind: &str) -> Option<Part> {
    match (item.get(name)?, kind) {
        (AttributeValue::S(text), "S") if !text.is_empty() => Some(Part::Text(text.clone())),
        (AttributeValue::N(text), "N") => Number::parse(text).map(Part::Number),
        (AttributeValue::B(text), "B") if !text.is_empty() => Some(Part::Bytes(text.clone())),
        _ => None,
    }
}

/// The key of an item by these attributes.
pub(crate) fn key(item: &Item, keys: &[(String, String)]) -> Option<Key> {
    let mut parts = keys.iter().map(|(name, kind)| part(item, name, kind));
    let hash = parts.next()??;
    match parts.next() {
        None => Some(Key(hash, None)),
        Some(range) => Some(Key(hash, Some(range?))),
    }
}

/// An expression with what its placeholders stand for.
pub(crate) struct Expression {
    names: HashMap<String, String>,
    values: HashMap<String, AttributeValue>,
}

impl Expression {
    /// Those of a call.
    pub(crate) fn of(names: Option<&Value>, values: Option<&Value>) -> Result<Self, String> {
        Ok(Self { names: read(names)?, values: read(values)? })
    }

    /// What tells whether an item is as the text says. Without a text all are.
    pub(crate) fn condition(&self, text: Option<&str>) -> Result<impl Fn(&Item) -> bool, String> {
        let parsed = text.map(|text| expr::parse_expression(text, &self.names, &self.values)).transpose()?;
        Ok(move |item: &Item| parsed.as_ref().is_none_or(|parsed| expr::evaluate(parsed, item)))
    }

    /// What leaves of an item what the text names. Without a text all of it.
    pub(crate) fn projection(&self, text: Option<&str>) -> Result<impl Fn(&Item) -> Item, String> {
        let paths = expr::parse_projection_expression(text, &self.names).map_err(|error| format!("{error:?}"))?;
        Ok(move |item: &Item| paths.as_ref().map_or_else(|| item.clone(), |paths| expr::apply_projection(item, paths)))
    }

    /// Changes an item as the text says.
    pub(crate) fn update(&self, text: &str, item: &mut Item) -> Result<(), String> {
        let actions = expr::parse_update_expression(text, &self.names, &self.values)?;
        expr::apply_update_actions(item, &actions)
    }
}

/// How many bytes DynamoDB counts for an item: its names, its values, and three for a list or a map.
pub(crate) fn size(item: &Item) -> usize {
    item.iter().map(|(name, value)| name.len() + size_of(value)).sum()
}

fn size_of(value: &AttributeValue) -> usize {
    match value {
        AttributeValue::S(text) => text.len(),
        AttributeValue::N(text) => text.len() / 2 + 1,
        AttributeValue::B(text) => text.len() / 4 * 3,
        AttributeValue::Bool(_) | AttributeValue::Null(_) => 1,
        AttributeValue::SS(all) => all.iter().map(String::len).sum(),
        AttributeValue::NS(all) => all.iter().map(|text| text.len() / 2 + 1).sum(),
        AttributeValue::BS(all) => all.iter().map(|text| text.len() / 4 * 3).sum(),
        AttributeValue::L(all) => 3 + all.iter().map(|value| 1 + size_of(value)).sum::<usize>(),
        AttributeValue::M(all) => 3 + all.iter().map(|(name, value)| 1 + name.len() + size_of(value)).sum::<usize>(),
    }
}
