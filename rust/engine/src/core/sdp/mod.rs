//! An offer on its way to an answer.

pub mod answer;
mod description;
pub mod negotiation;
pub mod offer;
pub mod payload;
mod section;
mod transport;
