//! A yard: a small world in memory that joins the rehearsal, and operations on it.
//!
//! It shows how a world without the AWS SDK joins: every call passes the tap, the whole of it can be saved, loaded and
//! looked at, and every fault is known. The operations can each be given a bug, so that a test sees the rehearsal find
//! it.
//!
//! | thing | like | its identity |
//! | --- | --- | --- |
//! | shelf | a VPC: slow to come and to go, two settings, things stand on it | an id that is made up, tags |
//! | chest | a subnet: stands on a shelf | an id that is made up, tags, a client token |
//! | door | a database: one of a name, opened with a secret | its name, tags |
//! | sign | a route: has no tags | its name, and what it says (weak) |
//! | dial | a setting that is there already: turned, and turned back | its name, and who turned it |
//!
//! Like a real service it knows no ownership but tags. Beside them it keeps the truth, for checks.

mod api;
mod ops;
mod plans;
mod world;

pub use self::api::{Ask, Kind, LATE, QUIET, Thing};
pub use self::ops::{Bug, registry};
pub use self::plans::{Piece, plan, subject};
pub use self::world::Yard;
