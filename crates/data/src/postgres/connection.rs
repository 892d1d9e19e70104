//! Where a database is, and how it is reached.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use switchback_engine::operation::ParamError;
use switchback_model::SecretRef;

/// The longest name that PostgreSQL keeps, in bytes; it cuts off the rest without an error.
pub(crate) const LONGEST_NAME: usize = 63;

/// A database of a PostgreSQL server, and who connects to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Connection {
    /// The server: a name or an address.
    pub host: String,
    /// Its port.
    #[serde(default = "default_port")]
    pub port: u16,
    /// The database.
    #[serde(default = "default_database")]
    pub database: String,
    /// The role that connects.
    pub user: String,
    /// Its password; none where the server asks for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<SecretRef>,
    /// Whether the connection is encrypted.
    #[serde(default)]
    pub tls: Tls,
    /// A file with the certificates (PEM) of the authorities that may vouch for the server, for `verify_full`. A relative path
    /// begins where the command runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<String>,
    /// The way to the server.
    #[serde(default, skip_serializing_if = "Reach::is_direct")]
    pub connect: Reach,
}

/// Whether a connection is encrypted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Tls {
    /// Where the server offers it.
    #[default]
    Prefer,
    /// Always; who the server is is not checked.
    Require,
    /// Always, and its certificate is checked, with its name.
    VerifyFull,
    /// Never.
    Disable,
}

/// The way to a server.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reach {
    /// From here to the server's address.
    #[default]
    Direct,
    /// Through this instance, by a port forward of Systems Manager: the AWS CLI and its session plugin must be installed here.
    Ssm(String),
}

impl Reach {
    /// Whether there is nothing in between.
    #[must_use]
    pub fn is_direct(&self) -> bool {
        *self == Self::Direct
    }
}

fn default_port() -> u16 {
    5432
}

fn default_database() -> String {
    "postgres".to_owned()
}

impl Connection {
    /// The same server and user, another database.
    #[must_use]
    pub fn to_database(&self, database: &str) -> Self {
        Self { database: database.to_owned(), ..self.clone() }
    }

    /// Where it leads to, for messages: `app on db.example:5432`.
    #[must_use]
    pub fn place(&self) -> String {
        format!("database `{}` on {}:{}", self.database, self.host, self.port)
    }

    /// What is wrong with it, as far as that can be told without the server.
    pub(crate) fn check(&self, errors: &mut Vec<ParamError>) {
        let mut wrong = |field: &str, message: String| {
            errors.push(ParamError { path: vec!["connection".to_owned(), field.to_owned()], message });
        };
        if self.host.is_empty() || self.host.starts_with('/') || self.host.contains(['@', ' ']) {
            wrong("host", format!("`{}` is not the name or the address of a server", self.host));
        }
        if self.port == 0 {
            wrong("port", "is from 1 to 65535".to_owned());
        }
        for (field, name) in [("database", &self.database), ("user", &self.user)] {
            if let Err(message) = check_name(name) {
                wrong(field, message);
            }
        }
        if self.ca_file.is_some() && self.tls != Tls::VerifyFull {
            wrong("ca_file", "is for `tls: verify_full`".to_owned());
        }
        if let Reach::Ssm(instance) = &self.connect
            && !(["i-", "mi-"].iter().any(|p| instance.starts_with(p))
                && instance.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'))
        {
            wrong("connect", format!("`{instance}` is not the id of an instance (i-0123456789abcdef0)"));
        }
    }
}

/// Whether PostgreSQL keeps that name as it is.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() || name.len() > LONGEST_NAME {
        return Err(format!("a name has 1 to {LONGEST_NAME} bytes, `{name}` has {}", name.len()));
    }
    if name.contains('\0') {
        return Err("a name holds no NUL".to_owned());
    }
    Ok(())
}

/// A server for examples.
pub(crate) fn example(database: &str) -> Connection {
    Connection {
        host: "db.example.internal".to_owned(),
        port: default_port(),
        database: database.to_owned(),
        user: "postgres".to_owned(),
        password: Some(SecretRef::of_input("db_password")),
        tls: Tls::Require,
        ca_file: None,
        connect: Reach::Direct,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn wrong(connection: &Connection) -> Vec<String> {
        let mut errors = Vec::new();
        connection.check(&mut errors);
        errors.into_iter().map(|e| e.path.join(".")).collect()
    }

    #[test]
    fn what_is_left_out_is_the_usual() {
        let read: Connection = serde_json::from_value(json!({"host": "db", "user": "app"})).unwrap();
        assert_eq!((read.port, read.database.as_str(), read.tls), (5432, "postgres", Tls::Prefer));
        assert!(read.connect.is_direct() && read.password.is_none());
        let through: Connection =
            serde_json::from_value(json!({"host": "db", "user": "app", "connect": {"ssm": "i-0123"}})).unwrap();
        assert_eq!(through.connect, Reach::Ssm("i-0123".to_owned()));
        assert_eq!(wrong(&through), Vec::<String>::new());
    }

    #[test]
    fn what_cannot_be_a_server_is_refused() {
        let bad = Connection {
            host: "u@db".to_owned(),
            port: 0,
            database: "x".repeat(64),
            user: String::new(),
            ca_file: Some("ca.pem".to_owned()),
            connect: Reach::Ssm("bastion".to_owned()),
            ..example("app")
        };
        assert_eq!(
            wrong(&bad),
            [
                "connection.host",
                "connection.port",
                "connection.database",
                "connection.user",
                "connection.ca_file",
                "connection.connect"
            ]
        );
    }
}
