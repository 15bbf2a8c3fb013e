//! An offer on its way to an answer.

pub mod answer;
pub mod negotiation;
pub mod offer;
pub mod payload;
mod section;
