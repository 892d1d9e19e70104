//! A JSON Schema in the form that checks read: the part of draft-07 that schemars writes for
//! Rust types, with `$ref` followed once and patterns compiled once.
//!
//! Keywords that are not known are passed over: the operation itself has the last word, in
//! [`DynOperation::bind`](crate::operation::DynOperation::bind).

use std::collections::{BTreeMap, HashMap};

use regex::Regex;
use serde_json::{Map, Value};
use switchback_model::secret::SECRET_KEYWORD;

/// The key in a schema that names the kind of an id: `VpcId`.
pub(crate) const ID_KEYWORD: &str = "x-switchback-id";

/// How many schemas may refer to each other before a value must come: against cycles.
const MAX_CHAIN: usize = 32;

/// A place in [`Shapes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ShapeId(usize);

/// A set of JSON types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Types(u8);

impl Types {
    pub(crate) const NULL: Self = Self(1);
    pub(crate) const BOOL: Self = Self(2);
    pub(crate) const INT: Self = Self(4);
    /// Every number, so that a whole number fits where a number is wanted.
    pub(crate) const NUMBER: Self = Self(4 | 8);
    pub(crate) const TEXT: Self = Self(16);
    pub(crate) const LIST: Self = Self(32);
    pub(crate) const MAP: Self = Self(64);
    pub(crate) const NONE: Self = Self(0);
    pub(crate) const ANY: Self = Self(127);

    pub(crate) const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub(crate) const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Without null, which is never what someone wants to hear about.
    pub(crate) const fn given(self) -> Self {
        Self(self.0 & !Self::NULL.0)
    }

    pub(crate) fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::NULL,
            Value::Bool(_) => Self::BOOL,
            Value::Number(n) if n.is_i64() || n.is_u64() => Self::INT,
            Value::Number(_) => Self(8),
            Value::String(_) => Self::TEXT,
            Value::Array(_) => Self::LIST,
            Value::Object(_) => Self::MAP,
        }
    }

    fn named(name: &str) -> Self {
        match name {
            "null" => Self::NULL,
            "boolean" => Self::BOOL,
            "integer" => Self::INT,
            "number" => Self::NUMBER,
            "string" => Self::TEXT,
            "array" => Self::LIST,
            "object" => Self::MAP,
            _ => Self::NONE,
        }
    }

    /// "a text", "a number or a list".
    pub(crate) fn words(self) -> String {
        if self == Self::ANY {
            return "any value".to_owned();
        }
        let mut words = Vec::new();
        for (types, word) in [
            (Self::TEXT, "a text"),
            (Self::NUMBER, "a number"),
            (Self::INT, "a whole number"),
            (Self::BOOL, "a boolean"),
            (Self::LIST, "a list"),
            (Self::MAP, "a map"),
        ] {
            let both = types == Self::INT && self.and(Self::NUMBER) == Self::NUMBER;
            if self.and(types) == types && !both {
                words.push(word);
            }
        }
        if words.is_empty() {
            return if self == Self(8) { "a number".to_owned() } else { "nothing".to_owned() };
        }
        words.join(" or ")
    }
}

/// What a map may hold beside its named fields.
#[derive(Debug)]
pub(crate) enum Rest {
    Any,
    Refused,
    Of(ShapeId),
}

/// One schema.
#[derive(Debug)]
pub(crate) struct Shape {
    pub(crate) types: Types,
    pub(crate) id: Option<String>,
    pub(crate) secret: bool,
    pub(crate) fields: BTreeMap<String, ShapeId>,
    pub(crate) required: Vec<String>,
    pub(crate) rest: Rest,
    pub(crate) items: Option<ShapeId>,
    pub(crate) allowed: Option<Vec<Value>>,
    pub(crate) pattern: Option<Regex>,
    pub(crate) numbers: (Option<f64>, Option<f64>),
    pub(crate) lengths: (Option<u64>, Option<u64>),
    pub(crate) counts: (Option<u64>, Option<u64>),
    /// `anyOf` and `oneOf`: at least one of them.
    pub(crate) any: Vec<ShapeId>,
    /// `allOf` and `$ref`: all of them.
    pub(crate) all: Vec<ShapeId>,
}

impl Shape {
    const fn anything() -> Self {
        Self {
            types: Types::ANY,
            id: None,
            secret: false,
            fields: BTreeMap::new(),
            required: Vec::new(),
            rest: Rest::Any,
            items: None,
            allowed: None,
            pattern: None,
            numbers: (None, None),
            lengths: (None, None),
            counts: (None, None),
            any: Vec::new(),
            all: Vec::new(),
        }
    }
}

/// A schema and all that it refers to.
#[derive(Debug)]
pub(crate) struct Shapes {
    list: Vec<Shape>,
    pub(crate) root: ShapeId,
}

impl Shapes {
    /// From a draft-07 schema.
    pub(crate) fn new(schema: &Value) -> Self {
        let mut compiler = Compiler { document: schema, list: Vec::new(), named: HashMap::new() };
        let root = compiler.shape(schema);
        Self { list: compiler.list, root }
    }

    pub(crate) fn get(&self, id: ShapeId) -> &Shape {
        static ANYTHING: Shape = Shape::anything();
        self.list.get(id.0).unwrap_or(&ANYTHING)
    }

    /// A schema and all that hold together with it.
    pub(crate) fn facets(&self, id: ShapeId) -> Vec<&Shape> {
        let mut found = Vec::new();
        let mut seen = vec![id];
        let mut next = 0;
        while let Some(at) = seen.get(next).copied() {
            let shape = self.get(at);
            found.push(shape);
            for more in &shape.all {
                if !seen.contains(more) {
                    seen.push(*more);
                }
            }
            next += 1;
        }
        found
    }

    /// The alternatives of a schema that are not just null; none where there is no choice.
    pub(crate) fn alternatives(&self, id: ShapeId) -> Vec<ShapeId> {
        let facets = self.facets(id);
        let any = facets.iter().flat_map(|s| s.any.iter().copied());
        any.filter(|alt| !self.types(*alt).given().is_empty()).collect()
    }

    /// The types that a schema allows.
    pub(crate) fn types(&self, id: ShapeId) -> Types {
        self.types_within(id, MAX_CHAIN)
    }

    fn types_within(&self, id: ShapeId, depth: usize) -> Types {
        if depth == 0 {
            return Types::ANY;
        }
        self.facets(id).into_iter().fold(Types::ANY, |types, shape| {
            let mut types = types.and(shape.types);
            if let Some(values) = &shape.allowed {
                types = types.and(values.iter().fold(Types::NONE, |t, v| t.or(Types::of(v))));
            }
            if !shape.any.is_empty() {
                types =
                    types.and(shape.any.iter().fold(Types::NONE, |t, alt| t.or(self.types_within(*alt, depth - 1))));
            }
            types
        })
    }

    /// The kind of id that a schema asks for or gives. Looks through `Option`.
    pub(crate) fn id_kind(&self, id: ShapeId) -> Option<&str> {
        self.id_within(id, MAX_CHAIN)
    }

    fn id_within(&self, id: ShapeId, depth: usize) -> Option<&str> {
        let facets = self.facets(id);
        if let Some(kind) = facets.iter().find_map(|s| s.id.as_deref()) {
            return Some(kind);
        }
        match self.alternatives(id).as_slice() {
            [only] if depth > 0 => self.id_within(*only, depth - 1),
            _ => None,
        }
    }

    /// Whether a schema asks for or gives a secret and nothing else. Looks through `Option`.
    pub(crate) fn is_secret(&self, id: ShapeId) -> bool {
        self.secret_within(id, MAX_CHAIN)
    }

    fn secret_within(&self, id: ShapeId, depth: usize) -> bool {
        self.facets(id).iter().any(|s| s.secret)
            || match self.alternatives(id).as_slice() {
                [only] if depth > 0 => self.secret_within(*only, depth - 1),
                _ => false,
            }
    }

    /// The schema of a field. Looks through `Option`.
    pub(crate) fn field(&self, id: ShapeId, name: &str) -> Option<ShapeId> {
        self.field_within(id, name, MAX_CHAIN)
    }

    fn field_within(&self, id: ShapeId, name: &str, depth: usize) -> Option<ShapeId> {
        let facets = self.facets(id);
        let direct = facets.iter().find_map(|s| s.fields.get(name).copied());
        let rest = || facets.iter().find_map(|s| if let Rest::Of(rest) = s.rest { Some(rest) } else { None });
        let inner = || {
            let alternatives = if depth > 0 { self.alternatives(id) } else { Vec::new() };
            alternatives.into_iter().find_map(|alt| self.field_within(alt, name, depth - 1))
        };
        direct.or_else(rest).or_else(inner)
    }

    /// The names of all fields. Looks through `Option`.
    pub(crate) fn field_names(&self, id: ShapeId) -> Vec<&str> {
        let mut names: Vec<&str> =
            self.facets(id).into_iter().flat_map(|s| s.fields.keys().map(String::as_str)).collect();
        for alt in self.alternatives(id) {
            names.extend(self.facets(alt).into_iter().flat_map(|s| s.fields.keys().map(String::as_str)));
        }
        names.sort_unstable();
        names.dedup();
        names
    }
}

struct Compiler<'a> {
    document: &'a Value,
    list: Vec<Shape>,
    named: HashMap<String, ShapeId>,
}

impl Compiler<'_> {
    fn push(&mut self, shape: Shape) -> ShapeId {
        self.list.push(shape);
        ShapeId(self.list.len() - 1)
    }

    fn shape(&mut self, schema: &Value) -> ShapeId {
        let id = self.push(Shape::anything());
        let shape = match schema {
            Value::Object(map) => self.object(map),
            Value::Bool(false) => Shape { types: Types::NONE, ..Shape::anything() },
            _ => Shape::anything(),
        };
        if let Some(slot) = self.list.get_mut(id.0) {
            *slot = shape;
        }
        id
    }

    fn shapes(&mut self, schemas: Option<&Value>) -> Vec<ShapeId> {
        schemas.and_then(Value::as_array).into_iter().flatten().map(|s| self.shape(s)).collect()
    }

    fn named(&mut self, pointer: &str) -> ShapeId {
        if let Some(id) = self.named.get(pointer) {
            return *id;
        }
        let id = self.push(Shape::anything());
        self.named.insert(pointer.to_owned(), id);
        let target = pointer.strip_prefix('#').and_then(|p| self.document.pointer(p));
        if let Some(target) = target {
            let inner = self.shape(target);
            if let Some(slot) = self.list.get_mut(id.0) {
                slot.all.push(inner);
            }
        }
        id
    }

    fn object(&mut self, map: &Map<String, Value>) -> Shape {
        let mut shape = Shape::anything();
        shape.types = match map.get("type") {
            Some(Value::String(name)) => Types::named(name),
            Some(Value::Array(names)) => {
                names.iter().filter_map(Value::as_str).fold(Types::NONE, |t, name| t.or(Types::named(name)))
            }
            _ => Types::ANY,
        };
        shape.secret = map.get(SECRET_KEYWORD) == Some(&Value::Bool(true));
        shape.id = map.get(ID_KEYWORD).and_then(Value::as_str).map(str::to_owned);
        if let Some(fields) = map.get("properties").and_then(Value::as_object) {
            shape.fields = fields.iter().map(|(name, schema)| (name.clone(), self.shape(schema))).collect();
        }
        let required = map.get("required").and_then(Value::as_array);
        shape.required = required.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
        shape.rest = match map.get("additionalProperties") {
            Some(Value::Bool(false)) => Rest::Refused,
            Some(schema @ Value::Object(_)) => Rest::Of(self.shape(schema)),
            _ => Rest::Any,
        };
        shape.items = map.get("items").filter(|i| i.is_object()).map(|i| self.shape(i));
        shape.allowed = match (map.get("enum"), map.get("const")) {
            (Some(Value::Array(values)), _) => Some(values.clone()),
            (_, Some(value)) => Some(vec![value.clone()]),
            _ => None,
        };
        shape.pattern = map.get("pattern").and_then(Value::as_str).and_then(|p| Regex::new(p).ok());
        let number = |key: &str| map.get(key).and_then(Value::as_f64);
        let count = |key: &str| map.get(key).and_then(Value::as_u64);
        shape.numbers = (number("minimum"), number("maximum"));
        shape.lengths = (count("minLength"), count("maxLength"));
        shape.counts = (count("minItems"), count("maxItems"));
        shape.any = self.shapes(map.get("anyOf"));
        shape.any.extend(self.shapes(map.get("oneOf")));
        shape.all = self.shapes(map.get("allOf"));
        if let Some(pointer) = map.get("$ref").and_then(Value::as_str) {
            let named = self.named(pointer);
            shape.all.push(named);
        }
        shape
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn references_options_and_cycles_are_looked_through() {
        let shapes = Shapes::new(&json!({
            "type": "object",
            "properties": {
                "vpc_id": {"description": "x", "allOf": [{"$ref": "#/definitions/VpcId"}]},
                "maybe": {"anyOf": [{"$ref": "#/definitions/VpcId"}, {"type": "null"}]},
                "next": {"$ref": "#/definitions/Loop"},
                "tree": {"$ref": "#"},
            },
            "definitions": {
                "VpcId": {"type": "string", "x-switchback-id": "VpcId", "pattern": "^vpc-"},
                "Loop": {"$ref": "#/definitions/Loop"},
            },
        }));
        let field = |name| shapes.field(shapes.root, name).unwrap();
        assert_eq!(shapes.id_kind(field("vpc_id")), Some("VpcId"));
        assert_eq!(shapes.id_kind(field("maybe")), Some("VpcId"));
        assert_eq!(shapes.types(field("maybe")), Types::TEXT.or(Types::NULL));
        assert_eq!(shapes.types(field("next")), Types::ANY);
        assert_eq!(shapes.field_names(field("tree")), ["maybe", "next", "tree", "vpc_id"]);
        assert!(shapes.field(field("vpc_id"), "x").is_none());
    }

    #[test]
    fn types_read_well() {
        assert_eq!(Types::NUMBER.words(), "a number");
        assert_eq!(Types::INT.words(), "a whole number");
        assert_eq!(Types::TEXT.or(Types::LIST).words(), "a text or a list");
    }
}
