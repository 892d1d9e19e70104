//! The hash chain: from a record's columns to its hash, and nothing else.
//!
//! The encoding is the one that the crate's documentation gives to auditors. It is made of exactly
//! what is stored, so writing and checking use the same bytes and neither parses a payload.

use sha2::{Digest, Sha256};
use switchback_model::RunId;

/// A SHA-256 hash.
pub type Hash = [u8; 32];

const RUN_FORM: &str = "switchback-run-1";
const RECORD_FORM: &str = "switchback-record-1";

/// A run's row, as hashed.
pub(crate) struct RunColumns<'a> {
    pub(crate) run: &'a str,
    pub(crate) plan: &'a str,
    pub(crate) runbook: &'a str,
    pub(crate) endpoint: &'a str,
    pub(crate) created_at: i64,
}

/// A record's row, as hashed.
#[derive(Debug, Clone, Copy)]
pub struct Columns<'a> {
    /// Its place in the run, from 1.
    pub seq: i64,
    /// When, in nanoseconds since 1970, UTC.
    pub at: i64,
    /// Who, as JSON.
    pub actor: &'a str,
    /// The step, where it is about one.
    pub step: Option<&'a str>,
    /// The step's generation.
    pub generation: i64,
    /// Which way the run went.
    pub direction: &'a str,
    /// Its kind.
    pub kind: &'a str,
    /// What it says, as JSON.
    pub payload: &'a str,
}

/// What the first record of a run is chained to.
pub(crate) fn genesis(run: &RunColumns<'_>) -> Hash {
    let mut bytes = Vec::with_capacity(512);
    netstring(&mut bytes, RUN_FORM);
    for text in [run.run, run.plan, run.runbook, run.endpoint] {
        netstring(&mut bytes, text);
    }
    netstring_of_number(&mut bytes, run.created_at);
    Sha256::digest(&bytes).into()
}

/// SHA-256 of a text, in hex.
pub(crate) fn hex_digest(text: &str) -> String {
    switchback_model::canonical::hex(&Sha256::digest(text.as_bytes()))
}

/// Hashes the records of one run. Keeps its buffer: no allocation a record.
#[derive(Debug)]
pub struct Chain {
    /// Room for the hash before, then what is the same in every record of the run.
    buffer: Vec<u8>,
    fixed: usize,
}

impl Chain {
    /// The chain of one run.
    #[must_use]
    pub fn new(run: RunId) -> Self {
        let mut buffer = vec![0; size_of::<Hash>()];
        netstring(&mut buffer, RECORD_FORM);
        netstring(&mut buffer, &run.to_string());
        let fixed = buffer.len();
        Self { buffer, fixed }
    }

    /// The hash of a record that follows one with the hash `previous`.
    #[must_use]
    pub fn next(&mut self, previous: &Hash, record: &Columns<'_>) -> Hash {
        let out = &mut self.buffer;
        out.truncate(self.fixed);
        out[..size_of::<Hash>()].copy_from_slice(previous);
        netstring_of_number(out, record.seq);
        netstring_of_number(out, record.at);
        netstring(out, record.actor);
        netstring(out, record.step.unwrap_or_default());
        netstring_of_number(out, record.generation);
        netstring(out, record.direction);
        netstring(out, record.kind);
        netstring(out, record.payload);
        Sha256::digest(&*out).into()
    }
}

fn netstring(out: &mut Vec<u8>, text: &str) {
    decimal(out, text.len() as u64);
    out.push(b':');
    out.extend_from_slice(text.as_bytes());
    out.push(b',');
}

fn netstring_of_number(out: &mut Vec<u8>, number: i64) {
    let mut digits = Vec::with_capacity(20);
    if number < 0 {
        digits.push(b'-');
    }
    decimal(&mut digits, number.unsigned_abs());
    decimal(out, digits.len() as u64);
    out.push(b':');
    out.extend_from_slice(&digits);
    out.push(b',');
}

fn decimal(out: &mut Vec<u8>, number: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut rest = number;
    loop {
        at -= 1;
        digits[at] = b"0123456789"[(rest % 10) as usize];
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn run() -> RunId {
        RunId::new(Uuid::from_u128(7))
    }

    fn record() -> Columns<'static> {
        Columns {
            seq: 1,
            at: -5,
            actor: "{}",
            step: Some("vpc"),
            generation: 1,
            direction: "forward",
            kind: "RolledBack",
            payload: "{}",
        }
    }

    #[test]
    fn the_encoding_is_the_documented_one() {
        let mut chain = Chain::new(run());
        let hash = chain.next(&[9; 32], &record());
        let mut by_hand = vec![9; 32];
        by_hand.extend_from_slice(
            b"19:switchback-record-1,36:00000000-0000-0000-0000-000000000007,1:1,2:-5,2:{},3:vpc,1:1,7:forward,\
              10:RolledBack,2:{},",
        );
        assert_eq!(hash, <Hash>::from(Sha256::digest(&by_hand)));
        assert_eq!(hash, chain.next(&[9; 32], &record()), "the buffer keeps nothing of the record before");
    }

    #[test]
    fn every_column_and_every_border_between_columns_counts() {
        let mut chain = Chain::new(run());
        let mut seen = std::collections::HashSet::new();
        let mut check = |previous: &Hash, columns: Columns<'_>| {
            assert!(seen.insert(chain.next(previous, &columns)), "two records with one hash");
        };
        check(&[0; 32], record());
        check(&[1; 32], record());
        check(&[0; 32], Columns { seq: 2, ..record() });
        check(&[0; 32], Columns { at: 5, ..record() });
        check(&[0; 32], Columns { actor: "{ }", ..record() });
        check(&[0; 32], Columns { step: None, ..record() });
        check(&[0; 32], Columns { generation: 2, ..record() });
        check(&[0; 32], Columns { direction: "unwinding", ..record() });
        check(&[0; 32], Columns { kind: "RolledBac", payload: "k{}", ..record() });
        check(&[0; 32], Columns { kind: "RolledBack{", payload: "}", ..record() });
        check(&[0; 32], Columns { payload: "{}\n", ..record() });
    }

    #[test]
    fn numbers_are_decimal() {
        for n in [0, 1, 9, 10, 1234, u64::MAX] {
            let mut out = Vec::new();
            decimal(&mut out, n);
            assert_eq!(out, n.to_string().as_bytes());
        }
        let mut out = Vec::new();
        netstring_of_number(&mut out, i64::MIN);
        assert_eq!(out, b"20:-9223372036854775808,");
    }
}
