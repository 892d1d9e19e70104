//! The items of a table, written to a file before the table is deleted.
//!
//! A line an item, in the form of DynamoDB's own exports to S3, so that `ImportTable` reads them back.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use aws_smithy_types::base64;
use serde_json::{Value, json};
use switchback_engine::Cx;
use switchback_engine::export::{self, Writer};
use switchback_model::{OpError, OpResult, canonical};

use super::client;
use crate::errors::{Call, op_error};

/// Writes the items of the table to a file of this step, page by page; an empty table leaves no file.
///
/// # Errors
/// Those of `dynamodb:Scan` and of the file system. Class `NotFound` when the table is gone.
pub(super) async fn export(cx: &Cx, name: &str) -> OpResult<()> {
    let mut pages = client(cx)?.scan().table_name(name).consistent_read(true).into_paginator().send();
    let mut writer = None;
    let mut count = 0;
    while let Some(page) = pages.next().await {
        let page = page.map_err(|e| op_error(Call::new("dynamodb:Scan", name), e))?;
        let lines: Vec<String> = page.items().iter().map(line).collect::<OpResult<_>>()?;
        if lines.is_empty() {
            continue;
        }
        count += lines.len();
        cx.progress(&format!("exporting {count} items of {name} before it is deleted"));
        let path = format!("{}/{}.jsonl", export::folder(cx), export::file_name(name));
        writer.get_or_insert_with(|| Writer::new(&path)).lines(cx, &lines).await?;
    }
    if let Some(writer) = writer {
        writer.finish(cx).await?;
    }
    Ok(())
}

fn line(item: &HashMap<String, AttributeValue>) -> OpResult<String> {
    let item: Value = item.iter().map(|(name, of)| Ok((name.clone(), value(of)?))).collect::<OpResult<_>>()?;
    canonical::to_string(&json!({ "Item": item }))
        .map_err(|e| OpError::permanent(format!("an item cannot be written as JSON: {e}")))
}

/// As DynamoDB's JSON has it: `{"N": "1"}`.
fn value(of: &AttributeValue) -> OpResult<Value> {
    Ok(match of {
        AttributeValue::B(bytes) => json!({ "B": base64::encode(bytes) }),
        AttributeValue::Bool(is) => json!({ "BOOL": is }),
        AttributeValue::Bs(all) => json!({ "BS": all.iter().map(base64::encode).collect::<Vec<_>>() }),
        AttributeValue::L(all) => json!({ "L": all.iter().map(value).collect::<OpResult<Vec<_>>>()? }),
        AttributeValue::M(all) => {
            let all: Value = all.iter().map(|(name, of)| Ok((name.clone(), value(of)?))).collect::<OpResult<_>>()?;
            json!({ "M": all })
        }
        AttributeValue::N(number) => json!({ "N": number }),
        AttributeValue::Ns(all) => json!({ "NS": all }),
        AttributeValue::Null(is) => json!({ "NULL": is }),
        AttributeValue::S(text) => json!({ "S": text }),
        AttributeValue::Ss(all) => json!({ "SS": all }),
        // What is not understood is not lost by a deletion.
        _ => return Err(OpError::permanent("an item holds a value of a kind that is unknown here")),
    })
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::primitives::Blob;

    use super::*;

    #[test]
    fn an_item_is_written_as_dynamodb_exports_it() {
        let list = AttributeValue::L(vec![AttributeValue::N("1.50".into()), AttributeValue::Null(true)]);
        let map = AttributeValue::M(HashMap::from([("Raw".into(), AttributeValue::B(Blob::new([0, 255])))]));
        let item = HashMap::from([
            ("Id".into(), AttributeValue::S("a\n\"b\"".into())),
            ("List".into(), list),
            ("Map".into(), map),
            ("On".into(), AttributeValue::Bool(false)),
            ("Sets".into(), AttributeValue::Ss(vec!["x".into()])),
        ]);
        assert_eq!(
            line(&item).unwrap(),
            r#"{"Item":{"Id":{"S":"a\n\"b\""},"List":{"L":[{"N":"1.50"},{"NULL":true}]},"Map":{"M":{"Raw":{"B":"AP8="}}},"On":{"BOOL":false},"Sets":{"SS":["x"]}}}"#
        );
    }
}
