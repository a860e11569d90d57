//! What is wrong with the configuration directory itself: files in it that nothing reads, and permissions that let
//! other users read or change what counts.

use std::borrow::Cow;
use std::path::Path;

use super::problem::{ConfigProblem, Severity};
use super::snippet::escape_for_display;
use super::{CONFIG_FILES, ConfigFiles, DOTENV, MCPS, POLICIES, PORTERO, REPLACEMENTS};

/// So many entries of the directory are looked at.
const MAX_ENTRIES: usize = 1000;
/// The endings of files that look like a configuration.
const CONFIG_ENDINGS: [&str; 6] = [".json", ".jsonc", ".json5", ".yaml", ".yml", ".toml"];
/// What the names of copies, drafts and templates hold. Their owners know that they are not read.
const COPY_MARKS: [&str; 12] =
    ["bak", "backup", "old", "orig", "save", "swp", "tmp", "example", "sample", "template", "dist", "schema"];
/// What people call a file, without its ending and in small letters, and its name here.
const NEAR_NAMES: [(&str, &str); 12] = [
    ("mcp", MCPS),
    ("mcps", MCPS),
    ("mcpservers", MCPS),
    ("servers", MCPS),
    ("policies", POLICIES),
    ("policy", POLICIES),
    ("replacements", REPLACEMENTS),
    ("replacement", REPLACEMENTS),
    ("portero", PORTERO),
    ("settings", PORTERO),
    ("env", DOTENV),
    ("dotenv", DOTENV),
];

/// The warnings about the directory of `files`. A directory that can't be listed gives none, since reading its files
/// then fails as well.
pub(super) fn inspect_directory(files: &ConfigFiles) -> Vec<ConfigProblem> {
    let mut problems = find_ignored_files(files);
    problems.extend(permissions::find_loose_permissions(files));
    problems
}

fn find_ignored_files(files: &ConfigFiles) -> Vec<ConfigProblem> {
    let entries = std::fs::read_dir(&files.directory).into_iter().flatten().flatten().take(MAX_ENTRIES);
    let mut names: Vec<String> = entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| !kind.is_dir()))
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort_unstable();
    let is_there = |name: &str| names.iter().any(|there| there == name);
    names
        .iter()
        .filter(|name| !CONFIG_FILES.contains(&name.as_str()) && !is_mentioned(files, name))
        .filter_map(|name| {
            let near = near_name(name);
            // Where the file system ignores case, `Policies.json` is the file that was read.
            let was_read =
                |near: &str| name.eq_ignore_ascii_case(near) && !is_there(near) && files.text(near).is_some();
            if near.is_some_and(was_read) {
                return None;
            }
            let looks_like_config = CONFIG_ENDINGS.iter().any(|ending| name.ends_with(ending));
            (near.is_some() || looks_like_config && !is_copy(name))
                .then(|| ignored_file(name, near, &is_there))
        })
        .collect()
}

fn ignored_file(name: &str, near: Option<&str>, is_there: &dyn Fn(&str) -> bool) -> ConfigProblem {
    let hint = match near {
        Some(near) if is_there(near) => format!("move what it says into {near}, and remove it"),
        Some(near) => format!("did you mean {near}? rename it"),
        None => format!("only {} are read; keep other files elsewhere", CONFIG_FILES.join(", ")),
    };
    warning(escape_for_display(name).to_string().into(), "this file is not read".to_owned(), hint)
}

/// The file of the configuration that was probably meant.
fn near_name(name: &str) -> Option<&'static str> {
    if is_copy(name) {
        return None;
    }
    let lower = name.to_lowercase();
    // `.env.local`, `portero.env` and the like, which other tools read.
    if lower.starts_with(".env.") || lower.ends_with(".env") {
        return Some(DOTENV);
    }
    let stem = CONFIG_ENDINGS.iter().chain(&[".txt"]).find_map(|ending| lower.strip_suffix(ending));
    let stem: String = stem.unwrap_or(&lower).chars().filter(|letter| letter.is_alphanumeric()).collect();
    if let Some((_, known)) = NEAR_NAMES.iter().find(|(near, _)| *near == stem) {
        return Some(known);
    }
    // One letter too many, too few, wrong, or in the wrong place. Short words are near to too many others.
    let is_near = |near: &str| near.len() > 5 && strsim::osa_distance(&stem, near) <= 1;
    NEAR_NAMES.iter().find(|(near, _)| is_near(near)).map(|(_, known)| *known)
}

/// Whether the name says that the file is a copy, a draft, a template or a schema.
fn is_copy(name: &str) -> bool {
    let lower = name.to_lowercase();
    let mut parts = lower.split(['.', '-', '_', ' ', '~', '#']);
    lower.ends_with('~') || lower.starts_with('#') || parts.any(|part| COPY_MARKS.contains(&part))
}

/// Whether a file of the configuration names this one, as it does a server's key or a certificate.
fn is_mentioned(files: &ConfigFiles, name: &str) -> bool {
    CONFIG_FILES.iter().filter_map(|file| files.text(file)).any(|text| text.contains(name))
}

fn warning(file: Cow<'static, str>, message: String, hint: String) -> ConfigProblem {
    ConfigProblem {
        severity: Severity::Warning,
        file,
        line: 0,
        column: 0,
        message,
        snippet: None,
        hint: Some(hint),
    }
}

#[cfg(unix)]
mod permissions {
    use std::os::unix::fs::MetadataExt as _;

    use super::{CONFIG_FILES, ConfigFiles, ConfigProblem, DOTENV, Path, warning};

    /// Permission bits that let others read a file.
    const READ_BY_OTHERS: u32 = 0o044;
    /// Permission bits that let others write a file.
    const WRITTEN_BY_OTHERS: u32 = 0o022;

    /// Warns of files whose owner or permissions let another user read or change them. Values stand in `.env`, so
    /// nobody else may read it; every file says what may happen, so nobody else may change one.
    pub(super) fn find_loose_permissions(files: &ConfigFiles) -> Vec<ConfigProblem> {
        let present = CONFIG_FILES.into_iter().filter(|name| files.text(name).is_some());
        let mut problems: Vec<_> = present
            .filter_map(|name| {
                let unreadable = if name == DOTENV { READ_BY_OTHERS } else { 0 };
                loose_permissions(&files.directory.join(name), name, unreadable)
            })
            .collect();
        // Who may write to the directory may put other files into it.
        problems.extend(loose_permissions(&files.directory, ".", 0));
        problems
    }

    fn loose_permissions(path: &Path, name: &'static str, unreadable: u32) -> Option<ConfigProblem> {
        let metadata = std::fs::metadata(path).ok()?;
        let quoted = path.display();
        let (message, hint) = if metadata.mode() & WRITTEN_BY_OTHERS != 0 {
            ("other users can change it", format!("run `chmod go-w '{quoted}'`"))
        } else if metadata.mode() & unreadable != 0 {
            ("other users can read it", format!("run `chmod 600 '{quoted}'`"))
        } else if ![0, rustix::process::geteuid().as_raw()].contains(&metadata.uid()) {
            ("it belongs to another user, who can change it", format!("run `chown \"$USER\" '{quoted}'`"))
        } else {
            return None;
        };
        Some(warning(name.into(), message.to_owned(), hint))
    }
}

#[cfg(not(unix))]
mod permissions {
    use super::{ConfigFiles, ConfigProblem};

    /// Other systems keep a user's profile from other users by themselves.
    pub(super) fn find_loose_permissions(_: &ConfigFiles) -> Vec<ConfigProblem> {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_that_was_meant_is_named() {
        for (name, near) in [
            ("mcp.json", Some(MCPS)),
            ("mcp_servers.yaml", Some(MCPS)),
            (".mcp.json", Some(MCPS)),
            ("MCPS.json", Some(MCPS)),
            ("mcps.jsonc", Some(MCPS)),
            ("policy.json", Some(POLICIES)),
            ("polices.json", Some(POLICIES)),
            ("policies.yaml", Some(POLICIES)),
            ("replacement.json", Some(REPLACEMENTS)),
            ("replacments.json", Some(REPLACEMENTS)),
            ("settings.json", Some(PORTERO)),
            ("portreo.json", Some(PORTERO)),
            ("env", Some(DOTENV)),
            (".env.local", Some(DOTENV)),
            ("portero.env", Some(DOTENV)),
            (".env.example", None),
            ("policies.json.bak", None),
            ("policies.json~", None),
            ("#mcps.json#", None),
            (".mcps.json.swp", None),
            ("mcps.schema.json", None),
            ("notes.txt", None),
            ("portero.seal", None),
        ] {
            assert_eq!(near_name(name), near, "{name}");
        }
    }

    /// The warnings about a directory with these files.
    fn told(files: &[(&str, &str)]) -> Vec<String> {
        let directory = tempfile::tempdir().expect("a directory");
        for (name, text) in files {
            std::fs::write(directory.path().join(name), text).expect("written");
        }
        set_mode(directory.path(), 0o700);
        for (name, _) in files {
            set_mode(&directory.path().join(name), 0o600);
        }
        let files = ConfigFiles::load(directory.path()).expect("read");
        files.directory_problems.iter().map(ToString::to_string).collect()
    }

    #[cfg(unix)]
    fn set_mode(path: &Path, mode: u32) {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("set");
    }

    #[cfg(not(unix))]
    fn set_mode(_: &Path, _: u32) {}

    #[test]
    fn a_file_that_is_not_read_is_told() {
        assert_eq!(
            told(&[
                ("mcps.json", "{}"),
                ("policy.json", "{}"),
                ("replacement.json", "{}"),
                ("extra.yaml", "")
            ]),
            [
                "warning: extra.yaml: this file is not read\n  hint: only .env, mcps.json, replacements.json, \
                 policies.json, portero.json are read; keep other files elsewhere",
                "warning: policy.json: this file is not read\n  hint: did you mean policies.json? rename it",
                "warning: replacement.json: this file is not read\n  hint: did you mean replacements.json? rename it",
            ]
        );
        assert_eq!(
            told(&[("policies.json", "{}"), ("policy.json", "{}")]),
            [
                "warning: policy.json: this file is not read\n  hint: move what it says into policies.json, and remove it"
            ]
        );
    }

    #[test]
    fn a_file_that_the_configuration_names_or_that_is_a_copy_is_not_told() {
        let server =
            r#"{"mcps": [{"name": "mail", "command": "mail", "args": ["--key", "client_secret.json"]}]}"#;
        let files = [
            ("mcps.json", server),
            ("client_secret.json", "{}"),
            ("policies.json.bak", "{}"),
            ("portero.seal", ""),
            ("notes.txt", ""),
        ];
        assert_eq!(told(&files), Vec::<String>::new());
    }

    #[cfg(unix)]
    #[test]
    fn permissions_that_let_others_in_are_told() {
        let directory = tempfile::tempdir().expect("a directory");
        let told = |file: &str, mode: u32| {
            for (name, text) in [(".env", "A=b"), ("mcps.json", "{}")] {
                std::fs::write(directory.path().join(name), text).expect("written");
                set_mode(&directory.path().join(name), 0o600);
            }
            set_mode(directory.path(), 0o700);
            let changed = directory.path().join(file);
            set_mode(&changed, mode);
            let files = ConfigFiles::load(directory.path()).expect("read");
            let path = format!("'{}'", if file.is_empty() { directory.path() } else { &changed }.display());
            let told = files.directory_problems.iter().map(ToString::to_string);
            told.map(|problem| problem.replace(&path, "PATH")).collect::<Vec<_>>()
        };
        let changed_by = "other users can change it\n  hint: run `chmod go-w PATH`";
        assert_eq!(told(".env", 0o600), Vec::<String>::new());
        assert_eq!(told("mcps.json", 0o644), Vec::<String>::new());
        assert_eq!(
            told(".env", 0o640),
            ["warning: .env: other users can read it\n  hint: run `chmod 600 PATH`"]
        );
        assert_eq!(told(".env", 0o666), [format!("warning: .env: {changed_by}")]);
        assert_eq!(told("mcps.json", 0o664), [format!("warning: mcps.json: {changed_by}")]);
        assert_eq!(told("", 0o777), [format!("warning: .: {changed_by}")]);
    }
}
