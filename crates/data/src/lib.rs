//! Data steps: databases, schemas, and copies of what is in them.
