//! Tables.
//!
//! ```text
//!          create            slow            delete             slow
//! (none) --------> CREATING ------> ACTIVE ---------> DELETING ------> (none)
//!                                    |  ^
//!                             update v  | settle
//!                                  UPDATING
//! ```

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::super::Desk;
use super::{arn_of, fact, find, invalid, status, wrong_value};
use crate::input::Body;
use crate::picture::dynamodb::Table;
use crate::query::{Tags, check_tag_count};
use crate::refusal::Refusal;
use crate::service::Service;

/// What it was made with, in AWS's words.
const SETTINGS: &str = "settings";
/// Those that are kept.
const KEPT: [&str; 8] = [
    "AttributeDefinitions",
    "BillingMode",
    "DeletionProtectionEnabled",
    "GlobalSecondaryIndexes",
    "KeySchema",
    "LocalSecondaryIndexes",
    "ProvisionedThroughput",
    "StreamSpecification",
];

fn in_use(message: String) -> Refusal {
    Refusal::new("ResourceInUseException", message)
}

fn tags(body: &Body) -> Result<Tags, Refusal> {
    let tags = body.tags("Tags", "Key", "Value")?;
    if tags.keys().any(|key| key.is_empty() || key.starts_with("aws:")) {
        return Err(invalid("A tag key is empty, or begins with aws:"));
    }
    check_tag_count(tags.len()).map_err(|_| invalid("Too many tags"))?;
    Ok(tags)
}

/// The names in a key, `HASH` first.
fn key_names(keys: Option<&Value>) -> Result<Vec<String>, Refusal> {
    let keys = keys.and_then(Value::as_array).ok_or_else(|| Refusal::null("keySchema"))?;
    let types: Vec<&str> = keys.iter().filter_map(|key| key["KeyType"].as_str()).collect();
    if types != ["HASH"] && types != ["HASH", "RANGE"] {
        return Err(invalid("Invalid KeySchema: The first KeySchemaElement is not a HASH key type"));
    }
    Ok(keys.iter().filter_map(|key| key["AttributeName"].as_str()).map(str::to_owned).collect())
}

pub(super) async fn create(desk: &mut Desk<'_>, body: &Body) -> Result<Value, Refusal> {
    let name = body.required("TableName")?;
    let fits = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    if !(3..=255).contains(&name.len()) || !name.chars().all(fits) {
        return Err(invalid(
            "TableName must be at least 3 characters long and at most 255 characters long, and can contain only a-z, \
             A-Z, 0-9, '_', '-', and '.'",
        ));
    }
    let tags = tags(body)?;
    let definitions: BTreeMap<&str, &str> = body
        .objects("AttributeDefinitions")?
        .into_iter()
        .filter_map(|it| Some((it.get("AttributeName")?.as_str()?, it.get("AttributeType")?.as_str()?)))
        .collect();
    let keys = key_names(body.get("KeySchema"))?;
    let mut used: BTreeSet<String> = keys.iter().cloned().collect();
    let on_demand = match body.text("BillingMode")?.unwrap_or("PROVISIONED") {
        "PROVISIONED" => false,
        "PAY_PER_REQUEST" => true,
        other => return Err(invalid(format!("Value '{other}' at 'billingMode' is not a billing mode"))),
    };
    throughput(body.get("ProvisionedThroughput"), on_demand, "the table")?;
    let indexes = ["GlobalSecondaryIndexes", "LocalSecondaryIndexes"];
    let mut names = BTreeSet::new();
    for of in indexes {
        for index in body.objects(of)? {
            let own = index.get("IndexName").and_then(Value::as_str).ok_or_else(|| Refusal::null("indexName"))?;
            if !names.insert(own) {
                return Err(wrong_value(format!("Duplicate index name: {own}")));
            }
            if index.get("Projection").and_then(|it| it.get("ProjectionType")).is_none() {
                return Err(wrong_value("Unknown ProjectionType: null"));
            }
            let own_keys = key_names(index.get("KeySchema"))?;
            if of == "LocalSecondaryIndexes" && own_keys.first() != keys.first() {
                return Err(wrong_value("Index KeySchema does not have the same leading hash key as table KeySchema"));
            }
            if of == "GlobalSecondaryIndexes" {
                throughput(index.get("ProvisionedThroughput"), on_demand, &format!("index: {own}"))?;
            }
            used.extend(own_keys);
        }
    }
    if let Some(missing) = used.iter().find(|name| !definitions.contains_key(name.as_str())) {
        return Err(wrong_value(format!(
            "Some index key attributes are not defined in AttributeDefinitions. Keys: [{missing}], \
             AttributeDefinitions: {:?}",
            definitions.keys()
        )));
    }
    if used.len() < definitions.len() {
        return Err(wrong_value(
            "Number of attributes in KeySchema does not exactly match number of attributes defined in \
             AttributeDefinitions",
        ));
    }
    let sse = sse(desk, body)?;
    let arn = arn_of(desk, name);
    if desk.picture().dynamodb.tables.contains_key(&arn) {
        return Err(in_use(format!("Table already exists: {name}")));
    }
    let kind = |name: &String| definitions.get(name.as_str()).copied().unwrap_or_default().to_owned();
    let made = Table {
        name: name.to_owned(),
        while_pending: "CREATING".to_owned(),
        keys: keys.iter().map(|name| (name.clone(), kind(name))).collect(),
        backed_up: false,
        tags,
    };
    let mut settings: Map<String, Value> =
        KEPT.iter().filter_map(|name| Some(((*name).to_owned(), body.get(name)?.clone()))).collect();
    settings.insert("BillingMode".to_owned(), json!(if on_demand { "PAY_PER_REQUEST" } else { "PROVISIONED" }));
    if let Some(sse) = sse {
        settings.insert("SSEDescription".to_owned(), sse);
    }
    desk.emulator.put_table(&arn, made).await;
    desk.look();
    let notes = desk.notes_mut();
    notes.number(&arn);
    notes.items.remove(&arn);
    notes.facts.entry(arn.clone()).or_default().insert(SETTINGS, Value::Object(settings));
    desk.ready_after(&arn, desk.settings.slow());
    Ok(json!({"TableDescription": described(desk, &arn)?}))
}

fn throughput(given: Option<&Value>, on_demand: bool, what: &str) -> Result<(), Refusal> {
    match given {
        None if !on_demand => Err(wrong_value(format!("No provisioned throughput specified for {what}"))),
        Some(_) if on_demand => Err(wrong_value(
            "Neither ReadCapacityUnits nor WriteCapacityUnits can be specified when BillingMode is PAY_PER_REQUEST",
        )),
        Some(given) => {
            let fits = |name: &str| given[name].as_i64().is_some_and(|units| units >= 1);
            match fits("ReadCapacityUnits") && fits("WriteCapacityUnits") {
                true => Ok(()),
                false => Err(invalid("Provisioned capacity must be 1 or more")),
            }
        }
        None => Ok(()),
    }
}

/// How it is encrypted, when not with a key of AWS's own.
fn sse(desk: &Desk<'_>, body: &Body) -> Result<Option<Value>, Refusal> {
    let Some(given) = body.get("SSESpecification").filter(|it| it["Enabled"] == true) else { return Ok(None) };
    let arn = match given["KMSMasterKeyId"].as_str() {
        None => desk.place.arn(Service::Kms, "key/5b0c5b0c-0000-4000-8000-000000000ddb"),
        Some(id) => {
            let key = super::super::kms::key_named(desk, id).filter(|(_, key)| key.state == "Enabled");
            let gone = || invalid(format!("KMS validation error: the key '{id}' does not exist or is not enabled"));
            key.map(|(_, key)| key.arn.clone()).ok_or_else(gone)?
        }
    };
    Ok(Some(json!({"Status": "ENABLED", "SSEType": "KMS", "KMSMasterKeyArn": arn})))
}

/// The id of a table, which no other table has.
fn id(desk: &Desk<'_>, arn: &str) -> String {
    format!("5b0c5b0c-0000-4000-8000-{:012x}", desk.notes().numbers.get(arn).copied().unwrap_or_default())
}

/// As describe calls show it.
fn described(desk: &Desk<'_>, arn: &str) -> Result<Value, Refusal> {
    let table = find(desk, arn)?;
    let settings = fact(desk, arn, SETTINGS);
    let state = status(desk, arn);
    let index_state = if state == "CREATING" { "CREATING" } else { "ACTIVE" };
    let (items, on_demand) = (desk.notes().items.get(arn), settings["BillingMode"] == "PAY_PER_REQUEST");
    let capacity = |given: &Value| {
        let units = |name: &str| given[name].as_i64().unwrap_or(0);
        json!({
            "NumberOfDecreasesToday": 0, "ReadCapacityUnits": units("ReadCapacityUnits"),
            "WriteCapacityUnits": units("WriteCapacityUnits"),
        })
    };
    let mut it = json!({
        "TableName": table.name, "TableArn": arn, "TableId": id(desk, arn), "TableStatus": state,
        "CreationDateTime": 0, "ItemCount": items.map_or(0, crate::items::Items::len), "TableSizeBytes": 0,
        "AttributeDefinitions": settings["AttributeDefinitions"], "KeySchema": settings["KeySchema"],
        "ProvisionedThroughput": capacity(&settings["ProvisionedThroughput"]),
        "DeletionProtectionEnabled": settings["DeletionProtectionEnabled"] == true,
    });
    if on_demand {
        it["BillingModeSummary"] = json!({"BillingMode": "PAY_PER_REQUEST"});
    }
    for of in ["GlobalSecondaryIndexes", "LocalSecondaryIndexes"] {
        let Some(indexes) = settings[of].as_array().filter(|all| !all.is_empty()) else { continue };
        let index = |index: &Value| {
            let mut index = index.clone();
            let name = index["IndexName"].as_str().unwrap_or_default();
            index["IndexArn"] = json!(format!("{arn}/index/{name}"));
            if of == "GlobalSecondaryIndexes" {
                index["IndexStatus"] = json!(index_state);
                index["ProvisionedThroughput"] = capacity(&index["ProvisionedThroughput"]);
            }
            index
        };
        it[of] = json!(indexes.iter().map(index).collect::<Vec<_>>());
    }
    if settings["StreamSpecification"]["StreamEnabled"] == true {
        it["StreamSpecification"] = settings["StreamSpecification"].clone();
        it["LatestStreamLabel"] = json!("1970-01-01T00:00:00.000");
        it["LatestStreamArn"] = json!(format!("{arn}/stream/1970-01-01T00:00:00.000"));
    }
    if let Some(sse) = settings.get("SSEDescription") {
        it["SSEDescription"] = sse.clone();
    }
    Ok(it)
}

/// The table of a call by its name or its ARN.
pub(super) fn named(desk: &Desk<'_>, body: &Body) -> Result<String, Refusal> {
    Ok(arn_of(desk, body.required("TableName")?))
}

pub(super) fn describe(desk: &Desk<'_>, body: &Body) -> Result<Value, Refusal> {
    Ok(json!({"Table": described(desk, &named(desk, body)?)?}))
}

pub(super) fn list(desk: &Desk<'_>, body: &Body) -> Result<Value, Refusal> {
    let size = usize::try_from(body.number("Limit")?.unwrap_or(100)).unwrap_or(100);
    let start = body.text("ExclusiveStartTableName")?.unwrap_or_default();
    let all = desk.picture().dynamodb.tables.values().map(|it| it.name.as_str());
    let mut names: Vec<&str> = all.filter(|name| *name > start).take(size + 1).collect();
    let mut page = json!({});
    if names.len() > size {
        names.truncate(size);
        page["LastEvaluatedTableName"] = json!(names.last());
    }
    page["TableNames"] = json!(names);
    Ok(page)
}

/// A table that can be changed: it is not being made, changed or deleted.
fn at_rest(desk: &Desk<'_>, arn: &str) -> Result<(), Refusal> {
    let name = &find(desk, arn)?.name;
    let what = match status(desk, arn).as_str() {
        "CREATING" => "created",
        "UPDATING" => "updated",
        "DELETING" => "deleted",
        _ => return Ok(()),
    };
    Err(in_use(format!("Attempt to change a resource which is still in use: Table is being {what}: {name}")))
}

pub(super) async fn update(desk: &mut Desk<'_>, body: &Body) -> Result<Value, Refusal> {
    const CHANGED: [&str; 4] =
        ["BillingMode", "DeletionProtectionEnabled", "ProvisionedThroughput", "StreamSpecification"];
    let arn = named(desk, body)?;
    at_rest(desk, &arn)?;
    let mut settings = fact(desk, &arn, SETTINGS);
    for name in CHANGED {
        if let Some(value) = body.get(name) {
            settings[name] = value.clone();
        }
    }
    if settings["BillingMode"] == "PAY_PER_REQUEST" {
        settings["ProvisionedThroughput"] = Value::Null;
    }
    let mut it = find(desk, &arn)?.clone();
    it.while_pending = "UPDATING".to_owned();
    desk.emulator.put_table(&arn, it).await;
    desk.look();
    desk.notes_mut().facts.entry(arn.clone()).or_default().insert(SETTINGS, settings);
    desk.settle(&arn);
    Ok(json!({"TableDescription": described(desk, &arn)?}))
}

pub(super) fn delete(desk: &mut Desk<'_>, body: &Body) -> Result<Value, Refusal> {
    let arn = named(desk, body)?;
    at_rest(desk, &arn)?;
    if fact(desk, &arn, SETTINGS)["DeletionProtectionEnabled"] == true {
        return Err(invalid(
            "Resource cannot be deleted as it is currently protected against deletion. Disable deletion protection \
             first.",
        ));
    }
    desk.notes_mut().items.remove(&arn);
    desk.end(&arn, desk.settings.slow());
    Ok(json!({"TableDescription": described(desk, &arn)?}))
}

pub(super) fn describe_backups(desk: &Desk<'_>, body: &Body) -> Result<Value, Refusal> {
    let arn = named(desk, body)?;
    let gone = |_| Refusal::new("TableNotFoundException", "Table not found");
    let on = find(desk, &arn).map_err(gone)?.backed_up;
    let state = if on { "ENABLED" } else { "DISABLED" };
    Ok(json!({"ContinuousBackupsDescription": {
        "ContinuousBackupsStatus": "ENABLED",
        "PointInTimeRecoveryDescription": {"PointInTimeRecoveryStatus": state},
    }}))
}

pub(super) async fn update_backups(desk: &mut Desk<'_>, body: &Body) -> Result<Value, Refusal> {
    let arn = named(desk, body)?;
    let gone = |_| Refusal::new("TableNotFoundException", "Table not found");
    let mut it = find(desk, &arn).map_err(gone)?.clone();
    if status(desk, &arn) != "ACTIVE" {
        let message = format!("Backups are being enabled for the table: {}. Please retry later", it.name);
        return Err(Refusal::new("ContinuousBackupsUnavailableException", message));
    }
    let given = body.get("PointInTimeRecoverySpecification").and_then(|it| it["PointInTimeRecoveryEnabled"].as_bool());
    it.backed_up = given.ok_or_else(|| Refusal::null("pointInTimeRecoverySpecification"))?;
    desk.emulator.put_table(&arn, it).await;
    desk.look();
    describe_backups(desk, body)
}

/// The table of a call about tags.
fn tagged(desk: &Desk<'_>, body: &Body) -> Result<(String, Tags), Refusal> {
    let arn = body.required("ResourceArn")?;
    let gone = || {
        Refusal::new("ResourceNotFoundException", format!("Requested resource not found: ResourcArn: {arn} not found"))
    };
    let it = desk.picture().dynamodb.tables.get(arn).ok_or_else(gone)?;
    Ok((arn.to_owned(), it.tags.clone()))
}

pub(super) fn list_tags(desk: &Desk<'_>, body: &Body) -> Result<Value, Refusal> {
    /// How many tags are on a page.
    const PAGE: usize = 10;
    let (_, tags) = tagged(desk, body)?;
    let start: usize = body.text("NextToken")?.and_then(|token| token.parse().ok()).unwrap_or(0);
    let page = tags.iter().skip(start).take(PAGE).map(|(key, value)| json!({"Key": key, "Value": value}));
    let mut reply = json!({"Tags": page.collect::<Vec<_>>()});
    if tags.len() > start + PAGE {
        reply["NextToken"] = json!((start + PAGE).to_string());
    }
    Ok(reply)
}

pub(super) async fn tag(desk: &mut Desk<'_>, body: &Body) -> Result<Value, Refusal> {
    let (arn, mut all) = tagged(desk, body)?;
    all.extend(tags(body)?);
    check_tag_count(all.len()).map_err(|_| invalid("Too many tags"))?;
    desk.emulator.set_table_tags(&arn, all).await;
    desk.look();
    Ok(json!({}))
}

pub(super) async fn untag(desk: &mut Desk<'_>, body: &Body) -> Result<Value, Refusal> {
    let (arn, mut all) = tagged(desk, body)?;
    for key in body.texts("TagKeys")? {
        all.remove(key);
    }
    desk.emulator.set_table_tags(&arn, all).await;
    desk.look();
    Ok(json!({}))
}
