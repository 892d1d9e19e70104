//! Data steps: databases, schemas, and copies of what is in them.
//!
//! Operations here know only the calls of a system ([`postgres::ask::PgAsk`] and its like); who answers them is given from
//! outside: the real system in a run, a model of it in a rehearsal.

pub mod command;
pub mod export;
pub mod nats;
pub mod postgres;
#[cfg(test)]
mod testing;

use switchback_engine::Registry;
use switchback_engine::registry::DuplicateKind;

/// Registers every kind of this crate.
///
/// # Errors
/// When one of them is registered already.
pub fn register(registry: &mut Registry) -> Result<(), DuplicateKind> {
    registry.register(export::Export)?;
    registry.register(postgres::database::Database)?;
    registry.register(postgres::import::Import)?;
    registry.register(postgres::migrations::Migrations)?;
    registry.register(postgres::probe::Probe)?;
    registry.register(nats::jetstream_to_dynamodb::JetstreamToDynamodb)?;
    registry.register(nats::probe::Probe)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Journals name these; a kind is never renamed.
    const COMMITTED: &[(&str, u32)] = &[
        ("data.export", 1),
        ("nats.jetstream_to_dynamodb", 1),
        ("postgres.database", 1),
        ("postgres.import", 1),
        ("postgres.migrations", 1),
        ("probe.nats", 1),
        ("probe.postgres", 1),
    ];

    #[test]
    fn kinds_and_versions_are_those_that_journals_name() {
        let mut registry = Registry::new();
        register(&mut registry).unwrap();
        let kinds: Vec<_> = registry.iter().map(|op| (op.kind(), op.version())).collect();
        assert_eq!(kinds, COMMITTED);
        assert!(register(&mut registry).is_err(), "twice is an error");
    }

    #[test]
    fn every_operation_says_what_it_is_and_shows_how_it_is_used() {
        let mut registry = Registry::new();
        register(&mut registry).unwrap();
        for op in registry.iter() {
            let schema = op.params_schema().to_value();
            assert!(schema["description"].as_str().unwrap_or_default().len() > 10, "{}", op.kind());
            let example = op.example().unwrap_or_else(|| panic!("{} has no example", op.kind()));
            let bound = op.bind(&example).unwrap_or_else(|e| panic!("{}: {e:?}", op.kind()));
            assert_eq!(op.facts_of(&example), Some(bound.facts()), "{}", op.kind());
            for schema in [schema, op.output_schema().to_value()] {
                assert_eq!(schema["additionalProperties"], false, "{}", op.kind());
                for (name, field) in schema["properties"].as_object().into_iter().flatten() {
                    assert!(field["description"].is_string(), "{}: {name}", op.kind());
                }
            }
        }
    }
}
