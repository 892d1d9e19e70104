//! References inside of texts: `${inputs.region}`, `${vpc.vpc_id}`, `${subnet[1a].subnet_id}`,
//! `${subnet[*].subnet_id}`, `${each.value.port}`. `$${` stands for a literal `${`.
//!
//! This is the whole language: no functions, no operators, no nesting. What comes in through a
//! reference is a value and is never read again, so an input that holds `${...}` stays a text.
//! Whether what is referred to exists is the planner's business.
//!
//! ```text
//! reference = "${" name [ "[" ( key | "*" ) "]" ] { "." name } "}"
//! name      = letter or "_", then letters, digits, "_", "-"
//! key       = letters, digits, "_", ".", "-"
//! ```

use std::ops::Range;

/// A piece of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Characters as they are, unescaped.
    Text(String),
    /// A reference, with the bytes of the text from `$` to `}`.
    Ref(RefPath, Range<usize>),
}

/// A reference, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefPath {
    /// `inputs`, `each` or a step's id.
    pub root: RefField,
    /// What stands in brackets.
    pub selector: Option<(Selector, Range<usize>)>,
    /// The fields, outermost first.
    pub fields: Vec<RefField>,
}

/// A name in a reference, with its bytes of the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefField {
    /// The name.
    pub name: String,
    /// Its bytes.
    pub range: Range<usize>,
}

/// Which elements of a `for_each` a reference means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    /// `[1a]`: one of them.
    Key(String),
    /// `[*]`: all, as a list.
    All,
}

/// A malformed reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefError {
    /// What is wrong.
    pub message: String,
    /// The bytes of the text where it is wrong.
    pub range: Range<usize>,
    /// What to do.
    pub help: String,
}

/// Whether a character may stand in a key of a `for_each`.
#[must_use]
pub(crate) fn is_key_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-')
}

impl RefPath {
    /// As written, without the `${}`.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = self.root.name.clone();
        match &self.selector {
            Some((Selector::Key(key), _)) => text.push_str(&format!("[{key}]")),
            Some((Selector::All, _)) => text.push_str("[*]"),
            None => {}
        }
        for field in &self.fields {
            text.push('.');
            text.push_str(&field.name);
        }
        text
    }
}

/// Takes a text apart. A text without references is one part (or none, when it is empty).
///
/// # Errors
/// The first reference that is malformed.
pub fn parse_text(text: &str) -> Result<Vec<Part>, RefError> {
    let mut parts = Vec::new();
    let mut plain = String::new();
    let mut rest = 0;
    while let Some(found) = text.get(rest..).and_then(|t| t.find("${")) {
        let at = rest + found;
        if found > 0 && text.as_bytes().get(at - 1) == Some(&b'$') {
            // `$${`: drop one dollar, keep the rest.
            plain.push_str(text.get(rest..at - 1).unwrap_or(""));
            plain.push_str("${");
            rest = at + 2;
            continue;
        }
        plain.push_str(text.get(rest..at).unwrap_or(""));
        if !plain.is_empty() {
            parts.push(Part::Text(std::mem::take(&mut plain)));
        }
        let (path, end) = Cursor { text, at: at + 2, open: at }.reference()?;
        parts.push(Part::Ref(path, at..end));
        rest = end;
    }
    plain.push_str(text.get(rest..).unwrap_or(""));
    if !plain.is_empty() {
        parts.push(Part::Text(plain));
    }
    Ok(parts)
}

/// A step's id, and what stands in brackets behind it.
pub(crate) type TargetPath = (RefField, Option<(Selector, Range<usize>)>);

/// Reads `name` or `name[key]`, as `needs` has it.
///
/// # Errors
/// When it is something else.
pub(crate) fn parse_target(text: &str) -> Result<TargetPath, RefError> {
    let mut cursor = Cursor { text, at: 0, open: 0 };
    let root = cursor.name("a step's id")?;
    let selector = cursor.selector()?;
    if cursor.at < text.len() {
        return Err(cursor.unexpected("the end"));
    }
    Ok((root, selector))
}

struct Cursor<'a> {
    text: &'a str,
    at: usize,
    open: usize,
}

impl Cursor<'_> {
    fn peek(&self) -> Option<char> {
        self.text.get(self.at..)?.chars().next()
    }

    fn take_while(&mut self, accept: impl Fn(char) -> bool) -> RefField {
        let start = self.at;
        while let Some(c) = self.peek().filter(|c| accept(*c)) {
            self.at += c.len_utf8();
        }
        RefField { name: self.text.get(start..self.at).unwrap_or("").to_owned(), range: start..self.at }
    }

    fn reference(mut self) -> Result<(RefPath, usize), RefError> {
        let root = self.name("`inputs`, `each` or a step's id")?;
        let selector = self.selector()?;
        let mut fields = Vec::new();
        loop {
            match self.peek() {
                Some('.') => {
                    self.at += 1;
                    fields.push(self.name("a field's name")?);
                }
                Some('}') => return Ok((RefPath { root, selector, fields }, self.at + 1)),
                Some('[') if fields.is_empty() => return Err(self.unexpected("`.` or `}`")),
                Some('[') => {
                    return Err(RefError {
                        message: "a reference cannot index into a value".to_owned(),
                        range: self.at..self.at + 1,
                        help: "brackets select an element of a `for_each`: `${step[key].field}`".to_owned(),
                    });
                }
                _ => return Err(self.unexpected("`.` or `}`")),
            }
        }
    }

    fn name(&mut self, what: &str) -> Result<RefField, RefError> {
        let starts = self.peek().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
        if !starts {
            return Err(self.unexpected(what));
        }
        Ok(self.take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-')))
    }

    fn selector(&mut self) -> Result<Option<(Selector, Range<usize>)>, RefError> {
        if self.peek() != Some('[') {
            return Ok(None);
        }
        self.at += 1;
        let (selector, range) = if self.peek() == Some('*') {
            self.at += 1;
            (Selector::All, self.at - 1..self.at)
        } else {
            let key = self.take_while(is_key_char);
            if key.name.is_empty() {
                return Err(self.unexpected("a key or `*`"));
            }
            (Selector::Key(key.name), key.range)
        };
        if self.peek() != Some(']') {
            return Err(self.unexpected("`]`"));
        }
        self.at += 1;
        Ok(Some((selector, range)))
    }

    fn unexpected(&self, wanted: &str) -> RefError {
        let help = "write `${inputs.NAME}`, `${STEP.FIELD}`, `${STEP[KEY].FIELD}`, `${STEP[*].FIELD}` or `${each.value}`; \
                    `$${` stands for a literal `${`";
        match self.peek() {
            Some(c) => RefError {
                message: format!("unexpected `{}` in a reference, {wanted} expected", c.escape_debug()),
                range: self.at..self.at + c.len_utf8(),
                help: help.to_owned(),
            },
            None => RefError {
                message: format!("a reference ends too early, {wanted} expected"),
                range: self.open..self.text.len(),
                help: help.to_owned(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Parts in a short form: texts quoted, references bare.
    fn short(text: &str) -> String {
        match parse_text(text) {
            Ok(parts) => parts
                .iter()
                .map(|p| match p {
                    Part::Text(t) => format!("{t:?}"),
                    Part::Ref(r, range) => {
                        assert_eq!(text.get(range.clone()), Some(format!("${{{}}}", r.text()).as_str()));
                        r.text()
                    }
                })
                .collect::<Vec<_>>()
                .join(" + "),
            Err(e) => format!("{}..{}: {}", e.range.start, e.range.end, e.message),
        }
    }

    #[test]
    fn texts_are_taken_apart() {
        assert_eq!(short(""), "");
        assert_eq!(short("plain $5 {x}"), r#""plain $5 {x}""#);
        assert_eq!(short("${vpc.vpc_id}"), "vpc.vpc_id");
        assert_eq!(short("${subnet[1a].subnet_id}"), "subnet[1a].subnet_id");
        assert_eq!(short("${subnet[*].subnet_id}"), "subnet[*].subnet_id");
        assert_eq!(short("a${inputs.x}b${each.key}"), r#""a" + inputs.x + "b" + each.key"#);
        assert_eq!(short("${a.b}${c.d-e}"), "a.b + c.d-e");
    }

    #[test]
    fn a_doubled_dollar_escapes() {
        assert_eq!(short("$${x}"), r#""${x}""#);
        assert_eq!(short("a$${x} ${b.c}"), r#""a${x} " + b.c"#);
        assert_eq!(short("$$${x}"), r#""$${x}""#);
        assert_eq!(short("$$"), r#""$$""#);
        assert_eq!(short("$${${a.b}"), r#""${" + a.b"#);
    }

    #[test]
    fn malformed_references_say_where() {
        assert_eq!(short("ab${vpc"), "2..7: a reference ends too early, `.` or `}` expected");
        assert_eq!(short("${}"), "2..3: unexpected `}` in a reference, `inputs`, `each` or a step's id expected");
        assert_eq!(short("${vpc id}"), "5..6: unexpected ` ` in a reference, `.` or `}` expected");
        assert_eq!(short("${vpc.}"), "6..7: unexpected `}` in a reference, a field's name expected");
        assert_eq!(short("${a[].b}"), "4..5: unexpected `]` in a reference, a key or `*` expected");
        assert_eq!(short("${a[x/y].b}"), "5..6: unexpected `/` in a reference, `]` expected");
        assert_eq!(short("${a.list[0]}"), "8..9: a reference cannot index into a value");
        assert_eq!(short("${ä}"), "2..4: unexpected `ä` in a reference, `inputs`, `each` or a step's id expected");
    }

    #[test]
    fn a_target_is_an_id_with_or_without_a_key() {
        assert!(parse_target("vpc").is_ok());
        assert!(matches!(parse_target("subnet[1a]"), Ok((_, Some((Selector::Key(k), _)))) if k == "1a"));
        assert!(parse_target("vpc.vpc_id").is_err());
        assert!(parse_target("").is_err());
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[$\\{\\}\\[\\]\\.a-z*ä \\PC]{0,40}") {
            let _ = parse_text(&text);
            let _ = parse_target(&text);
        }

        #[test]
        fn an_escaped_text_comes_back(text in "\\PC{0,40}") {
            let escaped = text.replace("${", "$${");
            // A dollar right before an escape is the one thing that cannot be written so.
            proptest::prop_assume!(!text.contains("$${"));
            let parts = parse_text(&escaped).unwrap();
            let joined: String = parts.iter().map(|p| match p {
                Part::Text(t) => t.as_str(),
                Part::Ref(..) => panic!("a reference in {escaped:?}"),
            }).collect();
            proptest::prop_assert_eq!(joined, text);
        }
    }
}
