mod https;
mod https_access;
mod reading;
mod references;
mod schemas;

use super::*;

/// A token as `openssl rand -hex 32` makes one.
const BEARER_TOKEN: &str = "2f7c1b9e0d4a86553c1f0e9b7a2d4c68e1f3a5b7c9d0e2f4061728394a5b6c7d";

/// Files with these texts and no others.
fn config_files(texts: &[(&str, &str)]) -> ConfigFiles {
    let mut files = ConfigFiles { directory: "/etc/portero".into(), ..ConfigFiles::default() };
    for (name, text) in texts {
        let file = match *name {
            DOTENV => &mut files.dotenv,
            MCPS => &mut files.mcps,
            REPLACEMENTS => &mut files.replacements,
            POLICIES => &mut files.policies,
            PORTERO => &mut files.portero,
            other => panic!("{other} is no file of a configuration"),
        };
        *file = Some((*text).to_owned());
    }
    files
}

fn read_with(texts: &[(&str, &str)], env: &[(&str, &str)]) -> (Option<Config>, ConfigProblems) {
    let found =
        |name: &str| env.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
    read_config(&config_files(texts), &found)
}

/// A valid configuration.
fn read_valid(texts: &[(&str, &str)], env: &[(&str, &str)]) -> Config {
    let (config, problems) = read_with(texts, env);
    config.unwrap_or_else(|| panic!("{problems}"))
}

/// The problems of a configuration.
fn problem_text(texts: &[(&str, &str)], env: &[(&str, &str)]) -> String {
    read_with(texts, env).1.to_string()
}
