//! Values that are written part by part, so that whoever writes them can stop in between.

/// What writes the next part to a writer; false when there is none left.
pub type Parts<'a, W> = Box<dyn FnMut(&mut W) -> bool + 'a>;

/// No part.
pub fn nothing<'a, W>() -> Parts<'a, W> {
    Box::new(|_| false)
}

/// A part for each.
pub fn each<'a, W, T>(
    mut all: impl Iterator<Item = T> + 'a,
    mut write: impl FnMut(&mut W, T) + 'a,
) -> Parts<'a, W> {
    Box::new(move |to| {
        let next = all.next();
        let more = next.is_some();
        next.into_iter().for_each(|next| write(to, next));
        more
    })
}

/// The parts of all, one after the other.
pub fn in_turn<'a, W: 'a>(mut all: impl Iterator<Item = Parts<'a, W>> + 'a) -> Parts<'a, W> {
    let mut now = all.next();
    Box::new(move |to| {
        while let Some(parts) = &mut now {
            if parts(to) {
                return true;
            }
            now = all.next();
        }
        false
    })
}
