//! Answers that an upstream gives.
