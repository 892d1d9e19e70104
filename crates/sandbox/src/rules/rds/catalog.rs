//! What RDS offers: engine versions, instance classes and the parameters of parameter groups.
//!
//! A selection that is true to the documentation of 2025, no more: enough versions that a runbook's own is there and a
//! misspelt one is not, and the parameters that people set. Nothing here looks at the world.

use std::ops::RangeInclusive;

use crate::refusal::Refusal;

/// One version of an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Version {
    pub(super) engine: &'static str,
    pub(super) version: &'static str,
    /// Of its parameter groups.
    pub(super) family: &'static str,
}

/// What is the same for all versions of an engine.
struct Engine {
    name: &'static str,
    description: &'static str,
    port: i32,
    logs: &'static [&'static str],
    /// What a caller gets who asks for none.
    default: &'static str,
    families: &'static [(&'static str, &'static [&'static str])],
}

const ENGINES: &[Engine] = &[
    Engine {
        name: "aurora-mysql",
        description: "Aurora MySQL",
        port: 3306,
        logs: &["audit", "error", "general", "slowquery"],
        default: "8.0.mysql_aurora.3.08.2",
        families: &[(
            "aurora-mysql8.0",
            &[
                "8.0.mysql_aurora.3.04.3",
                "8.0.mysql_aurora.3.05.2",
                "8.0.mysql_aurora.3.06.1",
                "8.0.mysql_aurora.3.07.1",
                "8.0.mysql_aurora.3.08.2",
                "8.0.mysql_aurora.3.09.0",
            ],
        )],
    },
    Engine {
        name: "aurora-postgresql",
        description: "Aurora PostgreSQL",
        port: 5432,
        logs: &["postgresql"],
        default: "16.8",
        families: &[
            ("aurora-postgresql13", &["13.18", "13.20", "13.21"]),
            ("aurora-postgresql14", &["14.13", "14.15", "14.17", "14.18"]),
            ("aurora-postgresql15", &["15.4", "15.5", "15.6", "15.7", "15.8", "15.10", "15.12", "15.13"]),
            ("aurora-postgresql16", &["16.1", "16.2", "16.3", "16.4", "16.6", "16.8", "16.9"]),
            ("aurora-postgresql17", &["17.4", "17.5"]),
        ],
    },
    Engine {
        name: "mysql",
        description: "MySQL Community Edition",
        port: 3306,
        logs: &["audit", "error", "general", "slowquery"],
        default: "8.0.41",
        families: &[
            ("mysql8.0", &["8.0.35", "8.0.39", "8.0.40", "8.0.41", "8.0.42"]),
            ("mysql8.4", &["8.4.3", "8.4.4", "8.4.5"]),
        ],
    },
    Engine {
        name: "postgres",
        description: "PostgreSQL",
        port: 5432,
        logs: &["postgresql", "upgrade"],
        default: "17.4",
        families: &[
            ("postgres13", &["13.18", "13.20", "13.21"]),
            ("postgres14", &["14.13", "14.15", "14.17", "14.18"]),
            ("postgres15", &["15.4", "15.5", "15.6", "15.7", "15.8", "15.10", "15.12", "15.13"]),
            ("postgres16", &["16.1", "16.2", "16.3", "16.4", "16.6", "16.8", "16.9"]),
            ("postgres17", &["17.2", "17.4", "17.5"]),
        ],
    },
];

impl Engine {
    fn versions(&self) -> impl Iterator<Item = Version> {
        let engine = self.name;
        self.families
            .iter()
            .flat_map(move |(family, all)| all.iter().map(move |version| Version { engine, version, family }))
    }
}

impl Version {
    fn of(&self) -> Option<&'static Engine> {
        ENGINES.iter().find(|engine| engine.name == self.engine)
    }

    /// Such as `Aurora PostgreSQL`.
    pub(super) fn description(&self) -> &'static str {
        self.of().map_or("", |engine| engine.description)
    }

    /// Where it listens when nobody says otherwise.
    pub(super) fn port(&self) -> i32 {
        self.of().map_or(0, |engine| engine.port)
    }

    /// The logs that it can write to CloudWatch.
    pub(super) fn logs(&self) -> &'static [&'static str] {
        self.of().map_or(&[], |engine| engine.logs)
    }

    /// The part of it that is the same for a parameter group family, such as `15` or `8.0`.
    pub(super) fn major(&self) -> &'static str {
        self.family.trim_start_matches(|letter: char| !letter.is_ascii_digit())
    }

    /// Whether its storage belongs to a cluster and its instances are members of one.
    pub(super) fn is_aurora(&self) -> bool {
        self.engine.starts_with("aurora-")
    }

    pub(super) fn is_default(&self) -> bool {
        self.of().is_some_and(|engine| engine.default == self.version)
    }
}

/// Every version of every engine, oldest first.
pub(super) fn versions() -> impl Iterator<Item = Version> {
    ENGINES.iter().flat_map(Engine::versions)
}

/// The version that a create call asks for; a major version alone means the newest of it.
pub(super) fn version(engine: &str, asked: Option<&str>) -> Result<Version, Refusal> {
    let Some(known) = ENGINES.iter().find(|known| known.name == engine) else {
        return Err(Refusal::invalid("Invalid DB engine"));
    };
    let asked = asked.unwrap_or(known.default);
    let exact = known.versions().find(|version| version.version == asked);
    exact
        .or_else(|| known.versions().filter(|version| version.major() == asked).last())
        .ok_or_else(|| Refusal::new("InvalidParameterCombination", format!("Cannot find version {asked} for {engine}")))
}

/// A family of parameter groups, as the caller wrote it.
pub(super) fn family(name: &str) -> Result<&'static str, Refusal> {
    versions()
        .map(|version| version.family)
        .find(|family| *family == name)
        .ok_or_else(|| Refusal::invalid(format!("ParameterGroupFamily {name} is not a valid parameter group family")))
}

/// Checks an instance class: it must exist, and the engine must run on it.
pub(super) fn check_class(class: &str, version: &Version) -> Result<(), Refusal> {
    const SIZES: &[&str] = &[
        "micro", "small", "medium", "large", "xlarge", "2xlarge", "4xlarge", "8xlarge", "12xlarge", "16xlarge",
        "24xlarge", "32xlarge", "48xlarge",
    ];
    /// The smallest and the largest size of a family, as indexes into `SIZES`, and whether Aurora has it.
    const FAMILIES: &[(&str, RangeInclusive<usize>, bool)] = &[
        ("t3", 0..=5, true),
        ("t4g", 0..=5, true),
        ("m5", 3..=10, false),
        ("m6g", 3..=9, false),
        ("m6i", 3..=11, false),
        ("m7g", 3..=9, false),
        ("r5", 3..=10, true),
        ("r6g", 3..=9, true),
        ("r6i", 3..=11, true),
        ("r7g", 3..=9, true),
        ("r8g", 3..=12, true),
    ];
    let unsupported = || {
        Refusal::new(
            "InvalidParameterCombination",
            format!(
                "RDS does not support creating a DB instance with the following combination: DBInstanceClass={class}, \
                 Engine={}, EngineVersion={}. For supported combinations of instance class and database engine \
                 version, see the documentation.",
                version.engine, version.version
            ),
        )
    };
    if class == "db.serverless" {
        return if version.is_aurora() { Ok(()) } else { Err(unsupported()) };
    }
    let parts = class.strip_prefix("db.").and_then(|rest| rest.split_once('.'));
    let found = parts.and_then(|(family, size)| {
        let size = SIZES.iter().position(|known| *known == size)?;
        FAMILIES.iter().find(|(name, sizes, _)| *name == family && sizes.contains(&size)).map(|found| (found, size))
    });
    let Some(((name, _, on_aurora), size)) = found else {
        return Err(Refusal::invalid(format!("Invalid DB Instance class: {class}")));
    };
    // Aurora runs on the larger burstable classes only.
    let too_small = name.starts_with('t') && size < 2;
    if version.is_aurora() && (!on_aurora || too_small) { Err(unsupported()) } else { Ok(()) }
}

/// A parameter of a parameter group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Parameter {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// Takes effect without a restart.
    pub(super) is_dynamic: bool,
    pub(super) is_modifiable: bool,
    /// As AWS writes them: a range `0-100`, or a list `on,off`. Empty: anything.
    pub(super) allowed: &'static str,
}

/// The type of a parameter's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Boolean,
    Float,
    Integer,
    List,
    Text,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Boolean => "boolean",
            Self::Float => "float",
            Self::Integer => "integer",
            Self::List => "list",
            Self::Text => "string",
        }
    }
}

const fn dynamic(name: &'static str, kind: Kind, allowed: &'static str) -> Parameter {
    Parameter { name, kind, is_dynamic: true, is_modifiable: true, allowed }
}

const fn fixed(name: &'static str, kind: Kind, allowed: &'static str) -> Parameter {
    Parameter { name, kind, is_dynamic: false, is_modifiable: true, allowed }
}

const POSTGRES: &[Parameter] = &[
    dynamic("autovacuum", Kind::Boolean, "0,1"),
    dynamic("autovacuum_naptime", Kind::Integer, "1-2147483"),
    dynamic("autovacuum_vacuum_scale_factor", Kind::Float, "0-100"),
    dynamic("client_encoding", Kind::Text, ""),
    dynamic("deadlock_timeout", Kind::Integer, "1-2147483647"),
    dynamic("default_statistics_target", Kind::Integer, "1-10000"),
    dynamic("effective_cache_size", Kind::Integer, "1-2147483647"),
    dynamic("idle_in_transaction_session_timeout", Kind::Integer, "0-2147483647"),
    dynamic("lock_timeout", Kind::Integer, "0-2147483647"),
    dynamic("log_autovacuum_min_duration", Kind::Integer, "-1-2147483647"),
    dynamic("log_connections", Kind::Boolean, "0,1"),
    dynamic("log_disconnections", Kind::Boolean, "0,1"),
    dynamic("log_lock_waits", Kind::Boolean, "0,1"),
    dynamic("log_min_duration_statement", Kind::Integer, "-1-2147483647"),
    dynamic(
        "log_min_error_statement",
        Kind::Text,
        "debug5,debug4,debug3,debug2,debug1,info,notice,warning,error,log,fatal,panic",
    ),
    dynamic("log_statement", Kind::Text, "none,ddl,mod,all"),
    dynamic("log_temp_files", Kind::Integer, "-1-2147483647"),
    dynamic("maintenance_work_mem", Kind::Integer, "1024-2147483647"),
    fixed("max_connections", Kind::Integer, "6-262143"),
    fixed("max_logical_replication_workers", Kind::Integer, "0-262143"),
    fixed("max_replication_slots", Kind::Integer, "0-262143"),
    fixed("max_wal_senders", Kind::Integer, "0-262143"),
    fixed("max_worker_processes", Kind::Integer, "0-262143"),
    fixed("pg_stat_statements.max", Kind::Integer, "100-2147483647"),
    dynamic("pg_stat_statements.track", Kind::Text, "none,top,all"),
    dynamic(
        "pgaudit.log",
        Kind::List,
        "none,all,ddl,function,misc,read,role,write,-ddl,-function,-misc,-read,-role,-write",
    ),
    dynamic("random_page_cost", Kind::Float, "0-1.79769e+308"),
    Parameter { is_modifiable: false, ..dynamic("rds.extensions", Kind::List, "") },
    dynamic(
        "rds.force_autovacuum_logging_level",
        Kind::Text,
        "disabled,debug5,debug4,debug3,debug2,debug1,info,notice,warning,error,log,fatal,panic",
    ),
    dynamic("rds.force_ssl", Kind::Boolean, "0,1"),
    dynamic("rds.log_retention_period", Kind::Integer, "1440-10080"),
    fixed("rds.logical_replication", Kind::Boolean, "0,1"),
    fixed("shared_buffers", Kind::Integer, "16-1073741823"),
    fixed(
        "shared_preload_libraries",
        Kind::List,
        "auto_explain,orafce,pg_bigm,pg_cron,pg_hint_plan,pg_partman_bgw,pg_prewarm,pg_similarity,\
         pg_stat_statements,pg_tle,pg_transport,pgaudit,pglogical,plprofiler,plrust",
    ),
    dynamic("statement_timeout", Kind::Integer, "0-2147483647"),
    dynamic("timezone", Kind::Text, ""),
    fixed("track_activity_query_size", Kind::Integer, "100-1048576"),
    dynamic("track_io_timing", Kind::Boolean, "0,1"),
    dynamic("wal_sender_timeout", Kind::Integer, "0-3600000"),
    dynamic("work_mem", Kind::Integer, "64-2147483647"),
];

const MYSQL: &[Parameter] = &[
    fixed("binlog_format", Kind::Text, "ROW,STATEMENT,MIXED,OFF"),
    dynamic("character_set_client", Kind::Text, ""),
    dynamic("character_set_database", Kind::Text, ""),
    dynamic("character_set_server", Kind::Text, ""),
    dynamic("collation_server", Kind::Text, ""),
    dynamic("general_log", Kind::Boolean, "0,1"),
    dynamic("innodb_lock_wait_timeout", Kind::Integer, "1-1073741824"),
    Parameter { is_modifiable: false, ..fixed("innodb_page_size", Kind::Integer, "") },
    dynamic("innodb_print_all_deadlocks", Kind::Boolean, "0,1"),
    dynamic("log_output", Kind::Text, "TABLE,FILE,NONE"),
    dynamic("long_query_time", Kind::Float, "0-31536000"),
    fixed("lower_case_table_names", Kind::Boolean, "0,1"),
    dynamic("max_allowed_packet", Kind::Integer, "1024-1073741824"),
    dynamic("max_connections", Kind::Integer, "1-100000"),
    dynamic("require_secure_transport", Kind::Boolean, "OFF,ON,0,1"),
    dynamic("slow_query_log", Kind::Boolean, "0,1"),
    dynamic("time_zone", Kind::Text, ""),
    dynamic("wait_timeout", Kind::Integer, "1-31536000"),
];

/// The parameters of a family.
pub(super) fn parameters(family: &str) -> &'static [Parameter] {
    if family.contains("mysql") { MYSQL } else { POSTGRES }
}

/// The parameter of this name.
pub(super) fn parameter(family: &str, name: &str) -> Result<&'static Parameter, Refusal> {
    parameters(family)
        .iter()
        .find(|parameter| parameter.name == name)
        .ok_or_else(|| Refusal::invalid(format!("Could not find parameter with name: {name}")))
}

impl Parameter {
    /// Checks a value that a caller gives it.
    pub(super) fn check(&self, value: &str) -> Result<(), Refusal> {
        if self.takes(value) {
            return Ok(());
        }
        Err(Refusal::invalid(format!(
            "Invalid parameter value: {value} for: {} allowed values are: {}",
            self.name, self.allowed
        )))
    }

    fn takes(&self, value: &str) -> bool {
        // A formula over the memory of the instance: AWS works it out later.
        if self.allowed.is_empty() || (self.kind == Kind::Integer && value.starts_with('{') && value.ends_with('}')) {
            return true;
        }
        match self.kind {
            Kind::Integer | Kind::Float => {
                let in_range = |(from, to): (f64, f64), value: f64| (from..=to).contains(&value);
                let value: Option<f64> = match self.kind {
                    Kind::Integer => value.parse::<i64>().ok().and_then(|_| value.parse().ok()),
                    _ => value.parse().ok(),
                };
                range(self.allowed).zip(value).is_some_and(|(allowed, value)| in_range(allowed, value))
            }
            Kind::List => value.split(',').all(|item| self.allowed.split(',').any(|allowed| allowed == item.trim())),
            Kind::Boolean | Kind::Text => self.allowed.split(',').any(|allowed| allowed == value),
        }
    }
}

/// Reads `0-100`; the first number may be negative.
fn range(text: &str) -> Option<(f64, f64)> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let sign = if digits.len() < text.len() { -1.0 } else { 1.0 };
    let (from, to) = digits.split_once('-')?;
    Some((sign * from.parse::<f64>().ok()?, to.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_or_named_in_the_refusal() {
        assert_eq!(version("aurora-postgresql", Some("15.4")).unwrap().family, "aurora-postgresql15");
        assert_eq!(version("aurora-postgresql", Some("15")).unwrap().version, "15.13");
        assert!(version("postgres", None).unwrap().is_default());
        let refusal = version("aurora-postgresql", Some("15.99")).unwrap_err();
        assert_eq!(refusal.code, "InvalidParameterCombination");
        assert_eq!(refusal.message, "Cannot find version 15.99 for aurora-postgresql");
        assert_eq!(version("oracle", None).unwrap_err().code, "InvalidParameterValue");
        assert_eq!(version("aurora-mysql", None).unwrap().major(), "8.0");
    }

    #[test]
    fn every_default_and_every_range_can_be_read() {
        for engine in ENGINES {
            assert!(engine.versions().any(|version| version.version == engine.default), "{}", engine.name);
        }
        let numbers = |it: &&Parameter| matches!(it.kind, Kind::Integer | Kind::Float) && !it.allowed.is_empty();
        for parameter in POSTGRES.iter().chain(MYSQL).filter(numbers) {
            assert!(range(parameter.allowed).is_some(), "{}", parameter.name);
        }
    }

    #[test]
    fn classes_exist_and_fit_the_engine() {
        let (aurora, plain) = (version("aurora-postgresql", None).unwrap(), version("postgres", None).unwrap());
        for class in ["db.serverless", "db.r6g.large", "db.t3.medium"] {
            check_class(class, &aurora).unwrap();
        }
        for class in ["db.t3.micro", "db.m5.large"] {
            check_class(class, &plain).unwrap();
            assert_eq!(check_class(class, &aurora).unwrap_err().code, "InvalidParameterCombination", "{class}");
        }
        assert_eq!(check_class("db.serverless", &plain).unwrap_err().code, "InvalidParameterCombination");
        for class in ["db.t3", "t3.micro", "db.t9.micro", "db.r6g.micro", "db.t3.huge"] {
            assert_eq!(check_class(class, &plain).unwrap_err().code, "InvalidParameterValue", "{class}");
        }
    }

    #[test]
    fn values_are_checked_by_type() {
        let takes = |name: &str, value: &str| parameter("aurora-postgresql15", name).unwrap().check(value).is_ok();
        assert!(takes("log_statement", "ddl") && !takes("log_statement", "DDL"));
        assert!(takes("log_min_duration_statement", "-1") && !takes("log_min_duration_statement", "-2"));
        assert!(takes("work_mem", "{DBInstanceClassMemory/1024}") && !takes("work_mem", "4.5"));
        assert!(takes("random_page_cost", "1.1") && !takes("random_page_cost", "x"));
        assert!(takes("shared_preload_libraries", "pg_stat_statements, pgaudit"));
        assert!(!takes("shared_preload_libraries", "pg_stat_statements,nothing"));
        assert!(takes("timezone", "Europe/Berlin"));
        assert_eq!(parameter("aurora-postgresql15", "nothing").unwrap_err().code, "InvalidParameterValue");
    }
}
