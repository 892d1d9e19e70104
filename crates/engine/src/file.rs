//! Files on the operator's machine: where exports go, and what imports read.
//!
//! A file is written in parts under a name of its own and gets its name with the last part, when all of it is durable:
//! what has the name is whole. A relative path is one inside of the folder that [`Files`] was given.

use std::io::{self, BufRead as _, BufReader, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use switchback_model::{ErrorClass, OpError, OpResult, canonical};

use crate::cx::Cx;
use crate::operation::BoxFuture;
use crate::remote::{Ask, Remote};

/// A call about a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FileAsk {
    /// What there is.
    DescribeFile {
        /// Which.
        path: String,
    },
    /// Writes a part.
    WriteFile {
        /// Which.
        path: String,
        /// Where in it, in bytes; a file is begun at 0, and what was written beyond is cut off.
        offset: u64,
        /// What.
        content: String,
        /// It is the last one: the file gets its name, in place of an older one.
        last: bool,
    },
    /// Reads whole lines.
    GetLines {
        /// Which.
        path: String,
        /// From which byte on: the begin of a line.
        offset: u64,
        /// At most so many lines.
        lines: u32,
    },
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FileAnswer {
    /// To `DescribeFile`; none: there is no such file.
    File(Option<FileFacts>),
    /// To `WriteFile`.
    Written,
    /// To `GetLines`.
    Lines {
        /// Without their ends.
        lines: Vec<String>,
        /// Where the next line begins, in bytes; none: there is none.
        next: Option<u64>,
    },
}

/// What a file is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileFacts {
    /// Its size.
    pub bytes: u64,
    /// How many lines it has.
    pub lines: u64,
    /// Of its content, in hex.
    pub sha256: String,
}

impl FileFacts {
    /// The facts of this content.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn of(mut content: impl io::Read) -> io::Result<Self> {
        let (mut digest, mut bytes, mut lines) = (Sha256::new(), 0_u64, 0_u64);
        let mut part = vec![0; 64 * 1024];
        let mut open = false;
        loop {
            let n = content.read(&mut part)?;
            let Some(read) = part.get(..n).filter(|read| !read.is_empty()) else { break };
            digest.update(read);
            bytes += read.len() as u64;
            lines += read.iter().filter(|byte| **byte == b'\n').count() as u64;
            open = !read.ends_with(b"\n");
        }
        let sha256 = canonical::hex(&digest.finalize());
        Ok(Self { bytes, lines: lines + u64::from(open), sha256 })
    }
}

impl Ask for FileAsk {
    const SERVICE: &'static str = "file";
    type Answer = FileAnswer;

    fn action(&self) -> &'static str {
        match self {
            Self::DescribeFile { .. } => "DescribeFile",
            Self::WriteFile { .. } => "WriteFile",
            Self::GetLines { .. } => "GetLines",
        }
    }

    fn writes(&self) -> bool {
        matches!(self, Self::WriteFile { .. })
    }
}

/// The files of this machine.
#[derive(Debug, Clone)]
pub struct Files {
    folder: PathBuf,
}

impl Files {
    /// Relative paths are inside of this folder, which is made when something is written to it.
    #[must_use]
    pub fn inside(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// Does what is asked; blocks.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn answer(&self, ask: &FileAsk) -> io::Result<FileAnswer> {
        match ask {
            FileAsk::DescribeFile { path } => match std::fs::File::open(self.folder.join(path)) {
                Ok(file) => FileFacts::of(file).map(|facts| FileAnswer::File(Some(facts))),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(FileAnswer::File(None)),
                Err(error) => Err(error),
            },
            FileAsk::WriteFile { path, offset, content, last } => {
                write(&self.folder.join(path), *offset, content, *last).map(|()| FileAnswer::Written)
            }
            FileAsk::GetLines { path, offset, lines } => read_lines(&self.folder.join(path), *offset, *lines),
        }
    }
}

fn write(path: &Path, offset: u64, content: &str, last: bool) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    // What is exported is the operator's alone.
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    let part = path.with_file_name(name);
    let mut file = std::fs::OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&part)?;
    if file.metadata()?.len() < offset {
        return Err(io::Error::other(format!("`{}` is shorter than what was written to it", part.display())));
    }
    file.set_len(offset)?;
    file.seek(SeekFrom::Start(offset))?;
    file.write_all(content.as_bytes())?;
    if last {
        file.sync_all()?;
        std::fs::rename(&part, path)?;
        std::fs::File::open(folder)?.sync_all()?;
    }
    Ok(())
}

fn read_lines(path: &Path, offset: u64, most: u32) -> io::Result<FileAnswer> {
    let mut file = std::fs::File::open(path)?;
    file.seek(SeekFrom::Start(offset))?;
    let (mut reader, mut lines, mut next) = (BufReader::new(file), Vec::new(), offset);
    for _ in 0..most {
        let mut line = String::new();
        let n = reader.read_line(&mut line)?;
        if n == 0 {
            break;
        }
        next += n as u64;
        let ends = line.trim_end_matches('\n').len();
        line.truncate(ends);
        lines.push(line);
    }
    let more = !reader.fill_buf()?.is_empty();
    Ok(FileAnswer::Lines { lines, next: more.then_some(next) })
}

impl Remote<FileAsk> for Files {
    fn ask<'a>(&'a self, _cx: &'a Cx, ask: FileAsk) -> BoxFuture<'a, OpResult<FileAnswer>> {
        Box::pin(async move {
            let files = self.clone();
            let path = match &ask {
                FileAsk::DescribeFile { path } | FileAsk::WriteFile { path, .. } | FileAsk::GetLines { path, .. } => {
                    self.folder.join(path)
                }
            };
            let answer = tokio::task::spawn_blocking(move || files.answer(&ask)).await;
            let failed = |error: &dyn std::fmt::Display| {
                OpError::new(ErrorClass::Permanent, format!("the file `{}`: {error}", path.display())).with_code("File")
            };
            answer.map_err(|error| failed(&error))?.map_err(|error| failed(&error))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(files: &Files, offset: u64, content: &str, last: bool) -> io::Result<FileAnswer> {
        files.answer(&FileAsk::WriteFile { path: "a/b.jsonl".into(), offset, content: content.into(), last })
    }

    #[test]
    fn a_file_has_its_name_when_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::inside(folder.path());
        let describe = || files.answer(&FileAsk::DescribeFile { path: "a/b.jsonl".into() }).unwrap();
        write(&files, 0, "one\n", false).unwrap();
        write(&files, 4, "two\n", false).unwrap();
        assert_eq!(describe(), FileAnswer::File(None));
        // A part that is written again, after a crash, is there once.
        write(&files, 4, "TWO\nthree", true).unwrap();
        let facts = FileFacts::of("one\nTWO\nthree".as_bytes()).unwrap();
        assert_eq!((facts.bytes, facts.lines), (13, 3));
        assert_eq!(describe(), FileAnswer::File(Some(facts)));
        assert!(write(&files, 4, "x", true).is_err(), "the part before is not there");
    }

    #[test]
    fn lines_are_read_on_from_where_they_were_left() {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::inside(folder.path());
        write(&files, 0, "one\ntwo\nthree", true).unwrap();
        let read = |offset| files.answer(&FileAsk::GetLines { path: "a/b.jsonl".into(), offset, lines: 2 }).unwrap();
        let lines = |all: &[&str]| all.iter().map(|line| (*line).to_owned()).collect();
        assert_eq!(read(0), FileAnswer::Lines { lines: lines(&["one", "two"]), next: Some(8) });
        assert_eq!(read(8), FileAnswer::Lines { lines: lines(&["three"]), next: None });
    }
}
