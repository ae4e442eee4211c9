//! Sets.

use super::{Decoder, claimed, count};
use crate::error::{Error, corrupt};
use crate::format::kind;
use crate::source::{self, Source};
use store::Element;
use store::intset::Intset;
use store::set::Set;

impl Decoder {
    pub(super) fn set<S: Source>(&mut self, source: &mut S, value_type: u8) -> Result<Set, Error> {
        let limits = self.limits;
        match value_type {
            kind::SET => self.members(source),
            kind::SET_INTSET => {
                let ints = Intset::from_redis(Self::packed(source, &mut self.text)?)?;
                if ints.len() <= limits.set_max_intset_entries {
                    return Ok(Set::Ints(ints));
                }
                let mut set = Set::default();
                set.expect(b"0", ints.len(), &limits);
                ints.iter().for_each(|value| {
                    set.add_element(Element::Int(value), &limits);
                });
                Ok(set)
            }
            _ => {
                let pack = self.distinct_listpack(source, 1)?;
                if pack.len() <= limits.set_max_listpack_entries {
                    return Ok(Set::Packed(pack));
                }
                let mut set = Set::default();
                set.expect(b"", pack.len(), &limits);
                pack.iter().for_each(|member| {
                    set.add_element(member, &limits);
                });
                Ok(set)
            }
        }
    }

    fn members<S: Source>(&mut self, source: &mut S) -> Result<Set, Error> {
        let n = count(source)?;
        let mut set = Set::default();
        for i in 0..n {
            let member = source::string(source, &mut self.text)?;
            if i == 0 {
                member.with(|text| set.expect(text, claimed(n), &self.limits));
            }
            if !set.add_element(member, &self.limits) {
                return Err(corrupt("a set"));
            }
        }
        Ok(set)
    }
}
