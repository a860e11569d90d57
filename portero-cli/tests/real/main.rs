//! The real programs against the real world: MCP servers from npm and PyPI, the official Python SDK, the real
//! Claude Code with a scripted model. The peers come from the package registries by themselves.

#![cfg(unix)]

mod agent;
mod approvals;
mod claude;
mod crash;
mod peers;
#[path = "../support/porterod.rs"]
mod porterod;
mod regressions;
mod sdk;
mod servers;
mod test_support;
