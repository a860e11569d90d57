//! Fakes that language models write by themselves: in tests, examples and forms. Portero can't tell such a text from one
//! about the person, so the real value would be revealed in it.

/// Texts, in small letters.
const TEXTS: [&str; 78] = [
    "john doe",
    "jane doe",
    "john smith",
    "jane smith",
    "john",
    "jane",
    "john q. public",
    "joe bloggs",
    "joe public",
    "alice",
    "bob",
    "carol",
    "eve",
    "mallory",
    "alice smith",
    "alice johnson",
    "bob smith",
    "bob johnson",
    "max mustermann",
    "erika mustermann",
    "jean dupont",
    "marie dupont",
    "juan pérez",
    "juan perez",
    "maria garcia",
    "mario rossi",
    "jan kowalski",
    "иван иванов",
    "山田太郎",
    "山田 太郎",
    "张三",
    "李四",
    "홍길동",
    "foo",
    "bar",
    "baz",
    "qux",
    "foobar",
    "foo bar",
    "test",
    "test user",
    "testuser",
    "user",
    "user name",
    "username",
    "your name",
    "your-name",
    "my name",
    "name",
    "full name",
    "first last",
    "firstname lastname",
    "anonymous",
    "unknown",
    "acme",
    "acme corp",
    "acme inc",
    "acme inc.",
    "example",
    "example corp",
    "example inc",
    "sample",
    "dummy",
    "fake",
    "string",
    "value",
    "placeholder",
    "lorem ipsum",
    "changeme",
    "secret",
    "password",
    "token",
    "key",
    "api-key",
    "your-api-key",
    "todo",
    "xxx",
    "n/a",
];
/// What stands before the `@` in addresses of examples.
const MAILBOXES: [&str; 22] = [
    "john",
    "jane",
    "john.doe",
    "jane.doe",
    "johndoe",
    "janedoe",
    "jdoe",
    "john.smith",
    "jane.smith",
    "alice",
    "bob",
    "user",
    "username",
    "test",
    "foo",
    "admin",
    "info",
    "me",
    "you",
    "name",
    "email",
    "someone",
];
/// The domains of such addresses.
const DOMAINS: [&str; 10] = [
    "example.com",
    "example.org",
    "example.net",
    "test.com",
    "email.com",
    "domain.com",
    "company.com",
    "mail.com",
    "foo.com",
    "acme.com",
];
/// The names of people in paths of examples.
const LOGINS: [&str; 14] = [
    "user", "username", "john", "jane", "johndoe", "janedoe", "jdoe", "alice", "bob", "you", "me",
    "yourname", "name", "test",
];

/// Whether models write a text as a placeholder.
pub(super) fn is_placeholder(fake: &str) -> bool {
    let fake = fake.trim().to_lowercase();
    TEXTS.contains(&fake.as_str()) || is_mailbox(&fake) || is_home(&fake) || is_counted(&fake)
}

fn is_mailbox(fake: &str) -> bool {
    fake.split_once('@')
        .is_some_and(|(mailbox, domain)| MAILBOXES.contains(&mailbox) && DOMAINS.contains(&domain))
}

/// `/home/user`, `C:\Users\john`, `/path/to/file`.
fn is_home(fake: &str) -> bool {
    let path = fake.replace('\\', "/");
    let login =
        ["/home/", "/users/", "c:/users/", "~"].into_iter().find_map(|start| path.strip_prefix(start));
    path.starts_with("/path/to") || login.is_some_and(|rest| LOGINS.contains(&rest.trim_end_matches('/')))
}

/// `123`, `0000`, `+1 234 567 8900`, `555-1234`.
fn is_counted(fake: &str) -> bool {
    let digits: Vec<u8> = fake.bytes().filter(u8::is_ascii_digit).collect();
    if digits.len() < 3 || fake.chars().any(|c| !c.is_ascii_digit() && !" +-()./".contains(c)) {
        return false;
    }
    let all = |step: fn(u8) -> u8| digits.windows(2).all(|pair| step(pair[0]) == pair[1]);
    let next = |digit: u8| if digit == b'9' { b'0' } else { digit + 1 };
    let text = String::from_utf8_lossy(&digits);
    // The numbers 555-01xx are kept for fiction, and many. These are those that everybody writes.
    let is_known = ["5551234", "5555555", "5550100", "5550123"].iter().any(|end| text.ends_with(end));
    all(next) || all(|digit| digit) || is_known || text.starts_with("1234567890")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_models_write_by_themselves_is_known() {
        for fake in [
            "John Doe",
            "JANE DOE ",
            "foo",
            "Max Mustermann",
            "john@example.com",
            "User@Example.org",
            "test@test.com",
            "/home/user",
            "/Users/john/",
            "C:\\Users\\John",
            "/path/to/file",
            "123",
            "12345",
            "1234567890",
            "0000",
            "+1 234 567 8900",
            "555-1234",
            "(555) 555-5555",
            "+1 555 555 0100",
        ] {
            assert!(is_placeholder(fake), "{fake}");
        }
        for fake in [
            "Ottilie Brandvold",
            "ottilie@example.com",
            "john@brandvold.example",
            "John Brandvold",
            "/home/obrandvold",
            "/home/user7/x",
            "90316482",
            "+44 7700 900318",
            "+1 202 555 0143",
            "12",
            "fake-api-key-12345",
            "no-key-7731",
        ] {
            assert!(!is_placeholder(fake), "{fake}");
        }
    }
}
