//! Why a request is refused.

use crate::message::{Builder, TransactionId};
use crate::stats::Refusal;

/// Why a request was not done: what is counted, and what the client is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rejection {
    pub refusal: Refusal,
    pub code: u16,
    pub reason: &'static str,
}

impl Rejection {
    pub const BAD_REQUEST: Self = Self::new(Refusal::BadRequest, 400, "Bad Request");
    pub const MISMATCH: Self = Self::new(Refusal::AllocationMismatch, 437, "Allocation Mismatch");
    pub const NO_FAMILY: Self = Self::new(
        Refusal::FamilyNotSupported,
        440,
        "Address Family not Supported",
    );
    pub const WRONG_CREDENTIALS: Self =
        Self::new(Refusal::WrongCredentials, 441, "Wrong Credentials");
    pub const NO_TRANSPORT: Self = Self::new(
        Refusal::TransportNotSupported,
        442,
        "Unsupported Transport Protocol",
    );
    pub const PEER_FAMILY: Self =
        Self::new(Refusal::FamilyMismatch, 443, "Peer Address Family Mismatch");
    pub const ADDRESS_QUOTA: Self =
        Self::new(Refusal::AddressQuota, 486, "Allocation Quota Reached");
    pub const QUOTA: Self = Self::new(Refusal::UserQuota, 486, "Allocation Quota Reached");
    pub const CAPACITY: Self = Self::new(Refusal::Capacity, 508, "Insufficient Capacity");

    pub const fn new(refusal: Refusal, code: u16, reason: &'static str) -> Self {
        Self {
            refusal,
            code,
            reason,
        }
    }

    /// A peer that may not be reached, counted as this.
    pub const fn forbidden(refusal: Refusal) -> Self {
        Self::new(refusal, 403, "Forbidden")
    }

    /// The answer that says so.
    pub fn answer(&self, method: u16, transaction: TransactionId) -> Builder {
        Builder::error(method, transaction, self.code, self.reason)
    }
}
