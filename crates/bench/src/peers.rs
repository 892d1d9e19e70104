//! Terraform with the same number of resources that do nothing.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use tokio::time::Instant;

use crate::engine::Failure;

/// Whether a `terraform` binary is on the PATH.
pub(crate) fn has_terraform() -> bool {
    Command::new("terraform")
        .arg("version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|s| s.success())
}

/// The time that init and apply of `n` `terraform_data` resources take together.
pub(crate) fn terraform(folder: &Path, n: usize, chain: bool) -> Result<Duration, Failure> {
    let mut text = String::new();
    for i in 0..n {
        let input = if chain && i > 0 { format!("terraform_data.s{}.output", i - 1) } else { format!("\"{i}\"") };
        writeln!(text, "resource \"terraform_data\" \"s{i}\" {{\n  input = {input}\n}}")?;
    }
    std::fs::create_dir_all(folder)?;
    std::fs::write(folder.join("main.tf"), text)?;
    let start = Instant::now();
    for args in [&["init", "-input=false"][..], &["apply", "-auto-approve", "-input=false"]] {
        let done = Command::new("terraform").current_dir(folder).args(args).output()?;
        if !done.status.success() {
            return Err(format!("terraform {args:?}: {}", String::from_utf8_lossy(&done.stderr)).into());
        }
    }
    Ok(start.elapsed())
}
