//! Which step may start when. Pure bookkeeping over the plan's graph: it starts nothing.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};

use switchback_model::StepId;
use switchback_model::status::State;

use super::shared::Shared;
use crate::recovery::{Backward, plan_backward};

/// Which step may start: its dependencies are done, and so is the phase before.
pub(crate) struct Schedule {
    phases: Vec<u32>,
    /// Steps that wait for this one.
    waiting: Vec<Vec<u32>>,
    /// For how many others each step waits.
    missing: Vec<u32>,
    /// Of each phase, the steps that are not done.
    open: Vec<usize>,
    /// Of each phase, the steps whose dependencies are done.
    ready: Vec<BinaryHeap<Reverse<(i64, usize)>>>,
    /// The order in which phases run.
    order: Vec<usize>,
    at: usize,
    back: bool,
    all: bool,
}

impl Schedule {
    fn new(shared: &Shared, in_scope: &[bool], back: bool) -> Self {
        let plan = &shared.plan;
        let n = plan.steps.len();
        let phases: Vec<u32> = plan.steps.iter().map(|s| s.phase).collect();
        let n_phases = plan.phases.len().max(phases.iter().max().map_or(0, |p| *p as usize + 1));
        let mut waiting = vec![Vec::new(); n];
        let mut missing = vec![0_u32; n];
        {
            let history = shared.history();
            for (i, step) in plan.steps.iter().enumerate() {
                if !in_scope[i] {
                    continue;
                }
                let mut needs: Vec<usize> = step.needs.iter().filter_map(|n| history.index_of(n)).collect();
                let mut seen: HashSet<usize> = needs.iter().copied().collect();
                while let Some(j) = needs.pop() {
                    // What was left out still orders what stands on both sides of it.
                    if !in_scope[j] && history.status(j).state != State::Verified {
                        let beyond = plan.steps[j].needs.iter().filter_map(|n| history.index_of(n));
                        needs.extend(beyond.filter(|n| seen.insert(*n)));
                    }
                    if in_scope[j] {
                        let (first, then) = if back { (i, j) } else { (j, i) };
                        waiting[first].push(u32::try_from(then).unwrap_or(u32::MAX));
                        missing[then] += 1;
                    }
                }
            }
        }
        let mut open = vec![0; n_phases];
        for i in 0..n {
            if in_scope[i] {
                open[phases[i] as usize] += 1;
            }
        }
        let mut order: Vec<usize> = (0..n_phases).collect();
        if back {
            order.reverse();
        }
        let mut schedule = Self {
            ready: (0..n_phases).map(|_| BinaryHeap::new()).collect(),
            phases,
            waiting,
            missing,
            open,
            order,
            at: 0,
            back,
            all: in_scope.iter().all(|s| *s),
        };
        for (i, scope) in in_scope.iter().enumerate() {
            if *scope && schedule.missing[i] == 0 {
                schedule.push(i);
            }
        }
        schedule
    }

    /// Every step that is not done, or only those that `--to` needs.
    pub(crate) fn forward(shared: &Shared) -> Result<Self, String> {
        let plan = &shared.plan;
        let history = shared.history();
        let todo: Vec<bool> = (0..plan.steps.len()).map(|i| !history.status(i).state.is_done()).collect();
        let Some(to) = &shared.options.to else {
            drop(history);
            return Ok(Self::new(shared, &todo, false));
        };
        let goal = history.index_of(to).ok_or_else(|| format!("the plan has no step `{to}`"))?;
        let mut scope = vec![false; plan.steps.len()];
        let mut stack = vec![goal];
        while let Some(i) = stack.pop() {
            if !std::mem::replace(&mut scope[i], true) {
                stack.extend(plan.steps[i].needs.iter().filter_map(|n| history.index_of(n)));
            }
        }
        for (i, step) in plan.steps.iter().enumerate() {
            scope[i] |= step.phase < plan.steps[goal].phase;
        }
        drop(history);
        let both: Vec<bool> = scope.iter().zip(&todo).map(|(s, t)| *s && *t).collect();
        let mut schedule = Self::new(shared, &both, false);
        schedule.all = scope.iter().zip(&todo).all(|(s, t)| *s || !*t);
        Ok(schedule)
    }

    /// Every step that something must be done with.
    pub(crate) fn back(shared: &Shared, kept: &HashSet<StepId>) -> Self {
        let scope: Vec<bool> = {
            let history = shared.history();
            shared
                .plan
                .steps
                .iter()
                .enumerate()
                .map(|(i, s)| plan_backward(history.status(i), kept.contains(&s.id)) != Backward::Nothing)
                .collect()
        };
        Self::new(shared, &scope, true)
    }

    fn push(&mut self, i: usize) {
        // Plan order going forward, its reverse going back.
        let key = i64::try_from(i).unwrap_or(i64::MAX);
        self.ready[self.phases[i] as usize].push(Reverse((if self.back { -key } else { key }, i)));
    }

    pub(crate) fn next(&mut self) -> Option<usize> {
        loop {
            let phase = *self.order.get(self.at)?;
            if self.open[phase] == 0 {
                self.at += 1;
                continue;
            }
            return self.ready[phase].pop().map(|Reverse((_, i))| i);
        }
    }

    pub(crate) fn done(&mut self, i: usize) {
        self.open[self.phases[i] as usize] -= 1;
        for then in std::mem::take(&mut self.waiting[i]) {
            let then = then as usize;
            self.missing[then] -= 1;
            if self.missing[then] == 0 {
                self.push(then);
            }
        }
    }

    /// Whether, when it is through, every step of the plan is done.
    pub(crate) fn covers_all(&self) -> bool {
        self.all
    }
}
