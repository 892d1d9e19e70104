//! What the catalog of a database says of everything that migrations make.

use std::collections::BTreeMap;

use sqlx::{PgConnection, Row as _};

use crate::postgres::ask::{Change, Object};

/// Everything with a definition, but for the system's, the ledgers', and what belongs to an extension.
const OBJECTS: &str = r#"
WITH s AS (
    SELECT oid, nspname FROM pg_namespace
    WHERE nspname NOT LIKE 'pg\_%' AND nspname NOT IN ('information_schema', 'switchback')
), owned AS (
    SELECT classid, objid FROM pg_depend WHERE deptype = 'e'
), rel AS (
    SELECT c.*, s.nspname, quote_ident(s.nspname) || '.' || quote_ident(c.relname) AS name
    FROM pg_class c JOIN s ON s.oid = c.relnamespace
    WHERE NOT EXISTS (SELECT FROM owned WHERE classid = 'pg_class'::regclass AND objid = c.oid)
)
SELECT 'schema' AS kind, quote_ident(nspname) AS name, '' AS definition FROM s
    WHERE NOT EXISTS (SELECT FROM owned WHERE classid = 'pg_namespace'::regclass AND objid = s.oid)
UNION ALL SELECT 'extension', quote_ident(extname), extversion FROM pg_extension
UNION ALL SELECT
    CASE relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'S' THEN 'sequence' WHEN 'f' THEN 'foreign table'
        ELSE 'table' END, name,
    concat_ws(' ', CASE relpersistence WHEN 'u' THEN 'unlogged' END,
        CASE WHEN relkind IN ('v', 'm') THEN pg_get_viewdef(oid) END,
        CASE WHEN relkind = 'p' THEN 'partition by ' || pg_get_partkeydef(oid) END,
        CASE WHEN relispartition THEN pg_get_expr(relpartbound, oid) END,
        CASE WHEN relrowsecurity THEN 'row level security' END,
        CASE WHEN relforcerowsecurity THEN 'forced' END)
    FROM rel WHERE relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
UNION ALL SELECT 'column', rel.name || '.' || quote_ident(attname),
    concat_ws(' ', format_type(atttypid, atttypmod), CASE WHEN attnotnull THEN 'not null' END,
        CASE WHEN attidentity <> '' THEN 'identity ' || attidentity::text END,
        CASE WHEN attgenerated <> '' THEN 'generated' WHEN atthasdef THEN 'default' END, pg_get_expr(adbin, adrelid))
    FROM pg_attribute a JOIN rel ON rel.oid = attrelid LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
    WHERE relkind IN ('r', 'p', 'f', 'c') AND attnum > 0 AND NOT attisdropped
UNION ALL SELECT 'constraint', rel.name || '.' || quote_ident(conname), pg_get_constraintdef(k.oid)
    FROM pg_constraint k JOIN rel ON rel.oid = conrelid
UNION ALL SELECT 'index', rel.name, pg_get_indexdef(oid) || CASE WHEN indisvalid THEN '' ELSE ' invalid' END
    FROM rel JOIN pg_index ON indexrelid = oid WHERE relkind IN ('i', 'I')
UNION ALL SELECT 'trigger', rel.name || '.' || quote_ident(tgname),
    pg_get_triggerdef(t.oid) || CASE tgenabled WHEN 'O' THEN '' ELSE ' ' || tgenabled::text END
    FROM pg_trigger t JOIN rel ON rel.oid = tgrelid WHERE NOT tgisinternal
UNION ALL SELECT 'policy', rel.name || '.' || quote_ident(polname),
    concat_ws(' ', polcmd::text, polpermissive::text, pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid))
    FROM pg_policy JOIN rel ON rel.oid = polrelid
UNION ALL SELECT 'rule', rel.name || '.' || quote_ident(rulename), pg_get_ruledef(r.oid)
    FROM pg_rewrite r JOIN rel ON rel.oid = ev_class WHERE rulename <> '_RETURN'
UNION ALL SELECT CASE prokind WHEN 'p' THEN 'procedure' WHEN 'a' THEN 'aggregate' ELSE 'function' END,
    quote_ident(s.nspname) || '.' || quote_ident(proname) || '(' || pg_get_function_identity_arguments(p.oid) || ')',
    CASE prokind WHEN 'a' THEN pg_get_function_result(p.oid) ELSE pg_get_functiondef(p.oid) END
    FROM pg_proc p JOIN s ON s.oid = pronamespace
    WHERE NOT EXISTS (SELECT FROM owned WHERE classid = 'pg_proc'::regclass AND objid = p.oid)
UNION ALL SELECT CASE typtype WHEN 'd' THEN 'domain' ELSE 'type' END, quote_ident(s.nspname) || '.' || quote_ident(typname),
    concat_ws(' ', CASE WHEN typtype = 'd' THEN format_type(typbasetype, typtypmod) END, CASE WHEN typnotnull THEN 'not null' END,
        typdefault, (SELECT string_agg(quote_literal(enumlabel), ', ' ORDER BY enumsortorder) FROM pg_enum WHERE enumtypid = t.oid),
        (SELECT string_agg(pg_get_constraintdef(k.oid), ' ' ORDER BY conname) FROM pg_constraint k WHERE contypid = t.oid))
    FROM pg_type t JOIN s ON s.oid = typnamespace LEFT JOIN pg_class c ON c.oid = typrelid
    WHERE (typtype IN ('d', 'e', 'r') OR c.relkind = 'c')
        AND NOT EXISTS (SELECT FROM owned WHERE classid = 'pg_type'::regclass AND objid = t.oid)
"#;

/// All of it, by kind and name. Names are spelt out, whatever the search path: to be called in a transaction.
pub(super) async fn objects(tx: &mut PgConnection) -> sqlx::Result<Vec<Object>> {
    let path: String = sqlx::query_scalar("SELECT current_setting('search_path')").fetch_one(&mut *tx).await?;
    set_path(tx, "").await?;
    let rows = sqlx::query(OBJECTS).fetch_all(&mut *tx).await?;
    set_path(tx, &path).await?;
    let mut objects = rows
        .iter()
        .map(|row| {
            let definition: Option<String> = row.try_get(2)?;
            Ok(Object { kind: row.try_get(0)?, name: row.try_get(1)?, definition: definition.unwrap_or_default() })
        })
        .collect::<sqlx::Result<Vec<_>>>()?;
    objects.sort();
    Ok(objects)
}

async fn set_path(tx: &mut PgConnection, path: &str) -> sqlx::Result<()> {
    sqlx::query("SELECT set_config('search_path', $1, true)").bind(path).execute(&mut *tx).await.map(|_| ())
}

/// What became of what.
pub(super) fn changes(before: Vec<Object>, after: Vec<Object>) -> Vec<Change> {
    let mut all: BTreeMap<(String, String), (Option<String>, Option<String>)> = BTreeMap::new();
    for object in before {
        all.entry((object.kind, object.name)).or_default().0 = Some(object.definition);
    }
    for object in after {
        all.entry((object.kind, object.name)).or_default().1 = Some(object.definition);
    }
    all.into_iter()
        .filter(|(_, (was, is))| was != is)
        .map(|((kind, name), (was, is))| Change { kind, name, was, is })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_changed_and_dropped_is_said_and_nothing_else() {
        let object = |name: &str, definition: &str| Object {
            kind: "column".into(),
            name: name.into(),
            definition: definition.into(),
        };
        let before = vec![object("a", "integer"), object("b", "text"), object("c", "text")];
        let after = vec![object("a", "bigint"), object("b", "text"), object("d", "date")];
        let changes: Vec<_> = changes(before, after).into_iter().map(|c| (c.name, c.was, c.is)).collect();
        let text = |t: &str| Some(t.to_owned());
        assert_eq!(
            changes,
            [
                ("a".to_owned(), text("integer"), text("bigint")),
                ("c".to_owned(), text("text"), None),
                ("d".to_owned(), None, text("date"))
            ]
        );
    }
}
