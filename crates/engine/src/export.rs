//! What a rollback would destroy goes into a file first; how such files are named and written.
//!
//! An export stays: it is what somebody may need afterwards. Its place follows from run, step and generation, so that an
//! export that is repeated after a crash is written over, and one of another generation is not.

use switchback_model::{OpError, OpResult};

use crate::cx::Cx;
use crate::file::{FileAnswer, FileAsk, FileFacts};

/// Where this step's exports are: `exports/RUN/STEP-GENERATION`, inside of the folder of the journal.
#[must_use]
pub fn folder(cx: &Cx) -> String {
    format!("exports/{}/{}-{}", cx.run(), file_name(&cx.step().as_tag_value()), cx.generation())
}

/// The same, for people, before there is a run.
#[must_use]
pub fn folder_pattern() -> &'static str {
    "exports/{run}/{step}-{generation}"
}

/// A text as the name of a file: harmless, and not always another one for another text.
#[must_use]
pub fn file_name(text: &str) -> String {
    text.chars().map(|c| if c.is_alphanumeric() || ".-_".contains(c) { c } else { '_' }).collect()
}

/// A file that is being written, part by part; see [`FileAsk::WriteFile`].
#[derive(Debug)]
pub struct Writer {
    path: String,
    bytes: u64,
}

impl Writer {
    /// A new file; one of this name stays until the new one is whole.
    #[must_use]
    pub fn new(path: &str) -> Self {
        Self { path: path.to_owned(), bytes: 0 }
    }

    async fn write(&mut self, cx: &Cx, content: String, last: bool) -> OpResult<()> {
        let length = content.len() as u64;
        cx.ask(FileAsk::WriteFile { path: self.path.clone(), offset: self.bytes, content, last }).await?;
        self.bytes += length;
        Ok(())
    }

    /// Adds lines, in one call.
    ///
    /// # Errors
    /// Those of the file system.
    pub async fn lines(&mut self, cx: &Cx, lines: &[String]) -> OpResult<()> {
        if lines.is_empty() {
            return Ok(());
        }
        let mut content = String::with_capacity(lines.iter().map(|line| line.len() + 1).sum());
        for line in lines {
            content.push_str(line);
            content.push('\n');
        }
        self.write(cx, content, false).await
    }

    /// The file is whole, durable, and read back.
    ///
    /// # Errors
    /// Those of the file system.
    pub async fn finish(mut self, cx: &Cx) -> OpResult<FileFacts> {
        self.write(cx, String::new(), true).await?;
        describe(cx, &self.path)
            .await?
            .ok_or_else(|| OpError::permanent(format!("the file `{}` is not there although it was written", self.path)))
    }
}

/// What a file is; none: it is not there.
///
/// # Errors
/// Those of the file system.
pub async fn describe(cx: &Cx, path: &str) -> OpResult<Option<FileFacts>> {
    match cx.ask(FileAsk::DescribeFile { path: path.to_owned() }).await? {
        FileAnswer::File(facts) => Ok(facts),
        other => Err(OpError::permanent(format!("the answer to `DescribeFile` has another form: {other:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_are_harmless() {
        assert_eq!(file_name("core.\"a/../b\""), "core._a_.._b_");
        assert_eq!(file_name("export/1a"), "export_1a");
    }
}
