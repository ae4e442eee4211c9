//! Shoal beside a real Redis: the same input must give the same answers.

mod clients;
mod directed;
mod generate;
mod notify;
mod protocol;
mod random;
