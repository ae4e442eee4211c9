//! Sorted sets.

use super::{Decoder, claimed, count};
use crate::error::{Error, corrupt};
use crate::format::kind;
use crate::source::{self, Source};
use crate::ziplist::Ziplist;
use store::Element;
use store::value::Collection;
use store::zset::Zset;

fn bad() -> Error {
    corrupt("a sorted set")
}

impl Decoder {
    pub(super) fn zset<S: Source>(
        &mut self,
        source: &mut S,
        value_type: u8,
    ) -> Result<Zset, Error> {
        match value_type {
            kind::ZSET => self.scored(source, old_score),
            kind::ZSET_2 => self.scored(source, |s| Ok(f64::from_le_bytes(source::array(s)?))),
            kind::ZSET_ZIPLIST => self.zset_ziplist(source),
            _ => {
                let pack = self.listpack(source)?;
                if pack.is_empty() {
                    return Err(Error::Empty);
                }
                let mut zset = Zset::from_listpack(pack)?;
                let len = zset.len();
                zset.expect(len, &self.limits);
                Ok(zset)
            }
        }
    }

    fn scored<S: Source>(
        &mut self,
        source: &mut S,
        score: impl Fn(&mut S) -> Result<f64, Error>,
    ) -> Result<Zset, Error> {
        let n = count(source)?;
        let mut zset = Zset::default();
        zset.expect(claimed(n), &self.limits);
        for _ in 0..n {
            self.name.set(source::string(source, &mut self.text)?);
            let score = score(source)?;
            self.add(&mut zset, score)?;
        }
        Ok(zset)
    }

    /// Adds the member that was read last.
    fn add(&self, zset: &mut Zset, score: f64) -> Result<(), Error> {
        if score.is_nan() || zset.add(self.name.bytes(), score, &self.limits).is_some() {
            return Err(bad());
        }
        Ok(())
    }

    fn zset_ziplist<S: Source>(&mut self, source: &mut S) -> Result<Zset, Error> {
        let mut list = Ziplist::new(Self::packed(source, &mut self.text)?)?;
        let len = list.len();
        if len == 0 {
            return Err(Error::Empty);
        }
        if !len.is_multiple_of(2) {
            return Err(bad());
        }
        let mut zset = Zset::default();
        zset.expect(len / 2, &self.limits);
        while let (Some(member), Some(score)) = (list.next(), list.next()) {
            let score = match score {
                Element::Int(value) => value as f64,
                Element::Bytes(text) => number(text)?,
            };
            let old = member.with(|member| zset.add(member, score, &self.limits));
            if old.is_some() {
                return Err(bad());
            }
        }
        Ok(zset)
    }
}

/// A score as text, which is not NaN.
fn number(text: &[u8]) -> Result<f64, Error> {
    let text = std::str::from_utf8(text).map_err(|_| bad())?;
    let score = text.trim_ascii_start().parse::<f64>().map_err(|_| bad())?;
    if score.is_nan() {
        Err(bad())
    } else {
        Ok(score)
    }
}

/// A score as the first versions wrote it: a length and a text, or a length that stands for infinity.
fn old_score(source: &mut impl Source) -> Result<f64, Error> {
    match source::byte(source)? {
        255 => Ok(f64::NEG_INFINITY),
        254 => Ok(f64::INFINITY),
        253 => Err(bad()),
        len => number(source.take(usize::from(len))?),
    }
}
