//! The headers that a server is sent, from files and a variable. A command line would show them to others.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use portero::config::is_transport_header;
use portero::files::{self, MAX_SMALL_FILE_BYTES, SymlinkMode};
use portero::secret::Secret;

use super::ConnectError;

/// The name of the header with the token, in lower case.
const AUTHORIZATION: &str = "authorization";

/// Where the credentials are.
pub(super) struct CredentialFiles {
    pub(super) token_file: Option<PathBuf>,
    pub(super) header_file: Option<PathBuf>,
}

impl CredentialFiles {
    /// The headers by their lower-case names. A token file counts before `token`.
    pub(super) async fn read_headers(
        self,
        token: Option<Secret>,
    ) -> Result<BTreeMap<String, Secret>, ConnectError> {
        let mut headers = match &self.header_file {
            Some(file) => parse_headers(file, &read_private_file(file).await?)?,
            None => BTreeMap::new(),
        };
        let token = match &self.token_file {
            Some(file) => Some(first_line(file, &read_private_file(file).await?)?),
            None => token,
        };
        if let Some(token) = token {
            let header = Secret::new(format!("Bearer {}", token.expose().trim()));
            if headers.insert(AUTHORIZATION.to_owned(), header).is_some() {
                return Err(ConnectError::new(
                    "there are two credentials: a token, and `Authorization` in the file of headers"
                        .to_owned(),
                    "give one of them",
                ));
            }
        }
        Ok(headers)
    }
}

/// A file's text, if other users can't read it.
async fn read_private_file(file: &Path) -> Result<Secret, ConnectError> {
    let unusable = |why: &dyn std::fmt::Display| {
        ConnectError::new(format!("{why}"), "give a file that holds the credential and is yours alone")
    };
    let path = file.to_owned();
    // The file may be on a drive that hangs.
    let read = files::read_off_thread(file, files::READ_TIMEOUT, move || {
        let mut opened = files::open(&path, SymlinkMode::Follow).map_err(|error| error.to_string())?;
        refuse_readable_by_others(&path, &opened)?;
        let mut text = String::new();
        let read = opened.by_ref().take(MAX_SMALL_FILE_BYTES + 1).read_to_string(&mut text);
        // The error of a text that is not UTF-8 holds none of it.
        read.map_err(|error| format!("{} could not be read: {error}", path.display()))?;
        if text.len() as u64 > MAX_SMALL_FILE_BYTES {
            return Err(format!("{} is longer than {MAX_SMALL_FILE_BYTES} bytes", path.display()));
        }
        Ok(Secret::new(text))
    });
    read.await.map_err(|error| unusable(&error))?.map_err(|error| unusable(&error))
}

#[cfg(unix)]
fn refuse_readable_by_others(path: &Path, file: &files::RegularFile) -> Result<(), String> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = file.metadata().map_err(|error| format!("{}: {error}", path.display()))?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(format!("{0} can be read by others (`chmod 600 {0}` ends that)", path.display()));
    }
    Ok(())
}

/// On Windows a file in the user's profile is the user's alone by default.
#[cfg(not(unix))]
fn refuse_readable_by_others(_: &Path, _: &files::RegularFile) -> Result<(), String> {
    Ok(())
}

fn first_line(file: &Path, text: &Secret) -> Result<Secret, ConnectError> {
    match text.expose().lines().next().map(str::trim).filter(|line| !line.is_empty()) {
        Some(line) => Ok(Secret::new(line)),
        None => Err(ConnectError::new(
            format!("{} has no token in its first line", file.display()),
            "write the token there",
        )),
    }
}

/// Reads `Name: value` lines. Blank lines and those that begin with `#` are left out.
fn parse_headers(file: &Path, text: &Secret) -> Result<BTreeMap<String, Secret>, ConnectError> {
    let mut headers = BTreeMap::new();
    for (number, line) in (1..).zip(text.expose().lines()) {
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let wrong = |what: String| {
            ConnectError::new(
                format!("{}, line {number}: {what}", file.display()),
                "write each header as in `X-Api-Key: value`",
            )
        };
        let (name, value) = line.split_once(':').ok_or_else(|| wrong("there is no `:`".to_owned()))?;
        let name = name.trim().to_ascii_lowercase();
        if is_transport_header(&name) {
            return Err(wrong(format!("`{name}` is set by the transport itself")));
        }
        if headers.insert(name, Secret::new(value.trim())).is_some() {
            return Err(wrong("this header is there twice".to_owned()));
        }
    }
    Ok(headers)
}
