//! Other orders of a plan's steps: a dependency that is missing shows only where what it is missing on comes later.
//!
//! Pure: it runs nothing.

use std::collections::HashMap;

use switchback_model::plan::Plan;

/// Orders of the plan's steps in which every two independent steps of a phase come both ways round. The plan's own
/// order counts as one and is not among them.
pub(crate) fn orders(plan: &Plan) -> Vec<Vec<usize>> {
    let n = plan.steps.len();
    let index: HashMap<_, _> = plan.steps.iter().enumerate().map(|(i, s)| (&s.id, i)).collect();
    let needs: Vec<Vec<usize>> =
        plan.steps.iter().map(|s| s.needs.iter().filter_map(|id| index.get(id).copied()).collect()).collect();
    // What must come before what, by all ways.
    let mut before = vec![vec![false; n]; n];
    let natural = extend(&plan.steps.iter().map(|s| s.phase).collect::<Vec<_>>(), &needs, |ready, _| ready[0]);
    for &i in &natural {
        for &j in &needs[i] {
            before[j][i] = true;
            for row in &mut before {
                row[i] = row[i] || row[j];
            }
        }
    }
    let phases: Vec<u32> = plan.steps.iter().map(|s| s.phase).collect();
    let free = |i: usize, j: usize| i != j && phases[i] == phases[j] && !before[i][j] && !before[j][i];
    let mut missing: Vec<Vec<bool>> = (0..n).map(|i| (0..n).map(|j| free(i, j)).collect()).collect();
    let cover = |order: &[usize], missing: &mut Vec<Vec<bool>>| {
        let mut new = 0;
        for (at, &i) in order.iter().enumerate() {
            for &j in &order[at + 1..] {
                new += usize::from(std::mem::replace(&mut missing[i][j], false));
            }
        }
        new
    };
    cover(&natural, &mut missing);
    let mut orders = Vec::new();
    loop {
        let order = extend(&phases, &needs, |ready, placed| {
            // The one that still has to come before the most others that are not placed.
            let gain = |i: usize| (0..n).filter(|j| missing[i][*j] && !placed[*j]).count();
            ready.iter().copied().max_by_key(|i| (gain(*i), *i)).unwrap_or(ready[0])
        });
        if cover(&order, &mut missing) > 0 {
            orders.push(order);
            continue;
        }
        // Nothing gained by looking at what is ready: the first pair that is left, by putting off its second.
        let Some(last) = (0..n).find_map(|i| missing[i].iter().position(|missing| *missing)) else { return orders };
        let order = extend(&phases, &needs, |ready, _| ready.iter().copied().find(|i| *i != last).unwrap_or(last));
        if cover(&order, &mut missing) == 0 {
            return orders;
        }
        orders.push(order);
    }
}

/// An order of steps that respects phases and needs; `choose` picks among those that are ready.
fn extend(phases: &[u32], needs: &[Vec<usize>], mut choose: impl FnMut(&[usize], &[bool]) -> usize) -> Vec<usize> {
    let n = phases.len();
    let mut placed = vec![false; n];
    let mut order = Vec::with_capacity(n);
    while order.len() < n {
        let Some(phase) = (0..n).filter(|i| !placed[*i]).map(|i| phases[i]).min() else { break };
        let ready: Vec<usize> =
            (0..n).filter(|i| !placed[*i] && phases[*i] == phase && needs[*i].iter().all(|j| placed[*j])).collect();
        if ready.is_empty() {
            break;
        }
        let i = choose(&ready, &placed);
        placed[i] = true;
        order.push(i);
    }
    order
}

#[cfg(test)]
mod tests {
    use switchback_model::StepId;
    use switchback_model::plan::{PLAN_FORMAT_VERSION, PlanStep, Policy, Target, Template};

    use super::*;

    /// Steps 0 to n, each with what it needs, in two phases from `second` on.
    fn plan(needs: &[&[usize]], second: usize) -> Plan {
        let step = |(i, needs): (usize, &&[usize])| PlanStep {
            id: StepId::new(&i.to_string()),
            phase: u32::from(i >= second),
            op: "test".into(),
            op_version: 1,
            params: Template::Lit(serde_json::json!({})),
            provider: None,
            needs: needs.iter().map(|n| StepId::new(&n.to_string())).collect(),
            timeout: None,
            attempts: None,
            on_failure: None,
            verify: Vec::new(),
            protect: false,
        };
        Plan {
            format: PLAN_FORMAT_VERSION,
            runbook: "test".into(),
            version: 1,
            description: String::new(),
            target: Target::default(),
            inputs: [].into(),
            secrets: [].into(),
            policy: Policy::default(),
            phases: vec!["one".into(), "two".into()],
            steps: needs.iter().enumerate().map(step).collect(),
            files: [].into(),
        }
    }

    #[test]
    fn every_two_independent_steps_come_both_ways_round() {
        let shapes: [(&[&[usize]], usize); 4] = [
            (&[&[], &[], &[0], &[0, 1], &[1, 2]], 9),
            (&[&[], &[0], &[0], &[0], &[0]], 9),
            (&[&[], &[], &[], &[0], &[1], &[2], &[3, 4]], 9),
            (&[&[], &[], &[0], &[], &[3], &[1]], 3),
        ];
        for (needs, second) in shapes {
            let n = needs.len();
            let plan = plan(needs, second);
            let mut all = orders(&plan);
            all.push((0..n).collect());
            let mut before = vec![vec![false; n]; n];
            for (i, needs) in needs.iter().enumerate() {
                for j in *needs {
                    before[*j][i] = true;
                    for row in &mut before {
                        row[i] = row[i] || row[*j];
                    }
                }
            }
            for order in &all {
                assert_eq!(order.len(), n);
                let at = |i: usize| order.iter().position(|other| *other == i).unwrap();
                for (i, needs) in needs.iter().enumerate() {
                    assert!(needs.iter().all(|j| at(*j) < at(i)), "{order:?}");
                }
            }
            for (i, j) in (0..n).flat_map(|i| (0..n).map(move |j| (i, j))) {
                let free = i != j && (i < second) == (j < second) && !before[i][j] && !before[j][i];
                let comes =
                    |order: &Vec<usize>| order.iter().position(|x| *x == i) < order.iter().position(|x| *x == j);
                assert!(!free || all.iter().any(comes), "{i} before {j} in {all:?}");
            }
        }
    }
}
