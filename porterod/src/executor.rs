//! Lands with its owner's slice.
