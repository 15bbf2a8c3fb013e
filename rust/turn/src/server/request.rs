//! A request whose sender has proved that he knows a credential.

use std::time::Instant;

use crate::five_tuple::FiveTuple;
use crate::integrity::{Integrity, Key};
use crate::message::{Builder, Class, Message};

/// A request, who sent it, and what the answer is to be protected with.
#[derive(Debug)]
pub(super) struct Request<'a> {
    pub now: Instant,
    pub from: FiveTuple,
    pub message: &'a Message<'a>,
    pub username: &'a str,
    pub key: Key,
    pub integrity: Integrity,
}

impl Request<'_> {
    /// The answer that it is done.
    pub fn success(&self) -> Builder {
        let (method, transaction) = (self.message.method(), self.message.transaction());
        Builder::new(Class::Success, method, transaction)
    }
}
