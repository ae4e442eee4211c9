//! Commands as a client sends them.

use crate::number::Decimal;

/// Writes a command.
pub fn put<'w>(to: &mut Vec<u8>, words: impl ExactSizeIterator<Item = &'w [u8]>) {
    length(to, b'*', words.len());
    for word in words {
        length(to, b'$', word.len());
        to.extend_from_slice(word);
        to.extend_from_slice(b"\r\n");
    }
}

fn length(to: &mut Vec<u8>, sign: u8, len: usize) {
    to.push(sign);
    to.extend_from_slice(Decimal::signed(len as i64).as_bytes());
    to.extend_from_slice(b"\r\n");
}
