//! Whether search finds what an agent means, among a few hundred realistic tools.

use std::collections::HashSet;

use super::tests::{raw_json, server_config};
use super::*;
use crate::anonymize::{Direction, ReplacementRule};
use crate::secret::Secret;

/// The catalog of `testdata/tools.txt`.
fn realistic_catalog() -> Catalog {
    let mut servers: Vec<(config::ServerConfig, ServerListing)> = Vec::new();
    let lines = include_str!("testdata/tools.txt").lines();
    for line in lines.filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some((name, categories)) =
            line.strip_prefix('[').and_then(|line| line.split_once("] categories:"))
        {
            let mut server = server_config(name);
            server.categories = categories.split_whitespace().map(str::to_owned).collect();
            servers.push((server, ServerListing::default()));
            continue;
        }
        let mut parts = line.split(" | ");
        let mut part = || parts.next().unwrap_or_default();
        let (name, description, arguments) = (part(), part(), part());
        let properties: serde_json::Map<_, _> = arguments
            .split_whitespace()
            .map(|argument| (argument.to_owned(), serde_json::json!({"type": "string"})))
            .collect();
        let tool = serde_json::json!({
            "name": name,
            "description": description,
            "inputSchema": {"type": "object", "properties": properties},
        });
        servers.last_mut().expect("a server first").1.tools.push(raw_json(&tool.to_string()));
    }
    let configs: Vec<_> = servers.iter().map(|(server, _)| server.clone()).collect();
    let catalog = Catalog::new(&configs, None);
    for (server, offer) in servers {
        catalog.set_listing(&server.name, offer);
    }
    catalog
}

fn search_names(catalog: &Catalog, query: &str, category: Option<&str>, limit: usize) -> Vec<String> {
    let recent = HashSet::new();
    let view = CatalogView { action: &|_| Action::Allow, recent: &recent, is_private: &|_| false };
    let anonymizer = Arc::new(Anonymizer::empty());
    catalog
        .search_tools(query, category, limit, &view, &anonymizer)
        .iter()
        .map(|hit| hit.tool.id.to_string())
        .collect()
}

/// A query, the tool meant, and among how many of the first it must be.
const EXPECTED_HITS: &[(&str, &str, usize)] = &[
    ("create issue", "github/create_issue", 1),
    ("github create_issue", "github/create_issue", 1),
    ("linear create issue", "linear/create_issue", 1),
    ("create jira ticket", "jira/jira_create_issue", 1),
    ("open a pull request", "github/create_pull_request", 3),
    ("merge PR", "github/merge_pull_request", 1),
    ("pull request files", "github/get_pull_request_files", 1),
    ("fork repo", "github/fork_repository", 1),
    ("send mail", "gmail/send_email", 1),
    ("sending an e-mail to a customer", "gmail/send_email", 3),
    ("reply to email", "gmail/reply_to_email", 1),
    ("serach emails", "gmail/search_emails", 1),
    ("emial", "gmail/send_email", 3),
    ("remove a gmail label", "gmail/delete_label", 1),
    ("download attachment", "gmail/download_attachment", 1),
    ("schedule a meeting", "google-calendar/create-event", 3),
    ("calender events", "google-calendar/list-events", 3),
    ("new calendar event", "google-calendar/create-event", 1),
    ("when is somebody free", "google-calendar/get-freebusy", 1),
    ("read file", "filesystem/read_text_file", 3),
    ("write file", "filesystem/write_file", 1),
    ("rename file", "filesystem/move_file", 3),
    ("make folder", "filesystem/create_directory", 3),
    ("list dir", "filesystem/list_directory", 1),
    ("directory tree", "filesystem/directory_tree", 1),
    ("notion search", "notion/API-post-search", 1),
    ("create notion page", "notion/API-post-page", 3),
    ("refund a customer", "stripe/create_refund", 1),
    ("refnud payment", "stripe/create_refund", 1),
    ("cancel subscription", "stripe/cancel_subscription", 1),
    ("create invoice", "stripe/create_invoice", 1),
    ("account balance", "stripe/retrieve_balance", 1),
    ("post message to slack channel", "slack/slack_post_message", 1),
    ("emoji reaction", "slack/slack_add_reaction", 1),
    ("slack", "slack/slack_list_channels", 11),
    ("knowledge graph", "memory/read_graph", 1),
    ("git commit", "git/git_commit", 1),
    ("switch branch", "git/git_checkout", 1),
    ("unstaged changes", "git/git_diff_unstaged", 1),
    ("run sql query", "postgres/query", 1),
    ("slow queries", "postgres/get_top_queries", 3),
    ("list database tables", "postgres/list_tables", 1),
    ("screenshot", "puppeteer/puppeteer_screenshot", 1),
    ("click button", "puppeteer/puppeteer_click", 1),
    ("fetch url", "fetch/fetch", 1),
    ("web search", "brave-search/brave_web_search", 1),
    ("search the web for news", "brave-search/brave_web_search", 1),
    ("driving directions", "google-maps/maps_directions", 1),
    ("geocode address", "google-maps/maps_geocode", 1),
    ("convert timezones", "time/convert_time", 1),
    ("current time", "time/get_current_time", 3),
    ("log time on issue", "jira/jira_add_worklog", 1),
    ("sprint issues", "jira/jira_get_sprint_issues", 1),
    ("share file", "google-drive/shareFile", 1),
    ("google spreadsheet create", "google-drive/createGoogleSheet", 1),
    ("upload to drive", "google-drive/uploadFile", 1),
    ("s3 upload", "aws/s3_put_object", 3),
    ("start virtual machine", "aws/ec2_start_instance", 1),
    ("cloud costs", "aws/cost_get_usage", 1),
    ("pod logs", "kubernetes/kubectl_logs", 1),
    ("restart deployment", "kubernetes/kubectl_rollout", 1),
    ("turn off the lights", "home-assistant/turn_off_light", 1),
    ("unlock door", "home-assistant/unlock_door", 1),
    ("play music", "spotify/playMusic", 1),
    ("add song to playlist", "spotify/addTracksToPlaylist", 1),
    ("add todo", "todoist/todoist_create_task", 1),
    ("complete task", "todoist/todoist_complete_task", 1),
    ("send whatsapp message", "whatsapp/send_message", 1),
    ("find contact", "whatsapp/search_contacts", 3),
    ("weather tomorrow", "weather/get_forecast", 1),
    ("stack trace of error", "sentry/get_issue_details", 1),
    ("crashes", "sentry/find_issues", 1),
    ("figma images", "figma/download_figma_images", 1),
    ("create CRM contact", "hubspot/hubspot_create_contact", 1),
    ("translate text", "translate/translate_text", 1),
    ("translation", "translate/translate_text", 1),
    ("which language is this", "translate/detect_language", 1),
    ("createPlaylist", "spotify/createPlaylist", 1),
    ("google-calendar/delete-event", "google-calendar/delete-event", 1),
    ("sequential thinking", "sequential-thinking/sequentialthinking", 1),
    ("PULL_REQUEST_REVIEW", "github/create_pull_request_review", 1),
];

#[test]
fn a_query_finds_what_is_meant() {
    let catalog = realistic_catalog();
    assert!(catalog.tools().len() > 250);
    let mut missed = Vec::new();
    for (query, meant, among) in EXPECTED_HITS {
        let best = search_names(&catalog, query, None, *among);
        if !best.iter().any(|tool| tool == meant) {
            missed.push(format!("{query:?} should find {meant} among {best:?}"));
        }
    }
    assert!(missed.is_empty(), "{} of {} missed:\n{}", missed.len(), EXPECTED_HITS.len(), missed.join("\n"));
}

#[test]
fn an_empty_query_lists_everything_in_order() {
    let catalog = realistic_catalog();
    let all: Vec<String> = catalog.tools().iter().map(|tool| tool.id.to_string()).collect();
    assert_eq!(search_names(&catalog, " ", None, usize::MAX), all);
    assert_eq!(search_names(&catalog, "", None, 2), all[..2]);
}

#[test]
fn a_category_is_a_server_or_one_of_its_words() {
    let catalog = realistic_catalog();
    assert_eq!(
        search_names(&catalog, "", Some("Weather"), 9),
        ["weather/get_forecast", "weather/get_alerts"]
    );
    let google = search_names(&catalog, "search", Some("google"), 9);
    assert!(google.len() > 2 && google.iter().all(|tool| tool.starts_with("g")), "{google:?}");
    assert_eq!(search_names(&catalog, "", Some("nothing"), 9), Vec::<String>::new());
}

#[test]
fn what_policy_denies_is_not_found_and_does_not_count() {
    let catalog = realistic_catalog();
    let recent = HashSet::new();
    let action =
        |id: &ToolId| if id.server.as_str() == "github" { Action::Deny } else { Action::RequireApproval };
    let hits = catalog.search_tools(
        "create issue",
        None,
        3,
        &CatalogView { action: &action, recent: &recent, is_private: &|_| false },
        &Arc::new(Anonymizer::empty()),
    );
    assert_eq!(hits.len(), 3);
    assert!(hits.iter().all(|hit| hit.tool.id.server.as_str() != "github"));
}

#[test]
fn one_query_has_one_answer() {
    let (one, other) = (realistic_catalog(), realistic_catalog());
    for (query, _, _) in EXPECTED_HITS {
        assert_eq!(search_names(&one, query, None, 50), search_names(&other, query, None, 50), "{query}");
    }
}

#[test]
fn nonsense_finds_nothing_and_harms_nothing() {
    let catalog = realistic_catalog();
    let long = "word ".repeat(10_000);
    for query in ["zzzzqqqq", "!!!", "\u{0}", "日本語", &long] {
        search_names(&catalog, query, None, 10);
    }
    assert_eq!(search_names(&catalog, "zzzzqqqq", None, 10), Vec::<String>::new());
}

/// Two servers with the same tools. What they write of a person differs, and is concealed as the same fake.
fn catalog_about(person: &str, key: &str) -> (Catalog, Arc<Anonymizer>) {
    let tools = [
        serde_json::json!({
            "name": "lookup", "title": format!("Of {person}"), "description": format!("Looks up mail of {person}."),
            "inputSchema": {"type": "object", "properties": {key: {"type": "string"}}},
        }),
        serde_json::json!({
            "name": format!("mail {person}"), "description": "Writes a mail.", "inputSchema": {"type": "object"},
        }),
        serde_json::json!({"name": "weather", "description": "Of today.", "inputSchema": {"type": "object"}}),
    ];
    let catalog = Catalog::new(&[server_config("office")], None);
    let tools = tools.iter().map(|tool| raw_json(&tool.to_string())).collect();
    catalog
        .set_listing(&"office".parse().expect("a name"), ServerListing { tools, ..ServerListing::default() });
    let rule = |fake: &str, real: &str| ReplacementRule {
        fake: fake.to_owned(),
        real: Secret::new(real.to_owned()),
        direction: Direction::Both,
        case_sensitive: false,
        matching: None,
        label: None,
        servers: None,
    };
    let rules = [rule("Jane Roe", person), rule("jroekey", key)];
    (catalog, Arc::new(Anonymizer::new(&rules).expect("a set that holds")))
}

#[test]
fn search_answers_to_no_piece_of_a_private_value() {
    let (one, one_rules) = catalog_about("María Musterfrau", "mmusterkey");
    let (other, other_rules) = catalog_about("Żaneta Qvist", "zqvistkey");
    let search = |catalog: &Catalog, rules: &Arc<Anonymizer>, query: &str| {
        let recent = HashSet::new();
        let is_private = |name: &str| rules.is_private(name);
        let view = CatalogView { action: &|_| Action::Allow, recent: &recent, is_private: &is_private };
        let found = catalog.search_tools(query, None, 9, &view, rules);
        found.into_iter().map(|hit| (hit.tool.id.to_string(), hit.score)).collect::<Vec<_>>()
    };
    let mut queries = Vec::new();
    for word in
        ["maría", "maria", "musterfrau", "mmusterkey", "żaneta", "qvist", "zqvistkey", "jane", "roe", "mail"]
    {
        let ends = word.char_indices().map(|(at, letter)| at + letter.len_utf8());
        queries.extend(ends.map(|end| word[..end].to_owned()));
        // One letter off, as a misspelling.
        queries.push(format!("{word}x"));
        queries.push(format!("{word} mail"));
    }
    for query in &queries {
        let found = search(&one, &one_rules, query);
        assert_eq!(found, search(&other, &other_rules, query), "`{query}` tells the two apart");
    }
    assert!(search(&one, &one_rules, "musterfrau").is_empty());
    assert_eq!(search(&one, &one_rules, "jane")[0].0, "office/lookup", "the agent finds what it sees");
    // Other rules show something else, so the index is theirs.
    assert!(search(&one, &other_rules, "jane").is_empty());
    assert_eq!(search(&one, &one_rules, "jroekey")[0].0, "office/lookup");
}
