//! A zip archive of text files, the same bytes for the same files on every machine and in every release.
//!
//! Plans hold text, and functions are made of archives. What verifies an archive is its digest, so nothing in it may
//! depend on a clock or on how well a library compresses: entries are stored as they are, in the order of their names,
//! dated 1980-01-01 (the first day that the format knows), readable by everybody.

use std::collections::BTreeMap;

use aws_smithy_types::base64;
use sha2::{Digest as _, Sha256};
use switchback_engine::operation::ParamError;

/// The day 1980-01-01, as the format writes it.
const DAY: u16 = (1 << 5) | 1;
/// Names are in UTF-8.
const UTF8: u16 = 1 << 11;
/// A file that all may read, as Unix writes it.
const MODE: u32 = 0o100_644 << 16;
/// What a program may hold together that is kept in a plan. Lambda takes 50 MB in the call itself.
const MOST: usize = 4 * 1024 * 1024;

/// The files of an archive: text, by name.
pub(crate) type Files = BTreeMap<String, String>;

/// Files in an archive.
pub(crate) fn archive(files: &Files) -> Vec<u8> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for (name, content) in files {
        let offset = size(out.len());
        // What both headers say: flags, method (stored), time, day, checksum, sizes, lengths of name and extra field.
        let mut common = Vec::new();
        for two in [UTF8, 0, 0, DAY] {
            common.extend(two.to_le_bytes());
        }
        for four in [crc32(content.as_bytes()), size(content.len()), size(content.len())] {
            common.extend(four.to_le_bytes());
        }
        common.extend(short(name.len()).to_le_bytes());
        common.extend([0, 0]);
        out.extend(*b"PK\x03\x04\x14\0");
        out.extend(&common);
        out.extend(name.as_bytes());
        out.extend(content.as_bytes());
        // Made on Unix, by version 2.0 of the format.
        directory.extend(*b"PK\x01\x02\x14\x03\x14\0");
        directory.extend(&common);
        // No comment, the first disk, no internal attributes.
        directory.extend([0; 6]);
        directory.extend(MODE.to_le_bytes());
        directory.extend(offset.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let (start, length, count) = (size(out.len()), size(directory.len()), short(files.len()));
    out.extend(directory);
    out.extend(*b"PK\x05\x06\0\0\0\0");
    out.extend(count.to_le_bytes());
    out.extend(count.to_le_bytes());
    out.extend(length.to_le_bytes());
    out.extend(start.to_le_bytes());
    out.extend([0, 0]);
    out
}

/// The SHA-256 digest in base 64, as AWS writes it.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    base64::encode(Sha256::digest(bytes))
}

/// Holds the files of an archive to what the format and the plan can hold.
pub(crate) fn check(files: &Files, field: &str, errors: &mut Vec<ParamError>) {
    let mut wrong = |message: String| errors.push(ParamError::new(field, message));
    for name in files.keys() {
        let is_way_out = name.split('/').any(|part| part.is_empty() || part == "." || part == "..");
        if is_way_out || name.contains('\\') || name.len() > 255 {
            wrong(format!("{name:?} is not the name of a file inside an archive, such as `rollback.py`"));
        }
    }
    let held: usize = files.values().map(String::len).sum();
    if held > MOST || files.len() > 1000 {
        wrong(format!("up to 1000 files of {MOST} bytes together; put more into S3 and name it"));
    }
}

/// Lengths are far below the limit: see [`check`].
fn size(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

fn short(length: usize) -> u16 {
    u16::try_from(length).unwrap_or(u16::MAX)
}

/// The checksum of the format: CRC-32 of ISO 3309, its bits reflected.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
    !bytes.iter().fold(u32::MAX, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(all: &[(&str, &str)]) -> Files {
        all.iter().map(|(name, content)| ((*name).to_owned(), (*content).to_owned())).collect()
    }

    #[test]
    fn the_checksum_is_that_of_the_format() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn an_archive_is_always_the_same() {
        let archive = archive(&files(&[("b.txt", "bee"), ("a/a.py", "print()\n")]));
        assert_eq!(sha256(&archive), "T5xsIRbjJTIAk0kUHM3/vd9QSvFqep/4FSywDwKImGA=");
        // 30 and 46 bytes of headers for each, their names twice, what they hold, and 22 bytes at the end.
        assert_eq!(archive.len(), 2 * (30 + 46) + 2 * (5 + 6) + 3 + 8 + 22);
        assert!(archive.starts_with(b"PK\x03\x04") && archive[archive.len() - 22..].starts_with(b"PK\x05\x06"));
    }

    #[test]
    fn names_stay_inside() {
        let wrong = |name: &str| {
            let mut errors = Vec::new();
            check(&files(&[(name, "")]), "files", &mut errors);
            !errors.is_empty()
        };
        assert!(!wrong("a.py") && !wrong("a/b.py"));
        for name in ["", "/a", "a/../b", "a//b", "a\\b", "./a"] {
            assert!(wrong(name), "{name}");
        }
    }
}
