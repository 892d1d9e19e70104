//! What the driver's and the server's errors mean for the executor. Classed once, here.
//!
//! No text of the driver reaches a message where a password could be in it: the server's own messages never have it, and
//! errors of the connection are named by their kind.

use std::io;

use switchback_model::{ErrorClass, OpError};

use super::ask::PgAsk;
use super::connection::{Connection, Tls};

/// What the service is called, for its circuit breaker.
const SERVICE: &str = "postgresql";

fn error(class: ErrorClass, message: String) -> OpError {
    let mut error = OpError::new(class, message);
    error.service = Some(SERVICE.to_owned());
    error
}

/// No connection was made.
pub(super) fn connecting(on: &Connection, e: &sqlx::Error) -> OpError {
    let place = on.place();
    match e {
        sqlx::Error::Database(refused) => {
            let code = refused.code().unwrap_or_default().into_owned();
            let message = format!("{place}: {}", refused.message());
            let wants_tls = on.tls == Tls::Disable && refused.message().contains("no encryption");
            let (class, hint) = match code.as_str() {
                _ if wants_tls => (ErrorClass::Permanent, Some("the server wants TLS: leave out `tls: disable`")),
                "28P01" | "28000" => (ErrorClass::Permanent, Some("check the user, its password, and pg_hba.conf")),
                "3D000" => (ErrorClass::Permanent, Some("create the database first, or check its name")),
                "42501" => (ErrorClass::Permanent, Some("the role may not connect: GRANT CONNECT")),
                // It starts or stops; its slots are taken.
                "57P03" | "57P01" | "57P02" | "53300" => (ErrorClass::Busy, None),
                _ if code.starts_with("08") || code.starts_with("53") => (ErrorClass::Transient, None),
                _ => (ErrorClass::Permanent, None),
            };
            let made = error(class, message).with_code(code);
            match hint {
                Some(hint) => made.with_hint(hint),
                None => made,
            }
        }
        sqlx::Error::Tls(_) => {
            let (what, hint) = match on.tls {
                Tls::VerifyFull => {
                    ("the server's certificate is not one to trust", "give the authority's certificate as `ca_file`")
                }
                _ => ("no TLS with the server", "where it has none, say `tls: disable`"),
            };
            error(ErrorClass::Permanent, format!("{place}: {what}")).with_code("Tls").with_hint(hint)
        }
        sqlx::Error::Configuration(_) => error(ErrorClass::Permanent, format!("{place}: `ca_file` cannot be used"))
            .with_hint("it is a file of certificates in PEM"),
        // Nothing was sent: it may work when it is tried again, and the run pauses when it does not.
        sqlx::Error::Io(io) => error(ErrorClass::Transient, format!("{place}: no connection: {}", io_text(io)))
            .with_code(io_code(io))
            .with_hint("is the server up, and is there a way to it from here? (`connect: { ssm: INSTANCE }`)"),
        _ => error(ErrorClass::Transient, format!("{place}: no connection was made")),
    }
}

/// The time for a connection was over.
pub(super) fn no_reply(on: &Connection) -> OpError {
    error(ErrorClass::Transient, format!("{}: no reply while connecting", on.place())).with_code("Timeout").with_hint(
        "is there a way to it from here, through security groups and firewalls? (`connect: { ssm: INSTANCE }`)",
    )
}

/// The time for a call was over.
pub(super) fn timed_out(ask: &PgAsk) -> OpError {
    use switchback_engine::remote::Ask as _;
    error(lost(ask), format!("{}: `{}` took too long", ask.on().place(), ask.action())).with_code("Timeout")
}

/// A call without a reply: a write may have happened.
fn lost(ask: &PgAsk) -> ErrorClass {
    use switchback_engine::remote::Ask as _;
    if ask.writes() { ErrorClass::Ambiguous } else { ErrorClass::Transient }
}

/// A connection was made, and the call failed.
pub(super) fn calling(ask: &PgAsk, e: &sqlx::Error) -> OpError {
    let place = ask.on().place();
    match e {
        sqlx::Error::Database(said) => {
            let code = said.code().unwrap_or_default().into_owned();
            let detail = said.try_downcast_ref::<sqlx::postgres::PgDatabaseError>();
            let mut message = format!("{place}: {}", said.message());
            if let Some(more) = detail.and_then(|d| d.detail()) {
                message = format!("{message}: {more}");
            }
            let made = error(class_of(ask, &code), message);
            match hint_of(ask, &code) {
                Some(hint) => made.with_code(code).with_hint(hint),
                None => made.with_code(code),
            }
        }
        sqlx::Error::Io(io) => {
            error(lost(ask), format!("{place}: the connection was lost: {}", io_text(io))).with_code(io_code(io))
        }
        sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed | sqlx::Error::Tls(_) => {
            error(lost(ask), format!("{place}: the connection was lost"))
        }
        other => error(ErrorClass::Permanent, format!("{place}: the reply cannot be read: {other}")),
    }
}

/// What an SQLSTATE means. The transaction of the call was rolled back, so there was no effect, unless the server went away.
fn class_of(ask: &PgAsk, code: &str) -> ErrorClass {
    match code {
        // A database of that name is there; the loser of two at the same time trips over the index.
        "42P04" => ErrorClass::AlreadyExists,
        "23505" if matches!(ask, PgAsk::CreateDatabase { .. }) => ErrorClass::AlreadyExists,
        // In use, locked, or starting.
        "55006" | "55P03" | "57P03" | "53300" => ErrorClass::Busy,
        "57P01" | "57P02" | "57P05" => lost(ask),
        // Serialization, deadlock, cancelled.
        "40001" | "40P01" | "57014" => ErrorClass::Transient,
        // The outcome of a commit is unknown.
        "40003" => ErrorClass::Ambiguous,
        _ if code.starts_with("08") => lost(ask),
        _ if code.starts_with("53") || code.starts_with("58") => ErrorClass::Transient,
        _ => ErrorClass::Permanent,
    }
}

fn hint_of(ask: &PgAsk, code: &str) -> Option<&'static str> {
    Some(match (ask, code) {
        (PgAsk::ApplyMigration { .. }, "42P07" | "42P06" | "42710" | "42723" | "42701") => {
            "it is there already and this run did not make it: drop it, rename it, or leave the migration out"
        }
        (PgAsk::ApplyMigration { .. }, "25001") => "this statement cannot run in a transaction",
        (PgAsk::RevertMigration { .. }, "2BP01") => {
            "something that this run did not make depends on it: drop that first"
        }
        (PgAsk::DeleteBatch { .. }, "23503") => {
            "rows that this run did not write refer to the imported ones: move or delete those first"
        }
        (PgAsk::ImportBatch { .. }, "23505") => {
            "a row with this key is in the table already and this run did not write it"
        }
        (_, "42501") => "the role needs more privileges",
        (_, "25006") => "the server takes no writes now: is this a replica, or a reader endpoint?",
        _ => return None,
    })
}

fn io_code(e: &io::Error) -> String {
    format!("{:?}", e.kind())
}

fn io_text(e: &io::Error) -> String {
    match e.kind() {
        io::ErrorKind::ConnectionRefused => "refused".to_owned(),
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof => "reset".to_owned(),
        kind => kind.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postgres::connection;

    #[test]
    fn a_lost_write_may_have_happened_and_a_lost_read_may_be_read_again() {
        let on = connection::example("app");
        let read = PgAsk::ListTables { on: on.clone() };
        let write = PgAsk::RevertMigration { on, marks: marks(), version: 1 };
        let reset = || sqlx::Error::Io(io::ErrorKind::ConnectionReset.into());
        assert_eq!(calling(&read, &reset()).class, ErrorClass::Transient);
        assert_eq!(calling(&write, &reset()).class, ErrorClass::Ambiguous);
        assert_eq!(timed_out(&write).class, ErrorClass::Ambiguous);
        // The server went away: before or after the commit, nobody knows.
        assert_eq!(class_of(&write, "57P01"), ErrorClass::Ambiguous);
        assert_eq!(class_of(&write, "40P01"), ErrorClass::Transient);
        assert_eq!(class_of(&write, "55006"), ErrorClass::Busy);
        assert_eq!(class_of(&write, "42P07"), ErrorClass::Permanent);
    }

    fn marks() -> super::super::ask::Marks {
        super::super::ask::Marks { run: "r".into(), step: "s".into(), generation: 1 }
    }

    #[test]
    fn what_was_not_sent_is_tried_again() {
        let on = connection::example("app");
        let refused = connecting(&on, &sqlx::Error::Io(io::ErrorKind::ConnectionRefused.into()));
        assert_eq!((refused.class, refused.code.as_deref()), (ErrorClass::Transient, Some("ConnectionRefused")));
        assert_eq!(no_reply(&on).class, ErrorClass::Transient);
    }
}
