//! Certificates of rehearsals: where they are, how they are stored, and what is believed of one.
//!
//! A certificate is stored whole or not at all. It is believed only when it can be read to its last
//! field and is about the very plan that is asked about: anything else is an error, never a pass.
//! It is a record of what was done and no signature; whoever may write the file can write another.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use switchback_model::record::Rehearsed;
use switchback_model::rehearsal::{CERTIFICATE_VERSION, Certificate};
use switchback_report::rehearsal::{RehearsalView, rehearsed};
use thiserror::Error;

use crate::app::App;
use crate::args::Rehearsal;
use crate::error::{CommandError, CommandResult, FileError};
use crate::source::Made;

/// This release: the one that a certificate must be of.
pub(crate) const RELEASE: &str = env!("CARGO_PKG_VERSION");

/// A file that is no certificate of the plan that is asked about.
#[derive(Debug, Error)]
pub(crate) enum CertificateError {
    /// It is none at all, or a damaged one.
    #[error("`{}` is not the certificate of a rehearsal, or a damaged one", .path.display())]
    Unreadable {
        path: PathBuf,
        #[source]
        source: serde_json::Error,
    },
    /// Another release wrote it, in another form.
    #[error("the certificate `{}` has version {found}, this release reads version {CERTIFICATE_VERSION}", .path.display())]
    Version { path: PathBuf, found: u64 },
    /// It is about another plan.
    #[error("the certificate `{}` is of another plan: {}, and this is {}", .path.display(), short(.found), short(.wanted))]
    OtherPlan { path: PathBuf, found: String, wanted: String },
}

/// Enough of a hash to tell it from others.
fn short(hash: &str) -> String {
    hash.chars().filter(|c| !c.is_control()).take(12).collect()
}

/// Where the certificate of a plan is, when nobody says another place.
pub(crate) fn place(state: &Path, plan_hash: &str) -> PathBuf {
    state.join("rehearsals").join(format!("{plan_hash}.json"))
}

/// Stores a certificate in the state folder.
pub(crate) fn store_in_state(state: &Path, plan_hash: &str, certificate: &Certificate) -> CommandResult<PathBuf> {
    let path = place(state, plan_hash);
    let folder = path.parent().unwrap_or(state);
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|source| FileError {
        what: "create",
        path: folder.to_owned(),
        source,
    })?;
    store(&path, certificate)?;
    Ok(path)
}

/// Stores a certificate: whole or not at all, and for its owner only.
pub(crate) fn store(path: &Path, certificate: &Certificate) -> CommandResult<()> {
    fit_to_write(path)?;
    let failed = |source| FileError { what: "write", path: path.to_owned(), source };
    let mut text = serde_json::to_vec_pretty(certificate).map_err(|e| failed(e.into()))?;
    text.push(b'\n');
    replace(path, &text).map_err(failed)?;
    Ok(())
}

/// Refuses a path that is there and is no file of its own: a device, a folder, a link.
pub(crate) fn fit_to_write(path: &Path) -> CommandResult<()> {
    let other = fs::symlink_metadata(path).is_ok_and(|m| !m.is_file());
    if other || path.file_name().is_none() || !folder_of(path).is_dir() {
        let source = io::Error::other("it is not a file, or its folder is not there");
        return Err(FileError { what: "write", path: path.to_owned(), source }.into());
    }
    Ok(())
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Puts a new file in the place of `path`. A process that dies in the middle leaves the old one.
fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    let folder = folder_of(path);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let new = folder.join(format!(".{name}.{:016x}", rand::random::<u64>()));
    let written = || -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        file.write_all(text)?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        File::open(folder)?.sync_all()
    };
    written().inspect_err(|_| {
        // Whether it can be taken away or not: what counts is why it could not be written.
        let _ = fs::remove_file(&new);
    })
}

/// What the certificate at `path` says about the plan; `None`: there is no such file.
pub(crate) fn read(path: &Path, plan_hash: &str) -> CommandResult<Option<Rehearsed>> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        // Whether the state folder can be used is said where it is needed.
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(None),
        Err(source) => return Err(FileError { what: "read", path: path.to_owned(), source }.into()),
    };
    let certificate = parse(path, &bytes)?;
    if certificate.plan_hash != plan_hash {
        let (found, wanted) = (certificate.plan_hash, plan_hash.to_owned());
        return Err(CertificateError::OtherPlan { path: path.to_owned(), found, wanted }.into());
    }
    Ok(Some(Rehearsed {
        certificate: switchback_model::canonical::hex(&Sha256::digest(&bytes)),
        at: certificate.finished_at,
        switchback: certificate.switchback.clone(),
        cases: certificate.totals().run,
        findings: u64::try_from(certificate.findings.len()).unwrap_or(u64::MAX),
        worth: certificate.worth(RELEASE),
    }))
}

fn parse(path: &Path, bytes: &[u8]) -> Result<Certificate, CertificateError> {
    /// The version first: a certificate of another version need not have the fields of this one.
    #[derive(Deserialize)]
    struct Head {
        version: u64,
    }
    let unreadable = |source| CertificateError::Unreadable { path: path.to_owned(), source };
    let head: Head = serde_json::from_slice(bytes).map_err(unreadable)?;
    if head.version != u64::from(CERTIFICATE_VERSION) {
        return Err(CertificateError::Version { path: path.to_owned(), found: head.version });
    }
    serde_json::from_slice(bytes).map_err(unreadable)
}

/// What is known of a plan's rehearsal. `command` rehearses it. A file that somebody names must be
/// there; where nobody does, there may be none.
pub(crate) fn look(
    app: &App,
    args: &Rehearsal,
    made: &Made,
    required: bool,
    command: String,
) -> CommandResult<RehearsalView> {
    let advised = |e: CommandError| e.hint(command.clone(), "rehearse this plan, and store its certificate");
    let rehearsed = match &args.rehearsal {
        Some(path) => match read(path, &made.hash).map_err(advised)? {
            None => {
                let source = io::ErrorKind::NotFound.into();
                let error = FileError { what: "read", path: path.clone(), source };
                return Err(advised(error.into()));
            }
            there => there,
        },
        None => read(&place(&app.state, &made.hash), &made.hash).map_err(advised)?,
    };
    Ok(RehearsalView { rehearsed, required: required || made.plan.policy.require_rehearsal, command })
}

/// Refuses a run that needs a rehearsal that proves, and has none.
pub(crate) fn must_suffice(view: &RehearsalView) -> CommandResult<()> {
    if view.suffices() {
        return Ok(());
    }
    let error = match &view.rehearsed {
        None => CommandError::refused("a rehearsal is required, and there is none of this very plan"),
        Some(r) => CommandError::refused(format!("a rehearsal that proves is required: {}", rehearsed(r))),
    };
    Err(error.advice("nothing was done").hint(view.command.clone(), "every crash and every fault, in the sandbox"))
}
