//! A small reader of CREATE, DROP and ALTER TABLE: which things there are, and what they are called.

use std::collections::BTreeMap;

use switchback_data::postgres::ask::Object;
use switchback_data::postgres::sql::statements;
use switchback_model::{OpError, OpResult};

use super::refused;

/// What begins a part of a table that is no column.
const NO_COLUMN: [&str; 7] = ["CONSTRAINT", "PRIMARY", "FOREIGN", "UNIQUE", "CHECK", "EXCLUDE", "LIKE"];

/// Everything with a name, in one database.
#[derive(Debug, Clone, Default)]
pub(super) struct Schema {
    /// By kind and name.
    objects: BTreeMap<(String, String), String>,
    tables: BTreeMap<String, Table>,
}

/// A table.
#[derive(Debug, Clone, Default)]
pub(super) struct Table {
    pub(super) columns: Vec<String>,
    pub(super) key: Vec<String>,
}

/// A name in lower case, unless it is quoted, with its schema.
pub(super) fn qualified(name: &str) -> String {
    let plain: Vec<String> = name
        .split('.')
        .map(|part| {
            let quoted = part.strip_prefix('"').and_then(|p| p.strip_suffix('"'));
            quoted.map_or_else(|| part.to_lowercase(), str::to_owned)
        })
        .collect();
    if plain.len() == 1 { format!("public.{}", plain.concat()) } else { plain.join(".") }
}

/// The words of a statement; what is in brackets is one word.
fn words(statement: &str) -> Vec<String> {
    let (mut all, mut word, mut depth, mut quote) = (Vec::new(), String::new(), 0_usize, None);
    for c in statement.chars() {
        match (c, quote) {
            (_, Some(open)) => {
                if c == open {
                    quote = None;
                }
                word.push(c);
            }
            ('\'' | '"', None) => {
                quote = Some(c);
                word.push(c);
            }
            ('(', None) => {
                if depth == 0 && !word.is_empty() {
                    all.push(std::mem::take(&mut word));
                }
                depth += 1;
                word.push(c);
            }
            (')', None) => {
                word.push(c);
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    all.push(std::mem::take(&mut word));
                }
            }
            (c, None) if depth == 0 && (c.is_whitespace() || c == ',') => {
                if !word.is_empty() {
                    all.push(std::mem::take(&mut word));
                }
            }
            _ => word.push(c),
        }
    }
    if !word.is_empty() {
        all.push(word);
    }
    all
}

/// What is between commas in brackets.
fn parts(list: &str) -> Vec<String> {
    let inner = list.strip_prefix('(').and_then(|l| l.strip_suffix(')')).unwrap_or(list);
    let (mut all, mut part, mut depth, mut quote) = (Vec::new(), String::new(), 0_usize, None);
    for c in inner.chars() {
        match (c, quote) {
            (_, Some(open)) if c == open => quote = None,
            (_, Some(_)) => {}
            ('\'' | '"', None) => quote = Some(c),
            ('(', None) => depth += 1,
            (')', None) => depth = depth.saturating_sub(1),
            (',', None) if depth == 0 => {
                all.push(std::mem::take(&mut part));
                continue;
            }
            _ => {}
        }
        part.push(c);
    }
    all.push(part);
    all.into_iter().map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect()
}

fn unquoted(name: &str) -> String {
    qualified(name).trim_start_matches("public.").to_owned()
}

/// A statement, word by word.
struct Reader {
    words: std::vec::IntoIter<String>,
    peeked: Option<String>,
}

impl Reader {
    fn new(statement: &str) -> Self {
        Self { words: words(statement).into_iter(), peeked: None }
    }

    fn next(&mut self) -> String {
        self.peeked.take().or_else(|| self.words.next()).unwrap_or_default()
    }

    /// Takes this word, if it comes next.
    fn takes(&mut self, word: &str) -> bool {
        if self.peeked.is_none() {
            self.peeked = self.words.next();
        }
        let is = self.peeked.as_ref().is_some_and(|next| next.eq_ignore_ascii_case(word));
        if is {
            self.peeked = None;
        }
        is
    }

    /// Takes `IF EXISTS`, or `IF NOT EXISTS`.
    fn takes_if(&mut self) -> bool {
        let takes = self.takes("IF");
        if takes {
            self.takes("NOT");
            self.takes("EXISTS");
        }
        takes
    }

    fn rest(mut self) -> Vec<String> {
        let first = self.peeked.take();
        first.into_iter().chain(self.words).collect()
    }
}

impl Schema {
    pub(super) fn table(&self, name: &str) -> Option<&Table> {
        self.tables.get(name)
    }

    /// By kind and name.
    pub(super) fn objects(&self) -> Vec<Object> {
        let of = |((kind, name), definition): (&(String, String), &String)| Object {
            kind: kind.clone(),
            name: name.strip_prefix("public.").filter(|_| kind == "schema").unwrap_or(name).to_owned(),
            definition: definition.clone(),
        };
        self.objects.iter().map(of).collect()
    }

    /// Does what a script says; when a part of it fails, the caller keeps what was before.
    pub(super) fn run(&mut self, script: &str) -> OpResult<()> {
        statements(script).iter().try_for_each(|statement| self.statement(statement))
    }

    fn statement(&mut self, statement: &str) -> OpResult<()> {
        let mut reader = Reader::new(statement);
        match reader.next().to_uppercase().as_str() {
            "CREATE" => self.create(reader, statement),
            "DROP" => self.drop(reader),
            "ALTER" if reader.takes("TABLE") => self.alter(reader),
            _ => Ok(()),
        }
    }

    fn make(&mut self, kind: &str, name: String, definition: String, code: &str, lenient: Lenient) -> OpResult<bool> {
        let key = (kind.to_owned(), name);
        match lenient {
            Lenient::Leave if self.objects.contains_key(&key) => return Ok(false),
            Lenient::No if self.objects.contains_key(&key) => {
                return Err(refused(code, format!("{kind} {} already exists", key.1)));
            }
            _ => {}
        }
        self.objects.insert(key, definition);
        Ok(true)
    }

    fn create(&mut self, mut reader: Reader, statement: &str) -> OpResult<()> {
        let replaces = reader.takes("OR") && reader.takes("REPLACE");
        for word in ["UNIQUE", "CONSTRAINT", "UNLOGGED", "MATERIALIZED", "GLOBAL", "LOCAL"] {
            reader.takes(word);
        }
        let kind = reader.next().to_uppercase();
        let lenient = match (reader.takes_if(), replaces) {
            (true, _) => Lenient::Leave,
            (_, true) => Lenient::Replace,
            _ => Lenient::No,
        };
        let definition = statement.to_owned();
        match kind.as_str() {
            "SCHEMA" => self.make("schema", unquoted(&reader.next()), String::new(), "42P06", lenient).map(|_| ()),
            "TABLE" => self.create_table(reader, lenient),
            "INDEX" => {
                let name = reader.next();
                reader.takes("ON");
                reader.takes("ONLY");
                let table = self.known(&reader.next())?;
                if reader.takes("USING") {
                    reader.next();
                }
                let held = self.tables.get(&table).map(|table| table.columns.as_slice()).unwrap_or_default();
                for part in parts(&reader.next()) {
                    let column = words(&part).first().map(|word| unquoted(word)).unwrap_or_default();
                    // An expression is taken as it is.
                    let is_name = !part.contains('(') && !column.is_empty();
                    if is_name && !held.contains(&column) {
                        return Err(refused("42703", format!("column {column} does not exist")));
                    }
                }
                let schema = table.split('.').next().unwrap_or_default();
                self.make("index", format!("{schema}.{}", unquoted(&name)), definition, "42P07", lenient).map(|_| ())
            }
            "TRIGGER" => {
                let name = unquoted(&reader.next());
                while !reader.takes("ON") {
                    if reader.next().is_empty() {
                        return Err(refused("42601", "a trigger without a table".to_owned()));
                    }
                }
                let table = self.known(&reader.next())?;
                self.make("trigger", format!("{table}.{name}"), definition, "42710", lenient).map(|_| ())
            }
            "FUNCTION" | "PROCEDURE" => {
                let (name, arguments) = (qualified(&reader.next()), reader.next());
                let kind = kind.to_lowercase();
                self.make(&kind, format!("{name}{arguments}"), definition, "42723", lenient).map(|_| ())
            }
            "VIEW" | "SEQUENCE" | "TYPE" | "DOMAIN" => {
                let name = qualified(&reader.next());
                let code = if kind == "VIEW" || kind == "SEQUENCE" { "42P07" } else { "42710" };
                self.make(&kind.to_lowercase(), name, definition, code, lenient).map(|_| ())
            }
            _ => Ok(()),
        }
    }

    fn create_table(&mut self, mut reader: Reader, lenient: Lenient) -> OpResult<()> {
        let name = qualified(&reader.next());
        self.in_schema(&name)?;
        if !self.make("table", name.clone(), String::new(), "42P07", lenient)? {
            return Ok(());
        }
        let mut table = Table::default();
        for part in parts(&reader.next()) {
            let words = words(&part);
            let first = words.first().map_or("", String::as_str);
            if NO_COLUMN.iter().any(|word| first.eq_ignore_ascii_case(word)) {
                if let Some(at) = words.iter().position(|w| w.eq_ignore_ascii_case("PRIMARY")) {
                    table.key = words.get(at + 2).map(|list| parts(list)).unwrap_or_default();
                    table.key.iter_mut().for_each(|column| *column = unquoted(column));
                }
                continue;
            }
            let column = unquoted(first);
            if part.to_uppercase().contains("PRIMARY KEY") {
                table.key = vec![column.clone()];
            }
            let definition = words.get(1..).unwrap_or_default().join(" ");
            self.objects.insert(("column".to_owned(), format!("{name}.{column}")), definition);
            table.columns.push(column);
        }
        self.tables.insert(name, table);
        Ok(())
    }

    /// The schema of this name is there.
    fn in_schema(&self, name: &str) -> OpResult<()> {
        let schema = name.split('.').next().unwrap_or_default();
        if schema == "public" || self.objects.contains_key(&("schema".to_owned(), schema.to_owned())) {
            return Ok(());
        }
        Err(refused("3F000", format!("schema {schema} does not exist")))
    }

    /// A table that is there.
    fn known(&self, name: &str) -> OpResult<String> {
        let name = qualified(name);
        self.in_schema(&name)?;
        if self.tables.contains_key(&name) { Ok(name) } else { Err(missing("42P01", &name)) }
    }

    /// Takes away what has this name, and what belongs to it. Whether there was something.
    fn remove(&mut self, kind: &str, name: &str) -> bool {
        let there = self.objects.remove(&(kind.to_owned(), name.to_owned())).is_some();
        if kind == "table" && there {
            self.tables.remove(name);
            let inside = format!("{name}.");
            let on_table = |definition: &str| {
                let words = words(definition);
                let at = words.iter().position(|w| w.eq_ignore_ascii_case("ON"));
                at.and_then(|at| words.get(at + 1)).is_some_and(|table| qualified(table) == name)
            };
            self.objects.retain(|(kind, object), definition| {
                let of_table = ["column", "trigger"].contains(&kind.as_str()) && object.starts_with(&inside);
                let index = kind == "index" && on_table(definition);
                !of_table && !index
            });
        }
        there
    }

    fn drop(&mut self, mut reader: Reader) -> OpResult<()> {
        reader.takes("MATERIALIZED");
        let kind = reader.next().to_lowercase();
        let lenient = reader.takes_if();
        let rest = reader.rest();
        let cascade = rest.last().is_some_and(|word| word.eq_ignore_ascii_case("CASCADE"));
        let names = rest.iter().filter(|w| !["CASCADE", "RESTRICT"].contains(&w.to_uppercase().as_str()));
        if kind == "trigger" {
            let (Some(name), Some(table)) = (rest.first(), rest.get(2)) else { return Ok(()) };
            let name = format!("{}.{}", self.known(table)?, unquoted(name));
            return if self.remove("trigger", &name) || lenient { Ok(()) } else { Err(missing("42704", &name)) };
        }
        for name in names.filter(|name| !name.starts_with('(')) {
            let gone = match kind.as_str() {
                "schema" => {
                    let name = unquoted(name);
                    let inside = format!("{name}.");
                    let held: Vec<_> = self.objects.keys().filter(|(_, o)| o.starts_with(&inside)).cloned().collect();
                    if !held.is_empty() && !cascade && self.objects.contains_key(&(kind.clone(), name.clone())) {
                        return Err(refused("2BP01", format!("schema {name} is not empty")));
                    }
                    for (kind, name) in held {
                        self.remove(&kind, &name);
                    }
                    self.remove("schema", &name)
                }
                "function" | "procedure" => {
                    let begin = format!("{}(", qualified(name));
                    let found = self.objects.keys().find(|(k, o)| *k == kind && o.starts_with(&begin)).cloned();
                    found.is_some_and(|(kind, name)| self.remove(&kind, &name))
                }
                "table" | "index" | "view" | "sequence" | "type" | "domain" => self.remove(&kind, &qualified(name)),
                _ => true,
            };
            if !gone && !lenient {
                let code = match kind.as_str() {
                    "table" | "view" | "sequence" => "42P01",
                    "schema" => "3F000",
                    "function" | "procedure" => "42883",
                    _ => "42704",
                };
                return Err(missing(code, name));
            }
        }
        Ok(())
    }

    /// Columns come and go; everything else is passed over.
    fn alter(&mut self, mut reader: Reader) -> OpResult<()> {
        let lenient = reader.takes_if();
        reader.takes("ONLY");
        let name = reader.next();
        let name = match self.known(&name) {
            Ok(name) => name,
            Err(_) if lenient => return Ok(()),
            Err(e) => return Err(e),
        };
        let adds = reader.takes("ADD");
        if !adds && !reader.takes("DROP") {
            return Ok(());
        }
        let says_column = reader.takes("COLUMN");
        let lenient = reader.takes_if();
        let column = reader.next();
        if !says_column && NO_COLUMN.iter().any(|word| column.eq_ignore_ascii_case(word)) {
            return Ok(());
        }
        let column = unquoted(&column);
        let definition = reader.rest().join(" ");
        let key = ("column".to_owned(), format!("{name}.{column}"));
        let Some(table) = self.tables.get_mut(&name) else { return Ok(()) };
        let there = table.columns.contains(&column);
        match (adds, there) {
            (true, true) if !lenient => Err(refused("42701", format!("column {column} already exists"))),
            (true, false) => {
                table.columns.push(column);
                self.objects.insert(key, definition);
                Ok(())
            }
            (false, true) => {
                table.columns.retain(|c| *c != column);
                self.objects.remove(&key);
                Ok(())
            }
            (false, false) if !lenient => Err(missing("42703", &column)),
            _ => Ok(()),
        }
    }
}

/// What happens when the name is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lenient {
    No,
    Leave,
    Replace,
}

fn missing(code: &str, name: &str) -> OpError {
    refused(code, format!("{name} does not exist"))
}
