//! How long a rehearsal takes: of a real runbook, and how it grows with the number of steps.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use switchback_model::rehearsal::Certificate;

use crate::commands;
use crate::engine::Failure;

/// The certificate of a rehearsal by the built binaries, which must find nothing.
fn rehearse(folder: &Path, runbook: &Path) -> Result<Certificate, Failure> {
    let path = folder.join("certificate.json");
    let done = Command::new(commands::switchback()?)
        .args(["--state".as_ref(), folder.as_os_str(), "rehearse".as_ref(), runbook.as_os_str()])
        .args(["--input", "account=123456789012", "--certificate"])
        .arg(&path)
        .stdin(Stdio::null())
        .output()?;
    if !done.status.success() {
        let said = [done.stdout, done.stderr].concat();
        return Err(format!("the rehearsal of {} fails: {}", runbook.display(), String::from_utf8_lossy(&said)).into());
    }
    Ok(serde_json::from_slice(&std::fs::read(path)?)?)
}

/// A runbook of that many steps: a VPC, and subnets, groups and rules that hang on each other as they do in real ones.
fn generated(steps: usize) -> String {
    let mut text = String::from(
        "runbook: generated\nversion: 1\ndescription: As many steps as it takes\n\
         target: { aws: { region: us-east-1, account: \"${inputs.account}\" } }\n\
         inputs: { account: { type: string } }\n\
         phases:\n  - name: network\n    steps:\n      - id: vpc\n        op: aws.ec2.vpc\n        \
         with: { cidr_block: 10.0.0.0/16, tags: { Name: net } }\n",
    );
    for n in 1..steps {
        let (i, vpc) = (n / 3, "vpc_id: \"${vpc.vpc_id}\"");
        let _ = match n % 3 {
            1 => writeln!(
                text,
                "      - id: group{i}\n        op: aws.ec2.security_group\n        \
                 with: {{ {vpc}, group_name: group{i}, description: the group {i} }}"
            ),
            2 => writeln!(
                text,
                "      - id: rule{i}\n        op: aws.ec2.security_group_rule\n        \
                 with: {{ group_id: \"${{group{i}.group_id}}\", ip_protocol: tcp, from_port: 443, to_port: 443, \
                 cidr_ipv4: 10.0.0.0/8 }}"
            ),
            _ => writeln!(
                text,
                "      - id: subnet{i}\n        op: aws.ec2.subnet\n        \
                 with: {{ {vpc}, cidr_block: 10.0.{i}.0/24, availability_zone: us-east-1a }}"
            ),
        };
    }
    text
}

/// Prints the figures: the real runbook, then generated ones of 10, 20, 40 and 80 steps.
pub(crate) fn all(root: &Path, runbook: &Path, quick: bool) -> Result<(), Failure> {
    let mut rows = vec![("MisterSmith".to_owned(), runbook.to_owned())];
    for steps in if quick { [10, 20].as_slice() } else { &[10, 20, 40, 80] } {
        let path = root.join(format!("generated{steps}.yaml"));
        std::fs::write(&path, generated(*steps))?;
        rows.push((format!("generated, {steps} steps"), path));
    }
    for (name, path) in rows {
        let folder = root.join(format!("rehearsal-{}", name.replace([' ', ','], "")));
        std::fs::create_dir_all(&folder)?;
        let certificate = rehearse(&folder, &path)?;
        let total = certificate.totals();
        let seconds = std::time::Duration::from_millis(certificate.duration_ms).as_secs_f64();
        let number = |n: u64| u32::try_from(n).map_or(f64::MAX, f64::from);
        crate::line(
            &format!("rehearsal of {name} ({} steps)", certificate.steps),
            &format!("{seconds:.1} s"),
            &format!(
                "{} cases, {:.0} /s; {} merged; {} calls, {:.0} /s",
                total.run,
                number(total.run) / seconds,
                total.merged,
                certificate.calls,
                number(certificate.calls) / seconds
            ),
            if name == "MisterSmith" { "under 60 s on 2 cores" } else { "" },
        );
    }
    Ok(())
}
