//! The migration of MisterSmith as moto 5.2 can take it: without the steps whose calls it does not know.
//!
//! Works on the text, so that everything else is the runbook itself, line by line.

/// The steps that moto cannot take, with what it lacks.
pub const UNKNOWN: [(&str, &str); 14] = [
    ("vault", "ListTags of AWS Backup wants a slash at the end of its path, and else shows no tags"),
    ("backup_plan", "as the vault, which it names"),
    ("backup", "StartBackupJob is answered with 404"),
    ("artifacts", "CreateBucket does not take tags"),
    ("handler_archive", "as the bucket, in which it is"),
    ("handler_from_alerts", "RemovePermission never matches a RevisionId"),
    ("high_error_rate", "CloudWatch in CBOR is answered with 404"),
    ("start_orchestrator", "a service with tasks never becomes steady"),
    ("start_agents", "a service with tasks never becomes steady"),
    ("healthy", "no targets are registered, and a load balancer answers nothing"),
    ("cluster_endpoints", "DescribeDBClusterEndpoints is answered with 500"),
    ("orchestrator_running", "no tasks are started"),
    ("agents_running", "no tasks are started"),
    ("bake", "CloudWatch in CBOR is answered with 404"),
];

/// The bucket and the key where [`without_unknown`] has the code of the function.
pub const CODE: (&str, &str) = ("mistersmith-code", "rollback-handler.zip");

/// What else is taken out: `DescribeServices` does not show it.
const GRACE_PERIOD: &str = "          health_check_grace_period_seconds: 60\n";

/// The runbook without these steps, and without what moto does not show. Steps that needed one of them do so no more.
#[must_use]
pub fn without(runbook: &str, steps: &[&str]) -> String {
    let mut text = String::with_capacity(runbook.len());
    // The head of a phase waits for its first step: a phase of none is no phase.
    let (mut head, mut skips): (Option<String>, bool) = (None, false);
    for line in runbook.split_inclusive('\n') {
        if let Some(id) = line.strip_prefix("      - id: ") {
            skips = steps.contains(&id.trim_end());
            if !skips {
                text.push_str(&head.take().unwrap_or_default());
            }
        } else if line.starts_with("  - name: ") {
            (head, skips) = (Some(String::new()), false);
        }
        if skips {
            continue;
        }
        if let Some(head) = &mut head {
            head.push_str(line);
            continue;
        }
        match line.split_once("needs: [") {
            Some((before, rest)) => {
                let needed = rest.trim_end().trim_end_matches(']').split(", ");
                let needed: Vec<&str> = needed.filter(|id| !steps.contains(id)).collect();
                text.push_str(&format!("{before}needs: [{}]\n", needed.join(", ")));
            }
            None => text.push_str(line),
        }
    }
    text.replace(GRACE_PERIOD, "")
}

/// The runbook without what moto does not know. The code of its function is where somebody else has put it.
#[must_use]
pub fn without_unknown(runbook: &str) -> String {
    without(runbook, &UNKNOWN.map(|(step, _)| step))
        .replace("${handler_archive.bucket}", CODE.0)
        .replace("${handler_archive.key}", CODE.1)
}

/// The runbook with another server in the place of its Aurora, by host and port: nothing answers behind moto's clusters.
#[must_use]
pub fn with_database(runbook: &str, host: &str, port: &str) -> String {
    runbook.replace("host: \"${aurora.endpoint}\", port: \"${aurora.port}\"", &format!("host: {host}, port: {port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_goes_and_nobody_needs_it() {
        let text = "phases:\n  - name: a\n    steps:\n      - id: one\n        op: x\n      - id: two\n        needs: [one, b]\n  \
                    - name: c\n    steps:\n      - id: one\n        op: x\n  \
                    - name: b\n    steps:\n      - id: three\n        needs: [one]\n";
        let wanted = "phases:\n  - name: a\n    steps:\n      - id: two\n        needs: [b]\n  - name: b\n    steps:\n      \
                      - id: three\n        needs: []\n";
        assert_eq!(without(text, &["one"]), wanted);
    }
}
