//! Whether the steps can be brought into an order. Linear, and without recursion: a chain may
//! be a hundred thousand steps long.

/// Cycles, each as the steps on it in the order "needs", without repeating the first one at the
/// end; smallest step first. Of cycles that hang together at least one is found, so an empty
/// answer means that there is none.
///
/// `needs[i]` are the steps that step `i` needs.
pub(crate) fn cycles(needs: &[Vec<u32>]) -> Vec<Vec<u32>> {
    let left = unordered(needs);
    let mut cycles = Vec::new();
    // 0: not seen; otherwise the number of the walk that saw it.
    let mut seen = vec![0_usize; needs.len()];
    for start in (0..needs.len()).filter(|i| left.get(*i) == Some(&true)) {
        // Whoever is left needs someone who is left: walking on must come back to the path, or
        // to one that an earlier walk took.
        let walk = start + 1;
        let mut path: Vec<u32> = Vec::new();
        let mut next = Some(start);
        while let Some(at) = next {
            let Some(mark) = seen.get_mut(at) else { break };
            if *mark == walk {
                let begin = path.iter().position(|i| *i as usize == at).unwrap_or(0);
                cycles.push(path.split_off(begin));
            }
            if *mark != 0 {
                break;
            }
            *mark = walk;
            path.push(u32::try_from(at).unwrap_or(u32::MAX));
            next = needs.get(at).into_iter().flatten().map(|n| *n as usize).find(|n| left.get(*n) == Some(&true));
        }
    }
    for cycle in &mut cycles {
        let smallest = cycle.iter().enumerate().min_by_key(|(_, step)| **step).map_or(0, |(i, _)| i);
        cycle.rotate_left(smallest);
    }
    cycles.sort();
    cycles
}

/// Which steps cannot be ordered: those on a cycle, and those that need one of them.
fn unordered(needs: &[Vec<u32>]) -> Vec<bool> {
    let mut users: Vec<Vec<u32>> = vec![Vec::new(); needs.len()];
    let mut waiting: Vec<usize> = needs.iter().map(Vec::len).collect();
    for (step, list) in (0_u32..).zip(needs) {
        for need in list {
            if let Some(users) = users.get_mut(*need as usize) {
                users.push(step);
            }
        }
    }
    let mut ready: Vec<usize> = (0..needs.len()).filter(|i| waiting.get(*i) == Some(&0)).collect();
    let mut left = vec![true; needs.len()];
    while let Some(step) = ready.pop() {
        if let Some(flag) = left.get_mut(step) {
            *flag = false;
        }
        for user in users.get(step).into_iter().flatten().map(|u| *u as usize) {
            if let Some(count) = waiting.get_mut(user) {
                *count -= 1;
                if *count == 0 {
                    ready.push(user);
                }
            }
        }
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cycles_are_found_and_what_hangs_on_them_is_not_blamed() {
        assert!(cycles(&[]).is_empty());
        assert!(cycles(&[vec![], vec![0], vec![0, 1]]).is_empty());
        assert_eq!(cycles(&[vec![0]]), [[0]]);
        assert_eq!(cycles(&[vec![1], vec![0], vec![0]]), [[0, 1]]);
        assert_eq!(cycles(&[vec![], vec![3], vec![1], vec![2]]), [[1, 3, 2]]);
        assert_eq!(cycles(&[vec![1], vec![0], vec![3], vec![2, 0]]), [vec![0, 1], vec![2, 3]]);
    }

    #[test]
    fn a_long_chain_and_a_long_ring() {
        let n = 200_000;
        let chain: Vec<Vec<u32>> = (0..n).map(|i| if i == 0 { vec![] } else { vec![i - 1] }).collect();
        assert!(cycles(&chain).is_empty());
        let ring: Vec<Vec<u32>> = (0..n).map(|i| vec![(i + 1) % n]).collect();
        assert_eq!(cycles(&ring).len(), 1);
    }
}
