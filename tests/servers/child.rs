//! A child server that does what a test wants, well or badly.

use std::ffi::OsString;
use std::io::{BufRead as _, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use serde_json::value::RawValue;
use serde_json::{Value, json};

/// Plays the child; the arguments say which.
pub(crate) fn run(args: impl Iterator<Item = OsString>) -> ExitCode {
    let args: Vec<String> = args.map(|arg| arg.into_string().expect("UTF-8")).collect();
    let mut child = Child {
        args,
        cancelled: Vec::new(),
        answers: Vec::new(),
        greeted: false,
        waiting: None,
        registered: false,
    };
    child.begin();
    for line in std::io::stdin().lock().lines() {
        let Ok(line) = line else { break };
        child.take(&line);
    }
    if child.is("ignores-eof") {
        // Longer than any test; it is to be ended before.
        std::thread::sleep(Duration::from_secs(600));
    }
    ExitCode::SUCCESS
}

struct Child {
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

impl Child {
    fn is(&self, what: &str) -> bool {
        self.args.iter().any(|arg| arg == what)
    }

    fn begin(&self) {
        if self.is("ends-at-once") {
            say_error("no such database");
            std::process::exit(4);
        }
        if self.is("announces") {
            for _ in 0..200 {
                say(&json!({"jsonrpc":"2.0","method":"notifications/tools/list_changed"}));
            }
        }
    }

    fn take(&mut self, line: &str) {
        let message: Value = serde_json::from_str(line).expect("the client sends JSON");
        let id = message.get("id").cloned();
        let Some(method) = message["method"].as_str() else {
            return self.answered(message);
        };
        let params = &message["params"];
        if id.is_none() && self.is("answers-notifications") {
            say(&json!({"jsonrpc":"2.0","id":null,"error":{"code":-32601,"message":"Method not found"}}));
        }
        if id.is_none() && self.is("answers-notifications-without-id") {
            say(&json!({"jsonrpc":"2.0","error":{"code":-32601,"message":"Method not found"}}));
        }
        match (method, id) {
            ("notifications/cancelled", None) => self.cancelled.push(params["requestId"].clone()),
            (_, None) => assert!(self.greeted, "a notification before the first answer: {line}"),
            (_, Some(_)) if self.is("silent") => {}
            ("initialize", Some(_)) if self.is("silent-on-initialize") => {}
            ("initialize", Some(_)) if self.is("ends-on-initialize") => std::process::exit(5),
            ("initialize", Some(id)) => self.initialize(&id, params),
            ("server/discover", Some(id)) if self.is("modern") => {
                self.greeted = true;
                result(
                    &id,
                    &json!({"resultType":"complete","supportedVersions":["2026-07-28"],
                    "capabilities":{"tools":{"listChanged":true}},"ttlMs":0,"cacheScope":"private"}),
                );
            }
            ("subscriptions/listen", Some(id)) => say(&json!({"jsonrpc":"2.0",
                "method":"notifications/tools/list_changed",
                "params":{"_meta":{"io.modelcontextprotocol/subscriptionId":id}}})),
            ("tools/list", Some(_)) if self.is("ends-on-list") => std::process::exit(6),
            ("tools/list", Some(id)) if self.is("malformed-list") => {
                say(&json!({"jsonrpc":"2.0","id":id,"result":7}));
            }
            ("tools/list", Some(id)) => self.list(&id, params),
            ("resources/list", Some(id)) => {
                result(&id, &json!({"resources":[{"uri":"a://b","name":"b"}]}));
            }
            ("tools/call", Some(id)) => self.call(id, params, line),
            (_, Some(id)) => say(&json!({"jsonrpc":"2.0","id":id,
                "error":{"code":-32601,"message":"Method not found"}})),
        }
    }

    fn initialize(&mut self, id: &Value, params: &Value) {
        if self.is("modern") {
            return say(&json!({"jsonrpc":"2.0","id":id,
                "error":{"code":-32022,"message":"Unsupported protocol version"}}));
        }
        assert_eq!(params["protocolVersion"], "2025-11-25");
        self.greeted = true;
        let version = if self.is("ancient") { "2023-01-01" } else { "2025-06-18" };
        let mut capabilities = json!({"tools":{"listChanged":true},"logging":{}});
        if self.is("declares-too-much") {
            capabilities["resources"] = json!({});
            capabilities["prompts"] = json!({});
        }
        result(
            id,
            &json!({"protocolVersion":version,"capabilities":capabilities,
            "serverInfo":{"name":"child","version":"1"},"instructions":"be kind"}),
        );
    }

    fn list(&self, id: &Value, params: &Value) {
        let page = params["cursor"].as_str().map_or(0, |cursor| cursor.parse().expect("our own cursor"));
        let next = match page {
            0 | 1 => Some(page + 1),
            _ if self.is("pages-in-circles") => Some(1),
            _ if self.is("pages-for-ever") => Some(page + 1),
            _ => None,
        };
        let lists_echo = self.registered || !self.is("forgets");
        let name = if page == 1 && lists_echo { "echo".to_owned() } else { format!("tool{page}") };
        let mut list = json!({"tools":[{"name":name,"inputSchema":{"type":"object"}}]});
        if let Some(next) = next {
            list["nextCursor"] = json!(next.to_string());
        }
        result(id, &list);
    }

    fn call(&mut self, id: Value, params: &Value, line: &str) {
        match params["name"].as_str().expect("a name") {
            "echo" => {
                let envelope: Envelope<'_> = serde_json::from_str(line).expect("a call");
                let arguments =
                    envelope.params.and_then(|params| params.arguments).map_or("null", RawValue::get);
                say_text(&format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{arguments}}}"));
            }
            // Registers `echo`, or withdraws it.
            "tool0" => {
                self.registered = !self.registered;
                if params["arguments"]["announced"] == true {
                    say(&json!({"jsonrpc":"2.0","method":"notifications/tools/list_changed"}));
                }
                result(&id, &json!({}));
            }
            "meta" => result(&id, &params["_meta"]),
            "crash" => {
                say_error("out of cheese");
                std::process::exit(3);
            }
            "hang" => {}
            "shout" => shout(&id),
            "cancelled" => result(&id, &json!(self.cancelled)),
            "progress" => progress(&id, &params["_meta"]["progressToken"]),
            "logs" => log_and_answer(&id),
            "flood" => flood(&id),
            "junk" => junk(&id),
            "answer-with" => answer_with(&id, params["arguments"]["line"].as_str().expect("a line")),
            "long" => {
                let bytes =
                    usize::try_from(params["arguments"]["bytes"].as_u64().expect("bytes")).expect("small");
                result(&id, &json!({"long":"x".repeat(bytes)}));
            }
            "environment" => {
                let names: Vec<String> = std::env::vars().map(|(name, _)| name).collect();
                result(&id, &json!(names));
            }
            "ask" => {
                for (ask, method) in ["ping", "roots/list", "sampling/createMessage"].iter().enumerate() {
                    say(&json!({"jsonrpc":"2.0","id":format!("ask-{ask}"),"method":method,"params":{}}));
                }
                self.waiting = Some(id);
            }
            "twice" => {
                result(&id, &json!({"answer":1}));
                result(&id, &json!({"answer":2}));
                say(
                    &json!({"jsonrpc":"2.0","id":id.as_u64().map(|id| id + 1),"result":{"answer":"foreign"}}),
                );
            }
            #[cfg(unix)]
            "family" => result(&id, &json!(crate::processes::make_family(&self.args))),
            "pid" => result(&id, &json!(std::process::id())),
            other => panic!("no tool {other}"),
        }
    }

    fn answered(&mut self, message: Value) {
        self.answers.push(message);
        if self.answers.len() == 3
            && let Some(id) = self.waiting.take()
        {
            result(&id, &json!(self.answers));
        }
    }
}

/// Tells of five steps, then answers.
fn progress(id: &Value, token: &Value) {
    for step in 1..=5 {
        say(&json!({"jsonrpc":"2.0","method":"notifications/progress",
            "params":{"progressToken":token,"progress":step}}));
    }
    result(id, &json!({}));
}

/// Logs, tells of a change and answers in one write.
fn log_and_answer(id: &Value) {
    let log = json!({"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"x"}});
    let updated = json!({"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"a:1"}});
    let answer = json!({"jsonrpc":"2.0","id":id,"result":{}});
    say_text(&format!("{log}\n{updated}\n{log}\n{answer}"));
}

fn flood(id: &Value) {
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
    result(id, &json!({"flooded":true}));
}

/// Writes 30 MB to stderr before it answers.
fn shout(id: &Value) {
    let line = format!("{}\n", "x".repeat(1023)).repeat(1024);
    for _ in 0..30 {
        std::io::stderr().write_all(line.as_bytes()).expect("stderr is read");
    }
    result(id, &json!({}));
}

fn junk(id: &Value) {
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
    say(&json!({"jsonrpc":"2.0","id":987_654,"result":{"foreign":true}}));
    result(id, &json!({"clean":true}));
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
fn result(id: &Value, result: &Value) {
    let wrapped = json!({ "is": result });
    let result = if result.is_object() { result } else { &wrapped };
    say(&json!({"jsonrpc":"2.0","id":id,"result":result}));
}

fn say(message: &Value) {
    say_text(&message.to_string());
}

fn say_text(line: &str) {
    let mut out = std::io::stdout().lock();
    // Whoever does not read any more has ended.
    let _ = out.write_all(line.as_bytes()).and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush());
}

fn say_error(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
