//! Lists.

use super::{Decoder, count};
use crate::error::{Error, corrupt};
use crate::format::{NODE_PACKED, NODE_PLAIN, kind};
use crate::source::{self, Source};
use crate::ziplist::Ziplist;
use store::list::{End, List};
use store::listpack::Listpack;
use store::{Element, Limits};

impl Decoder {
    pub(super) fn list<S: Source>(
        &mut self,
        source: &mut S,
        value_type: u8,
    ) -> Result<List, Error> {
        let mut list = List::default();
        match value_type {
            kind::LIST => {
                for _ in 0..count(source)? {
                    push(
                        &mut list,
                        source::string(source, &mut self.text)?,
                        &self.limits,
                    );
                }
            }
            kind::LIST_ZIPLIST => self.ziplist(source, &mut list)?,
            kind::LIST_QUICKLIST => {
                for _ in 0..count(source)? {
                    self.ziplist(source, &mut list)?;
                }
            }
            _ => {
                for _ in 0..count(source)? {
                    self.node(source, &mut list)?;
                }
            }
        }
        match store::value::Collection::len(&list) {
            0 => Err(Error::Empty),
            _ => Ok(list),
        }
    }

    /// Nodes may be empty, as long as not all of them are.
    fn ziplist<S: Source>(&mut self, source: &mut S, list: &mut List) -> Result<(), Error> {
        let node = Ziplist::new(Self::packed(source, &mut self.text)?)?;
        let mut pack = Listpack::new();
        for element in node {
            element.with(|text| pack.push_back(text));
        }
        list.append(pack, &self.limits);
        Ok(())
    }

    fn node<S: Source>(&mut self, source: &mut S, list: &mut List) -> Result<(), Error> {
        match source::len(source)? {
            NODE_PLAIN => push(list, source::string(source, &mut self.text)?, &self.limits),
            NODE_PACKED => {
                let pack = self.listpack(source)?;
                list.append(pack, &self.limits);
            }
            _ => return Err(corrupt("a quicklist")),
        }
        Ok(())
    }
}

fn push(list: &mut List, element: Element<'_>, limits: &Limits) {
    element.with(|text| {
        list.make_room(limits, 1, Listpack::encoded_len(text));
        list.push(End::Tail, text);
    });
}
