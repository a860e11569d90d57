//! The error codes of JSON-RPC 2.0 (section 5.1) and of MCP.
//!
//! MCP's codes are in the 2026-07-28 specification, Base Protocol, "Error Codes". −32000 to −32019 are free
//! for implementations, and −32020 to −32099 belong to the specification. −32002 and −32042 come from earlier
//! revisions.

/// The line is no JSON.
pub const PARSE_ERROR: i32 = -32700;
/// The JSON is no request.
pub const INVALID_REQUEST: i32 = -32600;
/// There is no such method.
pub const METHOD_NOT_FOUND: i32 = -32601;
/// The parameters are invalid. Since 2026-07-28 also: there is no such resource.
pub const INVALID_PARAMS: i32 = -32602;
/// The receiver failed internally.
pub const INTERNAL_ERROR: i32 = -32603;
/// There is no such resource, up to 2025-11-25.
pub const RESOURCE_NOT_FOUND: i32 = -32002;
/// A header doesn't say what the body says, or is missing (2026-07-28). The request was not begun.
pub const HEADER_MISMATCH: i32 = -32020;
/// The client didn't declare a capability that the request needs (2026-07-28).
pub const MISSING_CLIENT_CAPABILITY: i32 = -32021;
/// The request's protocol version isn't supported (2026-07-28).
pub const UNSUPPORTED_PROTOCOL_VERSION: i32 = -32022;
