//! A folder of its own for a test, and `switchback` in it.

use std::fmt;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// Three checkpoints in two phases; the last one twice.
pub(crate) const CHECKPOINTS: &str = "\
runbook: demo
version: 1
phases:
  - name: first
    steps:
      - id: a
        op: control.checkpoint
      - id: b
        op: control.checkpoint
        with: { message: half way }
        needs: [a]
  - name: second
    steps:
      - id: c
        op: control.checkpoint
        for_each: [x, y]
        with: { message: \"${each.key}\" }
";

/// A folder of its own.
pub(crate) struct Place {
    dir: TempDir,
}

/// What a command did.
#[must_use]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    /// With the runbook of checkpoints in it.
    pub(crate) fn with_checkpoints() -> Self {
        let place = Self::new();
        place.write("demo.yaml", CHECKPOINTS);
        place
    }

    /// With a chain of so many checkpoints in `chain.yaml`: one that takes its time, since every
    /// step waits for the commit of the one before.
    pub(crate) fn with_chain(steps: usize) -> Self {
        let place = Self::new();
        let mut text = "runbook: chain\nversion: 1\nphases:\n  - name: all\n    steps:\n".to_owned();
        for i in 0..steps {
            text.push_str(&format!("      - id: s{i}\n        op: control.checkpoint\n"));
            if i > 0 {
                text.push_str(&format!("        needs: [s{}]\n", i - 1));
            }
        }
        place.write("chain.yaml", &text);
        place
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        fs::write(self.path(name), text).unwrap();
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_switchback"));
        command.args(args).current_dir(self.dir.path()).env_clear().env("HOME", self.dir.path()).stdin(Stdio::null());
        command
    }

    /// Runs it; the words are the arguments.
    pub(crate) fn run(&self, line: &str) -> Ran {
        self.args(&line.split_whitespace().collect::<Vec<_>>())
    }

    fn args(&self, args: &[&str]) -> Ran {
        self.command(args).output().unwrap().into()
    }

    /// Runs it and expects that exit code.
    pub(crate) fn expect(&self, code: i32, line: &str) -> Ran {
        let ran = self.run(line);
        assert_eq!(ran.code, Some(code), "`switchback {line}`: {ran}");
        ran
    }

    /// Runs it, and nothing but the exit code is of interest.
    pub(crate) fn exits(&self, code: i32, line: &str) {
        let _ran: Ran = self.expect(code, line);
    }

    /// Starts it and waits for a line of stdout that contains `until`.
    pub(crate) fn start_until(&self, line: &str, until: &str) -> (Child, BufReader<std::process::ChildStdout>) {
        let args: Vec<_> = line.split_whitespace().collect();
        start_until(self.command(&args), until)
    }

    /// The ids of the runs, oldest first.
    pub(crate) fn runs(&self) -> Vec<String> {
        let lines = self.expect(0, "runs --json").json();
        lines.iter().map(|l| l["run"].as_str().unwrap().to_owned()).collect()
    }

    /// The states of the steps, in plan order.
    pub(crate) fn states(&self) -> Vec<String> {
        let status = self.expect(0, "status --json").json();
        let steps = status[0]["data"]["steps"].as_array().unwrap().clone();
        steps.iter().map(|s| format!("{} {}", s["step"].as_str().unwrap(), s["state"].as_str().unwrap())).collect()
    }

    pub(crate) fn journal(&self) -> PathBuf {
        self.path("state/journal.db")
    }

    /// The names in a folder, without what SQLite keeps beside its file.
    pub(crate) fn names(&self, folder: &str) -> Vec<String> {
        let path: &Path = &self.path(folder);
        let Ok(entries) = fs::read_dir(path) else { return Vec::new() };
        let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.retain(|n| !n.starts_with("journal.db-"));
        names.sort();
        names
    }
}

/// Starts a command and waits for a line of its stdout that contains `until`.
pub(crate) fn start_until(mut command: Command, until: &str) -> (Child, BufReader<std::process::ChildStdout>) {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut read = String::new();
    while !read.contains(until) {
        assert_ne!(stdout.read_line(&mut read).unwrap(), 0, "it ended before {until:?}: {read}");
    }
    (child, stdout)
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Ran {
    /// stdout as JSON lines.
    pub(crate) fn json(&self) -> Vec<Value> {
        self.stdout.lines().map(|l| serde_json::from_str(l).unwrap_or_else(|e| panic!("{l}: {e}"))).collect()
    }
}

/// For snapshots: everything, with ids, times and durations masked.
impl fmt::Display for Ran {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = self.code.map_or_else(|| "signal".to_owned(), |c| c.to_string());
        writeln!(f, "exit {code}")?;
        for (name, text) in [("stdout", &self.stdout), ("stderr", &self.stderr)] {
            if !text.is_empty() {
                write!(f, "--- {name}\n{}", masked(text))?;
            }
        }
        Ok(())
    }
}

/// Forms that differ from run to run; `#` is a digit, `x` a hexadecimal digit.
const FORMS: [(&str, &str); 7] = [
    ("xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx", "[run]"),
    ("####-##-## ##:##:##Z", "[time]"),
    ("####-##-##T##:##:##Z", "[time]"),
    (" xxxxxxxx ", " [id] "),
    (" xxxxxxxx\n", " [id]\n"),
    ("plan xxxxxxxxxxxx", "plan [hash]"),
    ("process ####", "process [pid]"),
];

fn masked(text: &str) -> String {
    let fits = |form: &str, at: &str| {
        at.len() >= form.len()
            && form.bytes().zip(at.bytes()).all(|(f, c)| match f {
                b'#' => c.is_ascii_digit(),
                b'x' => c.is_ascii_hexdigit() && !c.is_ascii_uppercase(),
                f => f == c,
            })
    };
    let mut out = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if let Some((form, mask)) = FORMS.iter().find(|(form, _)| fits(form, rest)) {
            out.push_str(mask);
            rest = &rest[form.len()..];
        } else {
            out.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    // `(4 steps, 8 ms)` ends with a duration.
    let lines = out.lines().map(|line| match line.rsplit_once(", ") {
        Some((head, tail)) if tail.ends_with(" ms)") || tail.ends_with(" s)") => format!("{head}, [took])"),
        _ => line.to_owned(),
    });
    let text: Vec<_> = lines.collect();
    text.join("\n") + "\n"
}
