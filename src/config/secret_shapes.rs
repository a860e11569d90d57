//! Finds secrets by their shape: formats of known services, passwords in connection strings, and text that only a random
//! generator writes (guarantee N7).
//!
//! What is missed here is found by the variable's name, or declared with `"secret": true`. What is found wrongly is
//! blanked in a server's answers, so ordinary words, hosts, paths and identifiers must not match.

use std::sync::LazyLock;

use regex::Regex;

use super::secret_names::is_secret_name;

/// The formats of well-known credentials. Each begins with letters that its issuer chose so that scanners find it.
static KNOWN_FORMATS: LazyLock<Regex> = LazyLock::new(|| {
    let formats = [
        // GitHub, GitLab
        r"gh[pousr]_[A-Za-z0-9]{8,}",
        r"github_pat_[A-Za-z0-9_]{20,}",
        r"gl(?:pat|ptt|dt|rt|soat|cbt|ft)-[A-Za-z0-9_.-]{16,}",
        // Stripe, and its webhooks
        r"[sr]k_(?:live|test)_[A-Za-z0-9]{8,}",
        r"whsec_[A-Za-z0-9+/=]{16,}",
        // Slack
        r"xox[abeoprs]-[A-Za-z0-9-]{8,}",
        r"xapp-[A-Za-z0-9-]{8,}",
        // AWS, Google
        r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{12,}",
        r"AIza[A-Za-z0-9_-]{30,}",
        r"ya29\.[A-Za-z0-9_-]{16,}",
        r"GOCSPX-[A-Za-z0-9_-]{16,}",
        // JSON Web Tokens
        r"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*",
        // Registries and hosts
        r"npm_[A-Za-z0-9]{16,}",
        r"pypi-[A-Za-z0-9_-]{16,}",
        r"dckr_pat_[A-Za-z0-9_-]{16,}",
        r"hf_[A-Za-z0-9]{16,}",
        r"do[opr]_v1_[a-f0-9]{32,}",
        r"sbp_[a-f0-9]{32,}",
        // Services that are often reached over MCP
        r"shp(?:at|ca|pa|ss)_[A-Fa-f0-9]{16,}",
        r"SG\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}",
        r"lin_(?:api|oauth)_[A-Za-z0-9]{16,}",
        r"(?:ntn|secret)_[A-Za-z0-9]{30,}",
        r"sntry[su]_[A-Za-z0-9+/=_-]{16,}",
        r"glsa_[A-Za-z0-9_]{16,}",
        r"figd_[A-Za-z0-9_-]{16,}",
        r"tvly-[A-Za-z0-9-]{16,}",
        r"pplx-[A-Za-z0-9]{16,}",
        r"gsk_[A-Za-z0-9]{16,}",
        r"ATATT3[A-Za-z0-9_=-]{16,}",
        r"PMAK-[a-f0-9]{16,}-[a-f0-9]{16,}",
        // Telegram's bots
        r"[0-9]{6,12}:[A-Za-z0-9_-]{30,}",
    ];
    Regex::new(&format!(r"\b(?:{})", formats.join("|"))).expect("the formats are valid")
});

/// Keys of OpenAI, Anthropic and others. The prefix is short, so the rest must hold a digit.
static SK_KEY: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\bsk-[A-Za-z0-9_-]{12,}").expect("the format is valid"));

/// A private key in PEM, also in one line with `\n` in two characters.
static PRIVATE_KEY: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?s)-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----.+?-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----")
        .expect("the format is valid")
});

/// What stands before the host of a URL. The last `@` ends it, because a password may hold an unescaped one.
static USERINFO: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r#"://([^\s/?#"']+)@"#).expect("the format is valid"));

/// Addresses that whoever knows them may post to. What follows the fixed beginning is the secret.
static WEBHOOK: LazyLock<Regex> = LazyLock::new(|| {
    let beginnings = [
        r"hooks\.slack\.com/(?:services|workflows|triggers)/",
        r"(?:[a-z]+\.)?discord(?:app)?\.com/api/webhooks/",
        r"[a-z0-9.-]+\.webhook\.office\.com/",
        r"hooks\.zapier\.com/hooks/catch/",
        r"open\.(?:feishu\.cn|larksuite\.com)/open-apis/bot/v2/hook/",
    ];
    Regex::new(&format!(r#"https://(?:{})([^\s"'<>]+)"#, beginnings.join("|"))).expect("the format is valid")
});

/// `Password=…;`, `?api_key=…`, `password=… dbname=…`.
static ASSIGNMENT: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r#"(?:^|[;&?\s"',{])([A-Za-z][A-Za-z0-9 _.-]{0,40}?)\s*=\s*(?:"([^"]+)"|'([^']+)'|([^;&\s"']+))"#,
    )
    .expect("the format is valid")
});

/// `"token": "…"` in JSON.
static JSON_MEMBER: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#""([A-Za-z][A-Za-z0-9 _.-]{0,40})"\s*:\s*"((?:[^"\\]|\\.)+)""#).expect("the format is valid")
});

/// `Authorization: Bearer …`, as a header is written in an argument.
static HEADER: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^([A-Za-z][A-Za-z0-9-]*):\s*(?:[A-Za-z]+\s+)?(?:token=)?(\S+)\s*$")
        .expect("the format is valid")
});

/// `Bearer …` anywhere.
static BEARER: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"(?i)\bbearer\s+([A-Za-z0-9._~+/=-]{8,})").expect("the format is valid"));

/// Regions of clouds, such as `us-east-1` and `europe-west4-a`.
static REGION: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"^(?:us|eu|ap|sa|ca|me|af|il|mx|cn|us-gov|europe|asia|australia|northamerica|southamerica|africa)-(?:north|south|east|west|central|northeast|northwest|southeast|southwest)-?[0-9]{1,2}(?:-?[a-z])?$",
    )
    .expect("the format is valid")
});

static UUID: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?i)^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$").expect("the format is valid")
});

/// Values that stand in configurations everywhere, and are no secrets under any name.
const ORDINARY_VALUES: [&str; 28] = [
    "localhost",
    "127.0.0.1",
    "localhost.localdomain",
    "host.docker.internal",
    "production",
    "development",
    "staging",
    "testing",
    "preview",
    "sandbox",
    "default",
    "disabled",
    "enabled",
    "required",
    "optional",
    "postgres",
    "postgresql",
    "mongodb",
    "mariadb",
    "username",
    "password",
    "anonymous",
    "undefined",
    "verify-full",
    "verify-ca",
    "keychain",
    "application/json",
    "information",
];

/// The parts of a text that look like secrets.
pub(super) fn secrets_by_shape(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut add = |secret: &str| {
        if !secret.is_empty() && found.iter().all(|known| known != secret) {
            found.push(secret.to_owned());
        }
    };
    for format in [&KNOWN_FORMATS, &PRIVATE_KEY] {
        format.find_iter(text).for_each(|hit| add(hit.as_str()));
    }
    SK_KEY
        .find_iter(text)
        .filter(|hit| hit.as_str().contains(|c: char| c.is_ascii_digit()))
        .for_each(|hit| add(hit.as_str()));
    for userinfo in USERINFO.captures_iter(text).filter_map(|hit| hit.get(1)) {
        match userinfo.as_str().split_once(':') {
            Some((_, password)) => {
                add(password);
                // A program that connects shows the password as it is, not as the URL spells it.
                add(&percent_encoding::percent_decode_str(password).decode_utf8_lossy());
            }
            // Without a password the name may be a key, as in the DSN of Sentry.
            None if looks_random(userinfo.as_str()) || is_hex_key(userinfo.as_str()) => {
                add(userinfo.as_str())
            }
            None => {}
        }
    }
    WEBHOOK.captures_iter(text).filter_map(|hit| hit.get(1)).for_each(|hit| add(hit.as_str()));
    for members in [&ASSIGNMENT, &JSON_MEMBER] {
        for hit in members.captures_iter(text) {
            let (name, value) = (&hit[1], hit.iter().skip(2).flatten().next());
            let is_secret = name.eq_ignore_ascii_case("pwd") || is_secret_name(&name.replace(' ', "_"));
            if let Some(value) = value.filter(|value| is_secret && !is_ordinary_value(value.as_str())) {
                add(value.as_str());
            }
        }
    }
    if let Some(hit) =
        HEADER.captures(text).filter(|hit| is_secret_name(&hit[1]) || is_credential_header(&hit[1]))
    {
        add(&hit[2]);
    }
    BEARER
        .captures_iter(text)
        .filter(|hit| hit[1].contains(|c: char| c.is_ascii_digit()))
        .for_each(|hit| add(&hit[1]));
    let words = text.split(|c: char| c.is_whitespace() || "\"'`,;=&?<>(){}[]|".contains(c));
    // A text in which a secret was found already tells its other parts by names, and the address of a host that is random
    // is no secret.
    words.filter(|word| !word.contains("://") && looks_random(word)).for_each(add);
    found
}

/// Whether a header with this name carries a credential.
pub(super) fn is_credential_header(name: &str) -> bool {
    ["authorization", "proxy-authorization", "cookie"].iter().any(|known| name.eq_ignore_ascii_case(known))
}

/// Whether a value is no secret, even where a name says so: a word of configurations, a region, the path of a file, or an
/// address without a credential in it.
pub(super) fn is_ordinary_value(value: &str) -> bool {
    let value = value.trim();
    ORDINARY_VALUES.iter().any(|word| value.eq_ignore_ascii_case(word))
        || REGION.is_match(value)
        || is_path(value)
        || is_plain_url(value)
}

fn is_path(value: &str) -> bool {
    let begins = value.starts_with('/')
        || value.starts_with("./")
        || value.starts_with("~/")
        || value.get(1..3).is_some_and(|drive| drive == ":\\" || drive == ":/");
    begins
        && value.chars().all(|c| c.is_alphanumeric() || "/\\._-~@: ".contains(c))
        && !value.split(['/', '\\']).any(looks_random)
}

fn is_plain_url(value: &str) -> bool {
    let Some((scheme, rest)) = value.split_once("://") else { return false };
    scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
        && !rest.contains(char::is_whitespace)
        && secrets_by_shape(value).is_empty()
        && !rest.split(['/', '?', '#', '&', '=']).skip(1).any(looks_random)
}

/// Whether only a generator writes such a word: a long run of letters and digits without a separator, in which digits
/// and letters alternate as they don't in names.
fn looks_random(word: &str) -> bool {
    if word.len() < 20 || word.contains(['\\', '@']) || word.starts_with(['/', '~']) || UUID.is_match(word) {
        return false;
    }
    word.split(['-', '_', '.', ':', '/']).any(is_random_run)
}

fn is_hex_key(text: &str) -> bool {
    text.len() >= 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn is_random_run(run: &str) -> bool {
    let kind = |c: char| match c {
        '0'..='9' => Some(0),
        'a'..='z' => Some(1),
        'A'..='Z' => Some(2),
        '+' | '=' => Some(3),
        _ => None,
    };
    let kinds: Option<Vec<u8>> = run.chars().map(kind).collect();
    let Some(kinds) = kinds.filter(|kinds| kinds.len() >= 16) else { return false };
    let changes = kinds.windows(2).filter(|pair| pair[0] != pair[1]).count();
    let digit_runs = kinds.chunk_by(|one, two| one == two).filter(|chunk| chunk[0] == 0).count();
    let has_letters = kinds.iter().any(|kind| matches!(kind, 1 | 2));
    // In random letters of both cases and digits about six in ten neighbours differ in kind, in random hex digits about
    // five. In a name with words in capitals it is every third at most, and digits stand together.
    has_letters && digit_runs >= 3 && changes * 10 >= kinds.len() * 3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_formats_are_secrets_wherever_they_stand() {
        for (text, secrets) in [
            ("ghp_0123456789abcdef", vec!["ghp_0123456789abcdef"]),
            ("use sk-ant-api03-abcDEF123456 now", vec!["sk-ant-api03-abcDEF123456"]),
            ("xoxb-1234-abcdefgh", vec!["xoxb-1234-abcdefgh"]),
            ("AKIAIOSFODNN7EXAMPLE", vec!["AKIAIOSFODNN7EXAMPLE"]),
            (
                "eyJhbGciOiJIUzI1.eyJzdWIiOiIxMjM0.c2lnbmF0dXJl",
                vec!["eyJhbGciOiJIUzI1.eyJzdWIiOiIxMjM0.c2lnbmF0dXJl"],
            ),
            ("https://hooks.slack.com/services/T000/B000/xxxxyyyyzzzz", vec!["T000/B000/xxxxyyyyzzzz"]),
            (
                "https://0123456789abcdef0123456789abcdef@o1.ingest.sentry.io/2",
                vec!["0123456789abcdef0123456789abcdef"],
            ),
            ("postgres://me:pa55word:x@host/db?a=b@c", vec!["pa55word:x"]),
            ("postgres://me:p%40ss-word@host/db", vec!["p%40ss-word", "p@ss-word"]),
            ("Server=db;User Id=sa;Password=Sup3r-Secret;Encrypt=true", vec!["Sup3r-Secret"]),
            ("Server=db;Uid=sa;Pwd=Sup3r-Secret", vec!["Sup3r-Secret"]),
            ("host=db password=hunter2hunter2 dbname=x", vec!["hunter2hunter2"]),
            ("AccountName=a;AccountKey=YWJjZGVmZ2hpamtsbW5vcA==;X=1", vec!["YWJjZGVmZ2hpamtsbW5vcA=="]),
            ("https://api.example/v1?api_key=abcdefghij&x=1", vec!["abcdefghij"]),
            ("Authorization: Bearer some-opaque-token", vec!["some-opaque-token"]),
            ("X-Api-Key: some-opaque-key", vec!["some-opaque-key"]),
            (r#"{"user":"me","clientSecret":"abc-def-ghi"}"#, vec!["abc-def-ghi"]),
            ("q8Zt3vB1nX7mK2pL9wR4", vec!["q8Zt3vB1nX7mK2pL9wR4"]),
            ("5f4dcc3b5aa765d61d8327deb882cf99", vec!["5f4dcc3b5aa765d61d8327deb882cf99"]),
            (
                "123456789:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw1",
                vec!["123456789:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw1"],
            ),
        ] {
            assert_eq!(secrets_by_shape(text), secrets, "{text}");
        }
        let key = "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----";
        assert!(secrets_by_shape(&format!("x {key} y")).contains(&key.to_owned()));
    }

    #[test]
    fn everyday_values_are_no_secrets() {
        for text in [
            "localhost",
            "production",
            "us-east-1",
            "europe-west4-a",
            "postgres://localhost:5432/app",
            "https://api.example.com/v1/some/long/path/with-many-words?limit=100&sort=created_at",
            "/home/maria/projects/a-long-directory-name/file-2024-01-15.txt",
            "C:\\Users\\maria\\AppData\\Local\\Programs",
            "ep-cool-darkness-123456.us-east-2.aws.neon.tech",
            "my-company-project-production-europe-west1",
            "550e8400-e29b-41d4-a716-446655440000",
            "maria.musterfrau@example-company.test",
            "@modelcontextprotocol/server-filesystem@2025.8.21",
            "MyVeryLongProjectName2024ForTheCustomer",
            "claude-sonnet-4-20250514",
            "text-embedding-3-large",
            "node --max-old-space-size=4096 --no-warnings",
            "read:user,repo,workflow,write:packages",
            "2024-01-15T10:30:00.000000+00:00",
            "application/vnd.github.v3+json",
            "sk-learn-pipelines-and-more",
            "Server=db;User Id=sa;Encrypt=true;Trusted_Connection=yes",
            "ghcr.io/github/github-mcp-server:v0.20.1",
            "192.168.100.100:5432",
            "9007199254740993123456",
            "key=production&mode=development",
        ] {
            assert_eq!(secrets_by_shape(text), Vec::<String>::new(), "{text}");
        }
    }

    #[test]
    fn what_no_name_makes_a_secret_is_known() {
        for ordinary in [
            "localhost",
            "Production",
            "us-east-1",
            "/home/me/key.json",
            "https://login.example.com/oauth/token",
        ] {
            assert!(is_ordinary_value(ordinary), "{ordinary}");
        }
        for secret in [
            "hunter2hunter2",
            "my-secret-1",
            "/q8Zt3vB1nX7mK2pL9wR4+abc/9dK2",
            "https://me:pa55word@example.com",
            "https://example.com/hook/q8Zt3vB1nX7mK2pL9wR4",
            "12345678",
        ] {
            assert!(!is_ordinary_value(secret), "{secret}");
        }
    }
}
