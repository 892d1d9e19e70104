//! As much of SQL as must be understood without a server: where statements end, and what they begin with.

/// The statements of a script: without comments, the whitespace between words made one space, strings as they are.
#[must_use]
pub fn statements(script: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut now = String::new();
    let mut rest = script;
    while let Some(c) = rest.chars().next() {
        let taken = if rest.starts_with("--") {
            blank(&mut now);
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            blank(&mut now);
            comment(rest)
        } else if c == '\'' {
            // In E'..' a backslash takes the next character with it.
            let escapes = now.ends_with(['e', 'E']) && !ends_in_word(now.get(..now.len() - 1).unwrap_or_default());
            push(&mut now, rest, quoted(rest, '\'', escapes))
        } else if c == '"' {
            push(&mut now, rest, quoted(rest, '"', false))
        } else if c == '$' && !ends_in_word(&now) {
            push(&mut now, rest, dollar(rest))
        } else if c == ';' {
            finish(&mut all, &mut now);
            1
        } else if c.is_whitespace() {
            blank(&mut now);
            c.len_utf8()
        } else {
            now.push(c);
            c.len_utf8()
        };
        rest = rest.get(taken..).unwrap_or_default();
    }
    finish(&mut all, &mut now);
    all
}

fn finish(all: &mut Vec<String>, now: &mut String) {
    let statement = now.trim();
    if !statement.is_empty() {
        all.push(statement.to_owned());
    }
    now.clear();
}

fn blank(now: &mut String) {
    if !now.is_empty() && !now.ends_with(' ') {
        now.push(' ');
    }
}

fn push(now: &mut String, rest: &str, length: usize) -> usize {
    now.push_str(rest.get(..length).unwrap_or_default());
    length
}

fn ends_in_word(text: &str) -> bool {
    text.chars().next_back().is_some_and(|c| c.is_alphanumeric() || c == '_')
}

/// The length of a comment with those inside of it.
fn comment(text: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        if rest.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

/// The length of what is in these quotes, with them.
fn quoted(text: &str, quote: char, escapes: bool) -> usize {
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        if c == quote {
            // Two of them stand for one: the rest is read as a string that begins right here.
            return at + 1;
        }
        if escapes && c == '\\' {
            chars.next();
        }
    }
    text.len()
}

/// The length of what is between `$tag$` and `$tag$`, with them; 1 where no such thing begins.
fn dollar(text: &str) -> usize {
    let inner = text.get(1..).unwrap_or_default();
    let end = inner.find(|c: char| !(c.is_alphanumeric() || c == '_'));
    let Some(end) = end.filter(|end| inner.get(*end..).is_some_and(|rest| rest.starts_with('$'))) else { return 1 };
    if inner.starts_with(|c: char| c.is_ascii_digit()) {
        return 1;
    }
    let tag = text.get(..end + 2).unwrap_or_default();
    text.get(tag.len()..).and_then(|body| body.find(tag)).map_or(text.len(), |at| at + 2 * tag.len())
}

/// The first words of a statement, in capitals.
#[must_use]
pub fn head(statement: &str, words: usize) -> Vec<String> {
    statement.split([' ', '(']).filter(|w| !w.is_empty()).take(words).map(str::to_uppercase).collect()
}

/// Why a statement cannot be a part of a migration; none: it can.
#[must_use]
pub fn refused(statement: &str) -> Option<&'static str> {
    const NO_TRANSACTION: &str = "cannot run in a transaction, and a migration is one";
    const OWN_TRANSACTION: &str = "begins or ends a transaction: a migration is one already";
    let words = head(statement, 6);
    let word = |i: usize| words.get(i).map_or("", String::as_str);
    let concurrently = words.iter().any(|w| w == "CONCURRENTLY");
    match (word(0), word(1)) {
        _ if statement.starts_with('\\') => Some("is a command of psql, not SQL"),
        ("CREATE" | "DROP" | "REINDEX", _) if concurrently => Some(NO_TRANSACTION),
        ("CREATE" | "DROP", "DATABASE" | "TABLESPACE" | "SUBSCRIPTION") | ("VACUUM", _) => Some(NO_TRANSACTION),
        ("ALTER", "SYSTEM") | ("REINDEX", "DATABASE" | "SYSTEM") => Some(NO_TRANSACTION),
        ("ALTER", "DATABASE") if words.iter().any(|w| w == "TABLESPACE") => Some(NO_TRANSACTION),
        ("ALTER", "TABLE")
            if statement.to_uppercase().contains(" DETACH PARTITION ")
                && statement.to_uppercase().ends_with(" CONCURRENTLY") =>
        {
            Some(NO_TRANSACTION)
        }
        ("BEGIN" | "COMMIT" | "END" | "ROLLBACK" | "ABORT" | "SAVEPOINT" | "RELEASE", _) | ("START", "TRANSACTION") => {
            Some(OWN_TRANSACTION)
        }
        ("PREPARE", "TRANSACTION") => Some(OWN_TRANSACTION),
        ("COPY", _) if words.iter().any(|w| w == "STDIN" || w == "STDOUT") => {
            Some("reads or writes a stream that a migration has not")
        }
        ("SET", "ROLE" | "SESSION") => Some("would be in force for the ledger too: use SET LOCAL ROLE"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_end_where_the_server_ends_them() {
        let script = "-- one; not yet\nCREATE  TABLE a (b text DEFAULT ';');\n/* x; /* y; */ z; */\n\
            CREATE FUNCTION f() RETURNS trigger AS $$ BEGIN; NEW.a = $1; END; $$ LANGUAGE plpgsql;\n\
            SELECT 'it''s; one', E'\\';', \"a;b\", $tag$ $$ ; $tag$;;\n SELECT a$b$c";
        assert_eq!(
            statements(script),
            [
                "CREATE TABLE a (b text DEFAULT ';')",
                "CREATE FUNCTION f() RETURNS trigger AS $$ BEGIN; NEW.a = $1; END; $$ LANGUAGE plpgsql",
                "SELECT 'it''s; one', E'\\';', \"a;b\", $tag$ $$ ; $tag$",
                "SELECT a$b$c",
            ]
        );
        // Nothing that is left open is read beyond its end.
        for open in ["'x;", "\"x;", "$$ x;", "/* x;", "E'\\", "$", "$1;", "ä'ä;"] {
            assert!(statements(open).len() <= 2, "{open}");
        }
    }

    #[test]
    fn what_cannot_be_in_a_transaction_is_refused() {
        for bad in [
            "create index concurrently i on t (a)",
            "CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS i ON t (a)",
            "DROP INDEX CONCURRENTLY i",
            "CREATE DATABASE x",
            "VACUUM",
            "COMMIT",
            "begin",
            "START TRANSACTION",
            "\\c mistersmith",
            "ALTER SYSTEM SET a = 1",
            "ALTER TABLE a DETACH PARTITION b CONCURRENTLY",
            "COPY a FROM STDIN",
        ] {
            assert!(refused(&statements(bad)[0]).is_some(), "{bad}");
        }
        for good in ["CREATE INDEX i ON t (a)", "CREATE TABLE t (commit int)", "SELECT 1", "SET LOCAL ROLE app"] {
            assert_eq!(refused(good), None, "{good}");
        }
    }
}
