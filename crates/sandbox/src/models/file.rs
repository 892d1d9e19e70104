//! The model of files on the operator's machine.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;
use switchback_engine::file::{FileAnswer, FileAsk, FileFacts};
use switchback_model::{OpError, OpResult};

use super::{Model, Modelled};

/// By path: whole files, and the parts of those that are being written.
#[derive(Debug, Clone, Default)]
pub(crate) struct Files {
    whole: BTreeMap<String, Arc<str>>,
    parts: BTreeMap<String, Arc<str>>,
}

impl Files {
    /// Puts a file there, as the operator does before a run.
    pub(crate) fn put(&mut self, path: &str, content: &str) {
        self.whole.insert(path.to_owned(), content.into());
    }
}

fn failed(path: &str, why: &str) -> OpError {
    OpError::permanent(format!("the file `{path}`: {why}")).with_code("File")
}

/// A file below `exports/RUN/STEP-GENERATION` is that run's, and meant to stay.
fn thing(kind: &'static str, path: &str, content: &str) -> Modelled {
    let parts: Vec<&str> = path.trim_end_matches(".jsonl").split('/').collect();
    let tags = match parts.as_slice() {
        ["exports", run, step, ..] => BTreeMap::from([
            ("switchback:run".to_owned(), (*run).to_owned()),
            ("switchback:step".to_owned(), step.rsplit_once('-').map_or(*step, |(step, _)| step).to_owned()),
        ]),
        _ => BTreeMap::new(),
    };
    let attributes = BTreeMap::from([("bytes", json!(content.len())), ("lines", json!(content.lines().count()))]);
    Modelled { kind, id: path.to_owned(), residue: !tags.is_empty(), tags, attributes }
}

impl Model for Files {
    type Ask = FileAsk;

    fn answer(&mut self, ask: FileAsk) -> OpResult<FileAnswer> {
        match ask {
            FileAsk::DescribeFile { path } => {
                let facts = self.whole.get(&path).map(|content| FileFacts::of(content.as_bytes())).transpose();
                facts.map(FileAnswer::File).map_err(|error| failed(&path, &error.to_string()))
            }
            FileAsk::WriteFile { path, offset, content, last } => {
                let before = self.parts.get(&path).map_or("", |part| part);
                let Some(kept) = usize::try_from(offset).ok().and_then(|offset| before.get(..offset)) else {
                    return Err(failed(&path, "it is shorter than what was written to it"));
                };
                let all: Arc<str> = format!("{kept}{content}").into();
                if last {
                    self.parts.remove(&path);
                    self.whole.insert(path, all);
                } else {
                    self.parts.insert(path, all);
                }
                Ok(FileAnswer::Written)
            }
            FileAsk::GetLines { path, offset, lines } => {
                let content = self.whole.get(&path).ok_or_else(|| failed(&path, "it is not there"))?;
                let rest = usize::try_from(offset).ok().and_then(|offset| content.get(offset..)).unwrap_or_default();
                let most = usize::try_from(lines).unwrap_or(usize::MAX);
                let read: Vec<&str> = rest.split_inclusive('\n').take(most).collect();
                let next = read.iter().map(|line| line.len()).sum::<usize>();
                let more = rest.len() > next;
                let lines = read.iter().map(|line| line.trim_end_matches('\n').to_owned()).collect();
                Ok(FileAnswer::Lines { lines, next: more.then_some(offset + next as u64) })
            }
        }
    }

    fn things(&self) -> Vec<Modelled> {
        let whole = self.whole.iter().map(|(path, content)| ("file", path, content));
        let parts = self.parts.iter().map(|(path, content)| ("file-part", path, content));
        whole.chain(parts).map(|(kind, path, content)| thing(kind, path, content)).collect()
    }

    fn meddle(&mut self, _id: &str, _delete: bool) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use switchback_engine::file::Files as Real;

    use super::*;

    #[test]
    fn it_answers_as_the_file_system_does() {
        let folder = tempfile::tempdir().unwrap();
        let (real, mut model) = (Real::inside(folder.path()), Files::default());
        let write = |path: &str, offset, content: &str, last| FileAsk::WriteFile {
            path: path.into(),
            offset,
            content: content.into(),
            last,
        };
        let lines = |path: &str, offset, lines| FileAsk::GetLines { path: path.into(), offset, lines };
        let describe = |path: &str| FileAsk::DescribeFile { path: path.into() };
        for ask in [
            describe("a"),
            lines("a", 0, 1),
            write("a", 0, "one\ntwo\n", false),
            describe("a"),
            write("a", 9, "x", false),
            write("a", 4, "2\n\nthree", true),
            describe("a"),
            lines("a", 0, 2),
            lines("a", 6, 1),
            lines("a", 7, 9),
            write("a", 8, "four", true),
            write("a", 0, "", true),
            describe("a"),
            lines("a", 0, 3),
        ] {
            let (real, model) = (real.answer(&ask), model.answer(ask.clone()));
            assert_eq!(real.ok(), model.ok(), "{ask:?}");
        }
    }
}
