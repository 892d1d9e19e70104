//! A small writer for the XML of AWS replies, and a finder for the few values that the sandbox reads back.
//!
//! It writes what it is told, escaped; it does not know any reply.

use std::fmt::{Display, Write as _};

/// XML being written.
#[derive(Debug, Default)]
pub(crate) struct Xml(String);

impl Xml {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// With an XML declaration.
    pub(crate) fn declared() -> Self {
        Self(String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"))
    }

    pub(crate) fn tag(&mut self, name: &str, inside: impl FnOnce(&mut Self)) {
        let _ = write!(self.0, "<{name}>");
        inside(self);
        let _ = write!(self.0, "</{name}>");
    }

    pub(crate) fn tag_in(&mut self, name: &str, namespace: &str, inside: impl FnOnce(&mut Self)) {
        let _ = write!(self.0, "<{name} xmlns=\"{namespace}\">");
        inside(self);
        let _ = write!(self.0, "</{name}>");
    }

    pub(crate) fn leaf(&mut self, name: &str, value: impl Display) {
        self.tag(name, |xml| {
            let _ = write!(Escape(&mut xml.0), "{value}");
        });
    }

    /// Text right here, escaped.
    pub(crate) fn leaf_here(&mut self, value: impl Display) {
        let _ = write!(Escape(&mut self.0), "{value}");
    }

    pub(crate) fn leaf_if(&mut self, name: &str, value: Option<impl Display>) {
        if let Some(value) = value {
            self.leaf(name, value);
        }
    }

    /// `<name><item>..</item>..</name>`.
    pub(crate) fn set<T>(
        &mut self,
        name: &str,
        items: impl IntoIterator<Item = T>,
        mut each: impl FnMut(&mut Self, T),
    ) {
        self.tag(name, |xml| {
            for item in items {
                xml.tag("item", |xml| each(xml, item));
            }
        });
    }

    /// What was written elsewhere.
    pub(crate) fn raw(&mut self, written: &str) {
        self.0.push_str(written);
    }

    pub(crate) fn finish(self) -> String {
        self.0
    }
}

struct Escape<'a>(&'a mut String);

impl std::fmt::Write for Escape<'_> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        for character in text.chars() {
            match character {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                other => self.0.push(other),
            }
        }
        Ok(())
    }
}

/// The text of the first element of this name.
pub(crate) fn text_of<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    rest.split_once(&format!("</{name}>")).map(|(text, _)| text)
}

/// A text of an element without its escapes.
pub(crate) fn unescaped(text: &str) -> String {
    let escapes = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&amp;", "&")];
    escapes.iter().fold(text.to_owned(), |text, (escape, is)| text.replace(escape, is))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped_and_found_again() {
        let mut xml = Xml::new();
        xml.set("tagSet", [("a&b", "<x>")], |xml, (key, value)| {
            xml.leaf("key", key);
            xml.leaf("value", value);
        });
        let xml = xml.finish();
        assert_eq!(xml, "<tagSet><item><key>a&amp;b</key><value>&lt;x&gt;</value></item></tagSet>");
        assert_eq!(text_of(&xml, "key"), Some("a&amp;b"));
        assert_eq!(text_of(&xml, "nothing"), None);
    }
}
