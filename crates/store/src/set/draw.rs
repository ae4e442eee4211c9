//! Drawing members with the same chance for each.

use super::Set;
use crate::dict::{Dict, Position};
use crate::element::Element;
use crate::intset::Intset;
use crate::listpack::Listpack;
use crate::random::Random;
use crate::value::{Collection, Limits};
use std::collections::HashSet;

/// Members are drawn one by one, and those that came before refused, if they are at most one in so many;
/// otherwise all are gone through.
const FEW: usize = 3;
/// What stays is moved to a new table instead of removing the rest if it is at most one in so many of
/// the rest; Redis's figure, since the encoding of what stays depends on it.
const MOVED: usize = 5;

/// Decides one after another which of `left` members are among the `needed` (Knuth, volume 2, 3.4.2,
/// algorithm S): each selection has the same chance.
struct Selection {
    left: usize,
    needed: usize,
}

impl Selection {
    fn takes(&mut self, random: &mut Random) -> bool {
        let takes = random.below(self.left.max(1)) < self.needed;
        self.left = self.left.saturating_sub(1);
        self.needed -= usize::from(takes);
        takes
    }
}

impl Set {
    /// A member.
    pub fn random(&self, random: &mut Random) -> Option<Element<'_>> {
        if self.is_empty() {
            return None;
        }
        match self {
            Set::Ints(ints) => ints.get(random.below(ints.len())).map(Element::Int),
            Set::Packed(pack) => {
                let at = pack.seek(random.below(pack.len()) as i64)?;
                Some(pack.get(at))
            }
            Set::Table(dict) => {
                let (member, _) = dict.random(random)?;
                Some(Element::Bytes(member))
            }
        }
    }

    /// Shows `n` members, drawn independently, until `visit` answers false.
    pub fn draw(&self, n: u64, random: &mut Random, mut visit: impl FnMut(Element<'_>) -> bool) {
        let Set::Packed(pack) = self else {
            for _ in 0..n {
                match self.random(random) {
                    Some(member) if visit(member) => {}
                    _ => return,
                }
            }
            return;
        };
        // Looking for each from the beginning would take long.
        let members: Vec<Element<'_>> = pack.iter().collect();
        for _ in 0..n {
            if members.is_empty() || !visit(members[random.below(members.len())]) {
                return;
            }
        }
    }

    /// Shows `n` different members, or all if there are not more.
    pub fn sample(&self, n: usize, random: &mut Random, mut visit: impl FnMut(Element<'_>)) {
        match self {
            Set::Table(dict) if n <= dict.len() / FEW => {
                let mut drawn: HashSet<Position> = HashSet::with_capacity(n);
                while drawn.len() < n {
                    let Some(position) = dict.random_position(random) else {
                        return;
                    };
                    if drawn.insert(position) {
                        visit(Element::Bytes(dict.at(position).0));
                    }
                }
            }
            _ => {
                let mut selection = Selection {
                    left: self.len(),
                    needed: n.min(self.len()),
                };
                self.iter()
                    .filter(|_| selection.takes(random))
                    .for_each(visit);
            }
        }
    }

    /// Takes out a member, and shows it.
    pub fn pop(&mut self, random: &mut Random, visit: impl FnOnce(Element<'_>)) {
        if self.is_empty() {
            return;
        }
        match self {
            Set::Ints(ints) => {
                let index = random.below(ints.len());
                if let Some(value) = ints.get(index) {
                    visit(Element::Int(value));
                    ints.remove_at(index);
                }
            }
            Set::Packed(pack) => {
                if let Some(at) = pack.seek(random.below(pack.len()) as i64) {
                    visit(pack.get(at));
                    pack.remove(at);
                }
            }
            Set::Table(dict) => pop_from(dict, random, visit),
        }
    }

    /// Takes out `n` members, or all if there are not more, and shows them.
    pub fn pop_many(
        &mut self,
        n: usize,
        random: &mut Random,
        limits: &Limits,
        mut visit: impl FnMut(Element<'_>),
    ) {
        let len = self.len();
        let mut selection = Selection {
            left: len,
            needed: n.min(len),
        };
        match self {
            Set::Ints(ints) => {
                let mut kept = Intset::new();
                for value in ints.iter() {
                    if selection.takes(random) {
                        visit(Element::Int(value));
                    } else {
                        kept.insert(value);
                    }
                }
                *ints = kept;
            }
            Set::Packed(pack) => {
                let mut kept = Listpack::new();
                for member in pack.iter() {
                    if selection.takes(random) {
                        visit(member);
                    } else {
                        member.with(|bytes| kept.push_back(bytes));
                    }
                }
                *pack = kept;
            }
            Set::Table(dict) if (len - selection.needed).saturating_mul(MOVED) > n => {
                for _ in 0..n {
                    pop_from(dict, random, &mut visit);
                }
            }
            Set::Table(dict) => {
                let mut kept = Set::Packed(Listpack::new());
                for _ in 0..len - selection.needed {
                    pop_from(dict, random, |member| {
                        kept.add_element(member, limits);
                    });
                }
                self.iter().for_each(visit);
                *self = kept;
            }
        }
    }
}

fn pop_from(dict: &mut Dict, random: &mut Random, visit: impl FnOnce(Element<'_>)) {
    if let Some(position) = dict.random_position(random) {
        visit(Element::Bytes(dict.at(position).0));
        dict.remove_at(position);
    }
}
