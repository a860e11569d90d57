//! Reads the configuration again when its files change.
