//! Per-entity predictive distributions: constant-time updates, tens of bytes each.
