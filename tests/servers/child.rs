//! A child server that does what a test wants, well or badly.

use std::ffi::OsString;
use std::io::{BufRead as _, Write as _};
use std::process::ExitCode;
use std::sync::LazyLock;
use std::time::Duration;

use serde_json::value::RawValue;
use serde_json::{Value, json};

/// Of whom a server speaks that `refuses-a-person`.
pub(crate) const PERSON: &str = "María Musterfrau";
/// Why it refuses the handshake. The 300th letter is one of the name.
pub(crate) static REFUSAL_ABOUT_A_PERSON: LazyLock<String> =
    LazyLock::new(|| format!("The directory is closed:{}", format!("no account of {PERSON}, ").repeat(30)));

/// Plays the child; the arguments say which.
pub(crate) fn run(args: impl Iterator<Item = OsString>) -> ExitCode {
    let args: Vec<String> = args.map(|arg| arg.into_string().expect("UTF-8")).collect();
    let mut child = FakeChild {
        args,
        cancelled: Vec::new(),
        answers: Vec::new(),
        greeted: false,
        waiting: None,
        registered: false,
    };
    child.announce_start();
    for line in std::io::stdin().lock().lines() {
        let Ok(line) = line else { break };
        child.handle_line(&line);
    }
    if child.has_flag("ignores-eof") {
        // Longer than any test; it is to be ended before.
        std::thread::sleep(Duration::from_secs(600));
    }
    ExitCode::SUCCESS
}

struct FakeChild {
    args: Vec<String>,
    cancelled: Vec<Value>,
    /// What the client answered to requests.
    answers: Vec<Value>,
    greeted: bool,
    /// The id of a call that waits for those answers.
    waiting: Option<Value>,
    /// Whether it lists `echo` all the same when it forgets it.
    registered: bool,
}

#[derive(serde::Deserialize)]
struct CallParams<'a> {
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
}

#[derive(serde::Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    params: Option<CallParams<'a>>,
}

impl FakeChild {
    fn has_flag(&self, what: &str) -> bool {
        self.args.iter().any(|arg| arg == what)
    }

    fn announce_start(&self) {
        if self.has_flag("ends-at-once") {
            write_stderr("no such database");
            std::process::exit(4);
        }
        if self.has_flag("announces") {
            for _ in 0..200 {
                send_message(&json!({"jsonrpc":"2.0","method":"notifications/tools/list_changed"}));
            }
        }
    }

    fn handle_line(&mut self, line: &str) {
        let message: Value = serde_json::from_str(line).expect("the client sends JSON");
        let id = message.get("id").cloned();
        let Some(method) = message["method"].as_str() else {
            return self.handle_answer(message);
        };
        let params = &message["params"];
        if id.is_none() && self.has_flag("answers-notifications") {
            send_message(
                &json!({"jsonrpc":"2.0","id":null,"error":{"code":-32601,"message":"Method not found"}}),
            );
        }
        if id.is_none() && self.has_flag("answers-notifications-without-id") {
            send_message(&json!({"jsonrpc":"2.0","error":{"code":-32601,"message":"Method not found"}}));
        }
        match (method, id) {
            ("notifications/cancelled", None) => self.cancelled.push(params["requestId"].clone()),
            (_, None) => assert!(self.greeted, "a notification before the first answer: {line}"),
            (_, Some(_)) if self.has_flag("silent") => {}
            ("initialize", Some(_)) if self.has_flag("silent-on-initialize") => {}
            ("initialize", Some(_)) if self.has_flag("ends-on-initialize") => std::process::exit(5),
            ("initialize", Some(id)) if self.has_flag("refuses-a-person") => send_message(&json!({
                "jsonrpc":"2.0","id":id,"error":{"code":-32603,"message":REFUSAL_ABOUT_A_PERSON.as_str()}
            })),
            ("initialize", Some(id)) => self.answer_initialize(&id, params),
            ("server/discover", Some(id)) if self.has_flag("modern") => {
                self.greeted = true;
                send_result(
                    &id,
                    &json!({"resultType":"complete","supportedVersions":["2026-07-28"],
                    "capabilities":{"tools":{"listChanged":true}},"ttlMs":0,"cacheScope":"private"}),
                );
            }
            ("subscriptions/listen", Some(id)) => send_message(&json!({"jsonrpc":"2.0",
                "method":"notifications/tools/list_changed",
                "params":{"_meta":{"io.modelcontextprotocol/subscriptionId":id}}})),
            ("tools/list", Some(_)) if self.has_flag("ends-on-list") => std::process::exit(6),
            ("tools/list", Some(id)) if self.has_flag("malformed-list") => {
                send_message(&json!({"jsonrpc":"2.0","id":id,"result":7}));
            }
            ("tools/list", Some(id)) => self.answer_list(&id, params),
            ("resources/list", Some(id)) => {
                send_result(&id, &json!({"resources":[{"uri":"a://b","name":"b"}]}));
            }
            ("tools/call", Some(id)) => self.answer_call(id, params, line),
            (_, Some(id)) => send_message(&json!({"jsonrpc":"2.0","id":id,
                "error":{"code":-32601,"message":"Method not found"}})),
        }
    }

    fn answer_initialize(&mut self, id: &Value, params: &Value) {
        if self.has_flag("modern") {
            return send_message(&json!({"jsonrpc":"2.0","id":id,
                "error":{"code":-32022,"message":"Unsupported protocol version"}}));
        }
        assert_eq!(params["protocolVersion"], "2025-11-25");
        self.greeted = true;
        let version = if self.has_flag("ancient") { "2023-01-01" } else { "2025-06-18" };
        let mut capabilities = json!({"tools":{"listChanged":true},"logging":{}});
        if self.has_flag("declares-too-much") {
            capabilities["resources"] = json!({});
            capabilities["prompts"] = json!({});
        }
        send_result(
            id,
            &json!({"protocolVersion":version,"capabilities":capabilities,
            "serverInfo":{"name":"child","version":"1"},"instructions":"be kind"}),
        );
    }

    fn answer_list(&self, id: &Value, params: &Value) {
        let page = params["cursor"].as_str().map_or(0, |cursor| cursor.parse().expect("our own cursor"));
        let next = match page {
            0 | 1 => Some(page + 1),
            _ if self.has_flag("pages-in-circles") => Some(1),
            _ if self.has_flag("pages-for-ever") => Some(page + 1),
            _ => None,
        };
        let lists_echo = self.registered || !self.has_flag("forgets");
        let name = if page == 1 && lists_echo { "echo".to_owned() } else { format!("tool{page}") };
        let mut list = json!({"tools":[{"name":name,"inputSchema":{"type":"object"}}]});
        if self.has_flag("redefines") {
            list["tools"][0]["description"] = json!(format!("of the process {}", std::process::id()));
        }
        if let Some(next) = next {
            list["nextCursor"] = json!(next.to_string());
        }
        send_result(id, &list);
    }

    fn answer_call(&mut self, id: Value, params: &Value, line: &str) {
        match params["name"].as_str().expect("a name") {
            "echo" => {
                let envelope: Envelope<'_> = serde_json::from_str(line).expect("a call");
                let arguments =
                    envelope.params.and_then(|params| params.arguments).map_or("null", RawValue::get);
                write_stdout(&format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{arguments}}}"));
            }
            // Registers `echo`, or withdraws it.
            "tool0" => {
                self.registered = !self.registered;
                if params["arguments"]["announced"] == true {
                    send_message(&json!({"jsonrpc":"2.0","method":"notifications/tools/list_changed"}));
                }
                send_result(&id, &json!({}));
            }
            "meta" => send_result(&id, &params["_meta"]),
            "crash" => {
                write_stderr("out of cheese");
                std::process::exit(3);
            }
            "hang" => {}
            "shout" => send_too_long(&id),
            "cancelled" => send_result(&id, &json!(self.cancelled)),
            "progress" => send_progress(&id, &params["_meta"]["progressToken"]),
            "logs" => send_log_and_result(&id),
            "flood" => send_flood(&id),
            "junk" => send_junk(&id),
            "answer-with" => answer_with(&id, params["arguments"]["line"].as_str().expect("a line")),
            "long" => {
                let bytes =
                    usize::try_from(params["arguments"]["bytes"].as_u64().expect("bytes")).expect("small");
                send_result(&id, &json!({"long":"x".repeat(bytes)}));
            }
            "environment" => {
                let names: Vec<String> = std::env::vars().map(|(name, _)| name).collect();
                send_result(&id, &json!(names));
            }
            "ask" => {
                for (ask, method) in ["ping", "roots/list", "sampling/createMessage"].iter().enumerate() {
                    send_message(
                        &json!({"jsonrpc":"2.0","id":format!("ask-{ask}"),"method":method,"params":{}}),
                    );
                }
                self.waiting = Some(id);
            }
            "twice" => {
                send_result(&id, &json!({"answer":1}));
                send_result(&id, &json!({"answer":2}));
                send_message(
                    &json!({"jsonrpc":"2.0","id":id.as_u64().map(|id| id + 1),"result":{"answer":"foreign"}}),
                );
            }
            #[cfg(unix)]
            "family" => send_result(&id, &json!(crate::processes::spawn_family(&self.args))),
            "pid" => send_result(&id, &json!(std::process::id())),
            other => panic!("no tool {other}"),
        }
    }

    fn handle_answer(&mut self, message: Value) {
        self.answers.push(message);
        if self.answers.len() == 3
            && let Some(id) = self.waiting.take()
        {
            send_result(&id, &json!(self.answers));
        }
    }
}

/// Tells of five steps, then answers.
fn send_progress(id: &Value, token: &Value) {
    for step in 1..=5 {
        send_message(&json!({"jsonrpc":"2.0","method":"notifications/progress",
            "params":{"progressToken":token,"progress":step}}));
    }
    send_result(id, &json!({}));
}

/// Logs, tells of a change and answers in one write.
fn send_log_and_result(id: &Value) {
    let log = json!({"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"x"}});
    let updated = json!({"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"a:1"}});
    let answer = json!({"jsonrpc":"2.0","id":id,"result":{}});
    write_stdout(&format!("{log}\n{updated}\n{log}\n{answer}"));
}

fn send_flood(id: &Value) {
    let mut out = std::io::stdout().lock();
    let mut err = std::io::stderr().lock();
    for number in 0..20_000 {
        let log = json!({"jsonrpc":"2.0","method":"notifications/message",
            "params":{"level":"info","data":number}});
        writeln!(out, "{log}").expect("stdout is open");
        if number % 20 == 0 {
            writeln!(err, "still here {number}").expect("stderr is open");
        }
    }
    drop(out);
    send_result(id, &json!({"flooded":true}));
}

/// Writes 30 MB to stderr before it answers.
fn send_too_long(id: &Value) {
    let line = format!("{}\n", "x".repeat(1023)).repeat(1024);
    for _ in 0..30 {
        std::io::stderr().write_all(line.as_bytes()).expect("stderr is read");
    }
    send_result(id, &json!({}));
}

fn send_junk(id: &Value) {
    let mut out = std::io::stdout().lock();
    for line in [
        &b"Server listening on stdio"[..],
        b"{\"jsonrpc\":\"2.0\"",
        b"\xff\xfe\x00",
        b"[1,2]",
        b"null",
        b"{}",
    ] {
        out.write_all(line).and_then(|()| out.write_all(b"\n")).expect("stdout is open");
    }
    drop(out);
    send_message(&json!({"jsonrpc":"2.0","id":987_654,"result":{"foreign":true}}));
    send_result(id, &json!({"clean":true}));
}

/// Answers with `line`, in which `ID` stands for the request's id and `\xE9` and the like for bytes.
fn answer_with(id: &Value, line: &str) {
    let mut out = Vec::new();
    let line = line.replace("ID", &id.to_string());
    let mut pieces = line.split("\\x");
    out.extend_from_slice(pieces.next().unwrap_or_default().as_bytes());
    for piece in pieces {
        let (byte, rest) = piece.split_at(2);
        out.push(u8::from_str_radix(byte, 16).expect("two hexadecimal digits"));
        out.extend_from_slice(rest.as_bytes());
    }
    out.push(b'\n');
    let _ = std::io::stdout().lock().write_all(&out);
}

/// Answers; what is no object, as a result must be, stands in one as `is`.
fn send_result(id: &Value, result: &Value) {
    let wrapped = json!({ "is": result });
    let result = if result.is_object() { result } else { &wrapped };
    send_message(&json!({"jsonrpc":"2.0","id":id,"result":result}));
}

fn send_message(message: &Value) {
    write_stdout(&message.to_string());
}

fn write_stdout(line: &str) {
    let mut out = std::io::stdout().lock();
    // Whoever does not read any more has ended.
    let _ = out.write_all(line.as_bytes()).and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush());
}

fn write_stderr(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
