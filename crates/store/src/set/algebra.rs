//! Intersection, union and difference.
//!
//! Nothing is built that is not asked for: members are shown one by one, each once.

use super::Set;
use crate::dict::Dict;
use crate::element::Element;
use crate::value::{Collection, Limits};
use std::ops::ControlFlow;

/// Sets up to which a union asks all sets before whether they have a member. More are put into a table.
const FEW: usize = 6;

/// Shows the members that all sets have. Without sets there are none.
///
/// Those of the smallest are looked up in the others, the smaller ones first, because they are the
/// likeliest not to have it.
pub fn intersect(
    sets: &[&Set],
    mut visit: impl FnMut(Element<'_>) -> ControlFlow<()>,
) -> ControlFlow<()> {
    let mut sets = sets.to_vec();
    sets.sort_by_key(|set| set.len());
    let Some((smallest, others)) = sets.split_first() else {
        return ControlFlow::Continue(());
    };
    for member in smallest.iter() {
        if others.iter().all(|set| set.contains_element(member)) {
            visit(member)?;
        }
    }
    ControlFlow::Continue(())
}

/// Shows the members that any set has.
pub fn unite(sets: &[&Set], mut visit: impl FnMut(Element<'_>)) {
    let mut sets = sets.to_vec();
    // Those of the largest need not be looked up.
    sets.sort_by_key(|set| std::cmp::Reverse(set.len()));
    if sets.len() <= FEW {
        for (i, set) in sets.iter().enumerate() {
            let before = &sets[..i];
            set.iter()
                .filter(|member| !before.iter().any(|other| other.contains_element(*member)))
                .for_each(&mut visit);
        }
        return;
    }
    let mut seen = Dict::new();
    for member in sets.iter().flat_map(|set| set.iter()) {
        if member.with(|bytes| seen.insert(bytes, &[])) {
            visit(member);
        }
    }
}

/// Shows the members of the first set that no other has.
pub fn subtract(first: &Set, others: &[&Set], visit: impl FnMut(Element<'_>)) {
    let mut others = others.to_vec();
    others.sort_by_key(|set| std::cmp::Reverse(set.len()));
    first
        .iter()
        .filter(|member| !others.iter().any(|other| other.contains_element(*member)))
        .for_each(visit);
}

/// The same as a set.
///
/// If the others are small, it is quicker to take their members out of a copy than to look up all of the
/// first in them. The copy is made member by member and the choice is as Redis makes it, because both
/// decide the result's encoding.
pub fn difference(first: &Set, others: &[&Set], limits: &Limits) -> Set {
    let mut result = Set::default();
    let look_ups = first.len().saturating_mul(others.len() + 1) / 2;
    let removals = first.len() + others.iter().map(|set| set.len()).sum::<usize>();
    if look_ups <= removals {
        subtract(first, others, |member| {
            result.add_element(member, limits);
        });
        return result;
    }
    for member in first.iter() {
        result.add_element(member, limits);
    }
    for member in others.iter().flat_map(|set| set.iter()) {
        member.with(|bytes| result.remove(bytes));
    }
    result
}
