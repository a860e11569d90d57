//! The proof over many random rule sets: the production decision is what the guarantees say, in the plainest
//! words that we could find for them. Nothing here is shared with the production matcher: patterns are matched
//! and weighed anew from their text, once each, so that a rule set costs next to nothing.

use std::fmt::Write as _;

use super::*;
use crate::names::{AgentSessionId, Principal, SessionId};
use crate::policy::condition::Truth::{No, Unreadable, Unsure, Yes};
use crate::policy::condition::{
    ArgumentCondition, CommandMatcher, Comparison, Decimal, Folder, JsonPointer, PolicyCase, Truth, ValueTest,
};

/// The key of the fingerprints of calls.
const CALL_KEY: [u8; 32] = [7; 32];

/// How many rule sets the decision is compared on.
const RANDOM_SETS: u64 = 100_000;

const TOOLS: [&str; 9] = ["a/a", "a/b", "a/ab", "b/b", "b/bb", "ab/a", "ab/ab", "ba/ba", "b/resources:read"];

/// What calls say, none of them included, and what each of [`conditions`] is on it.
const CALLS: [(Option<&str>, [Truth; CONDITIONS]); 18] = [
    (Some(r#"{"amount":150,"path":"/notes/a","mode":"fast"}"#), [Yes, Yes, Yes, No, No, No]),
    (Some(r#"{"amount":1e2,"path":"/notes/../etc","mode":"slow"}"#), [No; CONDITIONS]),
    (Some(r#"{"amount":"150","path":"notes/a","mode":true}"#), [Unsure, Unsure, Unsure, No, No, No]),
    (Some("{}"), [No; CONDITIONS]),
    (Some(r#"{"amount":100.00000000000000000001,"Path":"/notes/a"}"#), [Yes, Unsure, No, No, No, No]),
    (Some(r#"{"AMOUNT":1,"path":["/notes/a"],"mode":"fast"}"#), [Unsure, Yes, Yes, No, No, No]),
    (Some("[]"), [Unsure; CONDITIONS]),
    (Some(r#"{"files":["/notes/a","/notes/b"],"mode":"fast"}"#), [No, No, Yes, Yes, No, No]),
    (Some(r#"{"files":["/notes/a","/etc/passwd"]}"#), [No, No, No, Unsure, No, No]),
    (Some(r#"{"files":[]}"#), [No, No, No, Unsure, No, No]),
    (Some(r#"{"files":{"a":"/notes/a"},"amount":101}"#), [Yes, No, No, Yes, No, No]),
    (Some(r#"{"hosts_json":"[\"we\\u00622\"]","command":"ls"}"#), [No, No, No, No, Unsure, No]),
    (Some(r#"{"hosts_json":["web2"],"command":"rm -rf /"}"#), [No, No, No, No, Yes, Yes]),
    (
        Some(r#"{"hosts_json":"web2","command":"ls; rm x","files":"/notes/a"}"#),
        [No, No, No, Yes, Yes, Unsure],
    ),
    (Some(r#"{"command":"echo $(date)"}"#), [No, No, No, No, No, Unreadable]),
    (Some(r#"{"command":"$(rm x)","amount":[101]}"#), [Yes, No, No, No, No, Unsure]),
    (
        Some(r#"{"hosts_json":"{\"a\":\"web2\"}","path":"/notes","command":"eval \"$X\"","mode":["fast"]}"#),
        [No, Yes, Yes, No, Unsure, Unreadable],
    ),
    (None, [Unsure; CONDITIONS]),
];

/// What a grant can fix, and the calls that have it.
const FIXED: [(&str, &str, &[usize]); 2] =
    [("/mode", r#""fast""#, &[0, 5, 7]), ("/path", r#""/notes/a""#, &[0])];

/// How many conditions there are.
const CONDITIONS: usize = 6;

fn conditions() -> [ArgumentCondition; CONDITIONS] {
    let at =
        |pointer, test| ArgumentCondition { pointer: JsonPointer::parse(pointer).expect("a pointer"), test };
    [
        at("/amount", ValueTest::Bound(Comparison::Above, Decimal::parse("100").expect("a number"))),
        at("/path", ValueTest::Under(Folder::parse("/notes").expect("a folder"))),
        at("/mode", ValueTest::Text("fast".into())),
        at("/files/*", ValueTest::Under(Folder::parse("/notes").expect("a folder"))),
        at("/hosts_json", ValueTest::Text("web2".into())),
        at("/command", ValueTest::Command(CommandMatcher::parse(["rm **"]).expect("a pattern"))),
    ]
}

/// Everything that is known of the patterns and tools before the first rule set.
struct ReferenceInputs {
    patterns: Vec<Pattern>,
    tools: Vec<ToolId>,
    conditions: [ArgumentCondition; CONDITIONS],
    calls: Vec<Option<crate::json::RawJson>>,
    /// By call: the `params`.
    params: Vec<crate::json::RawJson>,
    /// By tool, then by call.
    fingerprints: Vec<Vec<String>>,
    /// By pattern, then by tool.
    matches: Vec<Vec<bool>>,
    weights: Vec<ReferenceSpecificity>,
    /// Who may ask.
    sessions: [SessionId; 2],
    agents: [AgentSessionId; 2],
    projects: [Principal; 2],
}

/// The points of the documentation, in its order; wildcards count against.
type ReferenceSpecificity = (bool, bool, usize, bool, usize, std::cmp::Reverse<usize>);

impl ReferenceInputs {
    fn new() -> Self {
        let mut patterns = PATTERNS.clone();
        patterns.extend(TOOLS.map(pattern));
        let texts: Vec<_> = patterns.iter().map(|pattern| pattern.as_str().to_owned()).collect();
        let row = |text: &String| {
            TOOLS
                .iter()
                .map(|tool| text == "*" || reference_matches(text.as_bytes(), tool.as_bytes()))
                .collect()
        };
        let raw = |text: String| crate::json::parse_raw(text).expect("JSON");
        let params: Vec<_> =
            CALLS.iter().map(|(text, _)| raw(format!("[{}]", text.unwrap_or_default()))).collect();
        let fingerprint = |tool: &str, params| {
            let (tool, method) = (&self::tool(tool), "tools/call");
            let call = CallIdentity { tool, method, params, arguments: None };
            call.fingerprint(&CALL_KEY).expect("a digest")
        };
        let fingerprints = |tool: &&str| params.iter().map(|params| fingerprint(tool, params)).collect();
        Self {
            fingerprints: TOOLS.iter().map(fingerprints).collect(),
            matches: texts.iter().map(row).collect(),
            weights: texts.iter().map(|text| reference_specificity(text)).collect(),
            tools: TOOLS.iter().map(|text| tool(text)).collect(),
            conditions: conditions(),
            calls: CALLS.iter().map(|(text, _)| text.map(|text| raw(text.to_owned()))).collect(),
            params,
            patterns,
            sessions: [SessionId::fresh(), SessionId::fresh()],
            agents: ["x", "y"].map(|id| id.parse().expect("an id")),
            projects: ["/p", "/q"].map(|project| Principal::from_project(project.as_ref())),
        }
    }
}

/// Whether a pattern covers a name, by trying everything.
fn reference_matches(pattern: &[u8], name: &[u8]) -> bool {
    let rest = |from: usize| &pattern[from..];
    match pattern {
        [] => name.is_empty(),
        [b'*', b'*', ..] => (0..=name.len()).any(|skip| reference_matches(rest(2), &name[skip..])),
        [b'*', ..] => {
            let within = name.iter().position(|c| *c == b'/').unwrap_or(name.len());
            (0..=within).any(|skip| reference_matches(rest(1), &name[skip..]))
        }
        [b'?', ..] => name.first().is_some_and(|c| *c != b'/') && reference_matches(rest(1), &name[1..]),
        [b'[', ..] => {
            let end = pattern.iter().position(|c| *c == b']').expect("closed");
            name.first().is_some_and(|c| pattern[1..end].contains(c))
                && reference_matches(rest(end + 1), &name[1..])
        }
        [b'{', ..] => {
            let end = pattern.iter().position(|c| *c == b'}').expect("closed");
            pattern[1..end]
                .split(|c| *c == b',')
                .any(|one| reference_matches(&[one, rest(end + 1)].concat(), name))
        }
        [literal, ..] => name.first() == Some(literal) && reference_matches(rest(1), &name[1..]),
    }
}

fn reference_specificity(text: &str) -> ReferenceSpecificity {
    let group = regex::Regex::new(r"\[[^]]*]|\{[^}]*}|\?").expect("a pattern");
    let stars = regex::Regex::new(r"\*+").expect("a pattern");
    let plain = stars.replace_all(&group.replace_all(text, "?"), "*").into_owned();
    let (server, tool) = plain.split_once('/').unwrap_or(("*", &plain));
    let wild = |part: &str| part.matches(['*', '?']).count();
    let literal = |part: &str| part.chars().count() - wild(part);
    (
        wild(&plain) == 0,
        wild(tool) == 0,
        literal(tool),
        wild(server) == 0,
        literal(server),
        std::cmp::Reverse(wild(server) + wild(tool)),
    )
}

/// What an entry says: its cases by the numbers of their conditions, and what holds otherwise.
#[derive(Debug, Clone)]
struct ReferenceEntry {
    cases: Vec<(Vec<usize>, Action)>,
    otherwise: Action,
    /// Its position.
    place: u32,
}

impl ReferenceEntry {
    fn random(chance: &mut TestRng) -> Self {
        let case = |chance: &mut TestRng| {
            let first = chance.below(CONDITIONS);
            let more = chance.random_list(1, |chance| chance.below(CONDITIONS));
            ([vec![first], more].concat(), chance.random_action())
        };
        let cases = if chance.below(3) == 0 { chance.random_list(3, case) } else { Vec::new() };
        Self {
            cases,
            otherwise: chance.random_action(),
            place: u32::try_from(chance.below(1 << 20)).expect("small"),
        }
    }

    /// The strictest over every way in which what cannot be told could be. Of what cannot be read, a deny asks.
    fn strictest(&self, call: usize) -> Action {
        if self.cases.is_empty() {
            return self.otherwise;
        }
        let truths = &CALLS[call].1;
        (0..1_u8 << CONDITIONS)
            .map(|world| {
                let holds = |condition: &usize| match truths[*condition] {
                    Yes => true,
                    No => false,
                    Unsure | Unreadable => world >> condition & 1 == 1,
                };
                let matching = self.cases.iter().filter(|(when, _)| when.iter().all(holds));
                let says = |(when, action): &(Vec<usize>, Action)| {
                    let is_read = when.iter().all(|condition| truths[*condition] != Unreadable);
                    if is_read { *action } else { (*action).min(RequireApproval) }
                };
                matching.map(says).max().unwrap_or(self.otherwise)
            })
            .max()
            .expect("sixty-four worlds")
    }
}

/// How many moments there are at which people made rules and grants.
const AGES: usize = 8;

/// What a person said at run time, beside grants.
#[derive(Debug, Clone, Copy)]
struct ReferenceRule {
    pattern: usize,
    action: Action,
    /// When it was made, among the other rules and grants: an even number, so that each grant is before or after.
    age: usize,
}

impl ReferenceRule {
    fn random(chance: &mut TestRng, patterns: usize) -> Self {
        let (pattern, action) = (chance.below(patterns), chance.random_action());
        Self { pattern, action, age: 2 * chance.below(AGES / 2) }
    }

    /// Made after everything else.
    const fn newest(pattern: usize, action: Action) -> Self {
        Self { pattern, action, age: AGES }
    }

    /// The id follows age and content, so that the same rule keeps its id wherever it stands.
    fn to_rule(self, ground: &ReferenceInputs) -> PolicyRule {
        let Self { pattern, action, age } = self;
        PolicyRule {
            id: synthetic_id(age, (pattern * 3 + action as usize) as u64),
            pattern: ground.patterns[pattern].clone(),
            action,
            made: now().wall,
        }
    }
}

/// What was made later has the greater id.
const fn synthetic_id(age: usize, content: u64) -> u64 {
    age as u64 * 1_000_000_000_000 + content
}

/// A grant by the numbers of what it is about.
#[derive(Debug, Clone)]
struct ReferenceGrant {
    pattern: usize,
    /// When it was made, among the other rules and grants: an odd number.
    age: usize,
    /// How long it lasts, in seconds.
    seconds: u64,
    /// The session, the agent's session and the project that it is limited to.
    only: [Option<usize>; 3],
    /// How many uses it has, and how many are gone.
    uses: Option<(u32, u32)>,
    /// The calls that it is limited to.
    calls: ReferenceCalls,
    /// Whether it is limited to what is listed as reading.
    reads_only: bool,
}

/// The calls of its tools that a grant covers.
#[derive(Debug, Clone, Copy)]
enum ReferenceCalls {
    Every,
    /// A tool and a call, by their numbers.
    Exactly(usize, usize),
    /// Those with an argument of [`FIXED`], by its number.
    Fixed(usize),
}

impl ReferenceCalls {
    fn random(chance: &mut TestRng) -> Self {
        match chance.below(4) {
            0 => Self::Exactly(chance.below(TOOLS.len()), chance.below(CALLS.len())),
            1 => Self::Fixed(chance.below(FIXED.len())),
            _ => Self::Every,
        }
    }

    /// Whether a call of a tool is one of them, if it is known at all.
    fn has(self, tool: usize, call: usize) -> bool {
        match self {
            Self::Every => true,
            Self::Exactly(that_tool, that_call) => (that_tool, that_call) == (tool, call),
            Self::Fixed(number) => FIXED[number].2.contains(&call),
        }
    }

    fn number(self) -> u64 {
        let number = match self {
            Self::Every => 0,
            Self::Fixed(number) => 1 + number,
            Self::Exactly(tool, call) => 1 + FIXED.len() + tool * CALLS.len() + call,
        };
        number as u64
    }

    fn to_limit(self, ground: &ReferenceInputs) -> Option<ArgumentLimit> {
        match self {
            Self::Every => None,
            Self::Exactly(tool, call) => {
                Some(ArgumentLimit::ExactCall(ground.fingerprints[tool][call].clone()))
            }
            Self::Fixed(number) => {
                let (pointer, value, _) = FIXED[number];
                let fixed = serde_json::json!({"fixed": [{"pointer": pointer, "value": value}]});
                Some(serde_json::from_value(fixed).expect("a limit"))
            }
        }
    }
}

impl ReferenceGrant {
    fn random(chance: &mut TestRng, patterns: usize) -> Self {
        let only = |chance: &mut TestRng| (chance.below(3) == 0).then(|| chance.below(2));
        let (pattern, seconds) = (chance.below(patterns), 60 * chance.below(3) as u64);
        let uses = (chance.below(2) == 0).then(|| {
            let used = u32::try_from(chance.below(3)).expect("few");
            (2, used)
        });
        let age = 2 * chance.below(AGES / 2) + 1;
        let only = [only(chance), only(chance), only(chance)];
        let (calls, reads_only) = (ReferenceCalls::random(chance), chance.below(4) == 0);
        Self { pattern, age, seconds, only, uses, calls, reads_only }
    }

    /// For everyone, without end of uses, made after everything else.
    const fn for_everyone(pattern: usize, seconds: u64) -> Self {
        let calls = ReferenceCalls::Every;
        Self { pattern, age: AGES + 1, seconds, only: [None; 3], uses: None, calls, reads_only: false }
    }

    fn to_grant(&self, ground: &ReferenceInputs) -> Grant {
        let Self { pattern, age, seconds, only, uses, calls, reads_only } = self;
        let [session, agent, project] = only;
        // The id follows age and content, so that the same grant keeps its id wherever it stands.
        let digits = only.iter().fold(0, |id, only| id * 3 + only.map_or(0, |at| at as u64 + 1));
        let counted = uses.map_or(0, |(_, used)| u64::from(used) + 1);
        let content = ((*pattern as u64 * 1000 + seconds) * 27 + digits) * 4 + counted;
        Grant {
            id: synthetic_id(*age, (content * 200 + calls.number()) * 2 + u64::from(*reads_only)),
            pattern: ground.patterns[*pattern].clone(),
            made: now(),
            boot_id: BOOT_ID.into(),
            millis: seconds * 1000,
            limits: GrantLimits {
                session: session.map(|at| ground.sessions[at]),
                agent_session: agent.map(|at| ground.agents[at].clone()),
                project: project.map(|at| ground.projects[at].clone()),
                uses: uses.and_then(|(uses, _)| std::num::NonZeroU32::new(uses)),
                arguments: calls.to_limit(ground),
                reads_only: *reads_only,
            },
            used: uses.map_or(0, |(_, used)| used),
        }
    }
}

/// A rule set by the numbers of its patterns.
#[derive(Debug, Clone)]
struct RuleSet {
    entries: Vec<(usize, ReferenceEntry)>,
    default: Action,
    locked: Vec<usize>,
    /// The patterns that are listed as reading.
    reads: Vec<usize>,
    /// The patterns of each entry that several people must meet.
    quorums: Vec<Vec<usize>>,
    rules: Vec<ReferenceRule>,
    grants: Vec<ReferenceGrant>,
    /// Who asks: the numbers of the session, of the agent's session and of the project; or nobody.
    asker: Option<[usize; 3]>,
    /// The seconds that passed since the grants were made.
    passed: u64,
    /// The call that is decided, by its number.
    call: usize,
}

impl RuleSet {
    fn random(chance: &mut TestRng, ground: &ReferenceInputs) -> Self {
        let patterns = ground.patterns.len();
        Self {
            entries: chance.random_list(6, |chance| (chance.below(patterns), ReferenceEntry::random(chance))),
            default: chance.random_action(),
            locked: chance.random_list(2, |chance| chance.below(patterns)),
            reads: chance.random_list(2, |chance| chance.below(patterns)),
            quorums: random_quorums(chance, patterns),
            rules: chance.random_list(4, |chance| ReferenceRule::random(chance, patterns)),
            grants: chance.random_list(3, |chance| ReferenceGrant::random(chance, patterns)),
            asker: (chance.below(4) > 0).then(|| [chance.below(2), chance.below(3), chance.below(2)]),
            passed: chance.below(150) as u64,
            call: chance.below(CALLS.len()),
        }
    }

    fn reversed(&self) -> Self {
        let mut other = self.clone();
        other.entries.reverse();
        other.entries.iter_mut().for_each(|(_, said)| said.cases.reverse());
        other.locked.reverse();
        other.reads.reverse();
        other.quorums.reverse();
        other.quorums.iter_mut().for_each(|patterns| patterns.reverse());
        other.rules.reverse();
        other.grants.reverse();
        other
    }

    fn to_policy(&self, ground: &ReferenceInputs) -> Policy {
        let pattern = |at: usize| ground.patterns[at].clone();
        let case = |(when, action): &(Vec<usize>, Action)| PolicyCase {
            when: when.iter().map(|number| ground.conditions[*number].clone()).collect(),
            action: *action,
            // By the content, for the same reason as the ids below.
            number: when.iter().fold(0, |number, condition| number * 7 + *condition as u32 + 1),
            source: DecisionSource::Config { line: 1, column: 1 },
        };
        let entry = |(at, said): &(usize, ReferenceEntry)| PolicyEntry {
            pattern: pattern(*at),
            action: said.otherwise,
            cases: said.cases.iter().map(case).collect(),
            source: DecisionSource::Config { line: said.place, column: 0 },
        };
        let config = ConfigPolicy {
            entries: self.entries.iter().map(entry).collect(),
            default: self.default,
            locked: self.locked.iter().map(|at| pattern(*at)).collect(),
            reads: self.reads.iter().map(|at| pattern(*at)).collect(),
            quorums: self.quorums.iter().map(|patterns| Self::make_quorum(ground, patterns)).collect(),
            approved: None,
        };
        let standing = Overrides {
            epoch: 0,
            rules: self.rules.iter().map(|ruled| ruled.to_rule(ground)).collect(),
            grants: self.grants.iter().map(|granted| granted.to_grant(ground)).collect(),
            boot_id: BOOT_ID.into(),
            paused: None,
            denials: CallDenials { key: CALL_KEY, list: Vec::new() },
            definition_pins: DefinitionPins::default(),
        };
        Policy::new(config, standing)
    }

    fn make_quorum(ground: &ReferenceInputs, patterns: &[usize]) -> Quorum {
        Quorum {
            tools: patterns.iter().map(|at| ground.patterns[*at].clone()).collect(),
            // By the content, for the same reason as the ids.
            approvals: 2 + patterns.iter().sum::<usize>() % 3,
            of: vec![11, 22, 33, 44],
            source: DecisionSource::Quorum { line: 1, column: 1 },
        }
    }

    fn decide_action(&self, policy: &Policy, ground: &ReferenceInputs, tool: usize) -> Action {
        self.decide(policy, ground, tool).action
    }

    fn decide(&self, policy: &Policy, ground: &ReferenceInputs, tool: usize) -> Decision {
        let call = CallIdentity {
            tool: &ground.tools[tool],
            method: "tools/call",
            params: &ground.params[self.call],
            arguments: ground.calls[self.call].as_deref(),
        };
        policy.decide_without_denials(call, self.caller(ground), now_plus(self.passed))
    }

    /// The third of the agents' sessions is none at all.
    fn caller<'a>(&self, ground: &'a ReferenceInputs) -> Option<CallerIdentity<'a>> {
        self.asker.map(|[session, agent, project]| CallerIdentity {
            principal: &ground.projects[project],
            session: ground.sessions[session],
            agent_session: ground.agents.get(agent),
        })
    }

    /// What the files alone say.
    fn configured_action(&self, ground: &ReferenceInputs, tool: usize) -> Action {
        let entries: Vec<_> =
            self.entries.iter().map(|(at, said)| (*at, said.strictest(self.call))).collect();
        strongest_action(ground, &entries, tool).unwrap_or(self.default)
    }

    /// Whether several people are asked.
    fn needs_quorum(&self, ground: &ReferenceInputs, tool: usize) -> bool {
        self.quorums.iter().flatten().any(|at| ground.matches[*at][tool])
    }

    /// The guarantees, word by word.
    fn reference_action(&self, ground: &ReferenceInputs, tool: usize) -> Action {
        let several = self.needs_quorum(ground, tool);
        let configured = match self.configured_action(ground, tool) {
            // The files allow it, and it asks nevertheless.
            Allow if several => RequireApproval,
            configured => configured,
        };
        let plain: Vec<_> = self.rules.iter().filter(|rule| rule.action != RequireApproval).collect();
        let plain: Vec<_> = plain.iter().map(|rule| (rule.pattern, rule.action)).collect();
        let mut action = strongest_action(ground, &plain, tool).unwrap_or(configured);
        if action == Allow && self.newest_asking_age(ground, tool).is_some() {
            action = RequireApproval;
        }
        let granted = self.live_grants(ground, tool).next().is_some();
        if action == RequireApproval && granted {
            action = Allow;
        }
        let locked = several || self.locked.iter().any(|at| ground.matches[*at][tool]);
        if locked { action.max(configured) } else { action }
    }

    /// When a person last wanted to be asked about this tool, where no more specific rule allows it.
    fn newest_asking_age(&self, ground: &ReferenceInputs, tool: usize) -> Option<usize> {
        let covering = |action: Action| {
            self.rules.iter().filter(move |rule| rule.action == action && ground.matches[rule.pattern][tool])
        };
        let is_outweighed = |ask: &&ReferenceRule| {
            covering(Allow).any(|allow| ground.weights[allow.pattern] > ground.weights[ask.pattern])
        };
        covering(RequireApproval).filter(|ask| !is_outweighed(ask)).map(|ask| ask.age).max()
    }

    /// The grants that let this call run if it would ask: where a rule asks, those made after it.
    fn live_grants<'a>(
        &'a self,
        ground: &'a ReferenceInputs,
        tool: usize,
    ) -> impl Iterator<Item = &'a ReferenceGrant> {
        let of = |asker: usize, only: &Option<usize>| {
            only.is_none_or(|only| self.asker.is_some_and(|numbers| numbers[asker] == only))
        };
        let since = self.newest_asking_age(ground, tool);
        self.grants.iter().filter(move |granted| {
            ground.matches[granted.pattern][tool]
                && since.is_none_or(|since| granted.age > since)
                && self.passed < granted.seconds
                && granted.only.iter().enumerate().all(|(asker, only)| of(asker, only))
                && granted.uses.is_none_or(|(uses, used)| used < uses)
                && granted.calls.has(tool, self.call)
                && (!granted.reads_only || self.reads.iter().any(|at| ground.matches[*at][tool]))
        })
    }

    fn without_asking(&self) -> Self {
        let mut other = self.clone();
        other.rules.retain(|rule| rule.action != RequireApproval);
        other
    }
}

/// The strictest among those of the greatest weight.
fn strongest_action(ground: &ReferenceInputs, entries: &[(usize, Action)], tool: usize) -> Option<Action> {
    let matching = || entries.iter().filter(|(at, _)| ground.matches[*at][tool]);
    let most = matching().map(|(at, _)| ground.weights[*at]).max()?;
    matching().filter(|(at, _)| ground.weights[*at] == most).map(|(_, action)| *action).max()
}

/// Mostly none, so that what they hold against is proven too.
fn random_quorums(chance: &mut TestRng, patterns: usize) -> Vec<Vec<usize>> {
    let quorum = |chance: &mut TestRng| {
        let first = chance.below(patterns);
        [vec![first], chance.random_list(1, |chance| chance.below(patterns))].concat()
    };
    if chance.below(3) == 0 { chance.random_list(2, quorum) } else { Vec::new() }
}

/// Random numbers that are the same in every run: SplitMix64.
struct TestRng(u64);

impl TestRng {
    const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).expect("below a usize")
    }

    fn random_action(&mut self) -> Action {
        Action::ALL[self.below(3)]
    }

    fn random_list<T>(&mut self, most: usize, mut one: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..self.below(most + 1)).map(|_| one(self)).collect()
    }
}

/// Runs a check on random sets, and names the set on which it fails.
fn check_random_sets(
    sets: u64,
    seed: u64,
    check: impl Fn(&ReferenceInputs, &mut TestRng, &RuleSet) -> Result<(), String>,
) {
    let ground = ReferenceInputs::new();
    for number in 0..sets {
        let mut chance = TestRng(seed.wrapping_mul(0xD6E8_FEB8_6659_FD93) ^ number);
        let set = RuleSet::random(&mut chance, &ground);
        if let Err(wrong) = check(&ground, &mut chance, &set) {
            let mut names = String::new();
            for (at, pattern) in ground.patterns.iter().enumerate() {
                let _ = write!(names, "{at}={pattern} ");
            }
            panic!("set {number} of seed {seed}: {wrong}\n{set:?}\n{names}");
        }
    }
}

fn action(set: &RuleSet, ground: &ReferenceInputs, tool: usize) -> Action {
    set.decide_action(&set.to_policy(ground), ground, tool)
}

/// What is written beside the calls above is what conditions say of them.
#[test]
fn the_truths_of_the_reference_are_those_of_the_conditions() {
    for (call, truths) in CALLS {
        let arguments = call.map(|text| crate::json::parse_raw(text.to_owned()).expect("JSON"));
        for (condition, expected) in conditions().into_iter().zip(truths) {
            let described = condition.to_string();
            let source = DecisionSource::Default;
            let case = PolicyCase { when: vec![condition], action: Allow, number: 1, source };
            assert_eq!(case.evaluate(arguments.as_deref()), expected, "{described} on {call:?}");
        }
    }
}

#[test]
fn the_decision_is_the_reference_s_on_every_rule_set() {
    check_random_sets(RANDOM_SETS, 1, |ground, chance, set| {
        let policy = set.to_policy(ground);
        for tool in [chance.below(TOOLS.len()), chance.below(TOOLS.len())] {
            let decided = set.decide_action(&policy, ground, tool);
            let expected = set.reference_action(ground, tool);
            if decided != expected {
                return Err(format!("{} is {decided}, and should be {expected}", TOOLS[tool]));
            }
        }
        Ok(())
    });
}

/// A use is consumed only where nothing else lets the call run.
#[test]
fn a_use_is_counted_only_where_no_other_grant_lets_the_call_run() {
    check_random_sets(RANDOM_SETS / 5, 6, |ground, chance, set| {
        let tool = chance.below(TOOLS.len());
        let policy = set.to_policy(ground);
        let name = &ground.tools[tool];
        let decided = set.decide(&policy, ground, tool);
        let by_grant = matches!(decided.source, DecisionSource::Grant(_));
        let all_count = set.live_grants(ground, tool).all(|granted| granted.uses.is_some());
        if policy.consumed_grant(&decided).is_some() != (by_grant && all_count) {
            return Err(format!("{name}: {decided:?}"));
        }
        // The grant alone lets it run as well, and without it another of them does or nothing.
        if let Some(id) = policy.consumed_grant(&decided) {
            let alone = set.decide(&policy.with_only_grant(id), ground, tool);
            let without = set.decide(&policy.without_grants(&[id]), ground, tool);
            let ids = set.live_grants(ground, tool).map(|granted| granted.to_grant(ground).id);
            let expected = if ids.filter(|other| *other != id).count() > 0 { Allow } else { RequireApproval };
            if alone.source != decided.source || without.action != expected {
                return Err(format!("{name}: alone {alone:?}, without it {without:?}"));
            }
        }
        Ok(())
    });
}

#[test]
fn the_order_of_a_rule_set_never_matters() {
    check_random_sets(RANDOM_SETS / 5, 2, |ground, chance, set| {
        let tool = &ground.tools[chance.below(TOOLS.len())];
        let arguments = ground.calls[set.call].as_deref();
        let explain = |set: &RuleSet| {
            set.to_policy(ground).explain(tool, arguments, set.caller(ground), now_plus(set.passed))
        };
        let (forth, back) = (explain(set), explain(&set.reversed()));
        if forth == back { Ok(()) } else { Err(format!("{tool}: {forth:?}, and the other way {back:?}")) }
    });
}

#[test]
fn a_deny_more_never_weakens_wherever_it_stands() {
    check_random_sets(RANDOM_SETS / 5, 3, |ground, chance, set| {
        let tool = chance.below(TOOLS.len());
        let deny = (chance.below(ground.patterns.len()), Deny);
        let (mut in_files, mut as_rule) = (set.clone(), set.clone());
        in_files.entries.push((deny.0, ReferenceEntry { cases: Vec::new(), otherwise: Deny, place: 0 }));
        as_rule.rules.push(ReferenceRule::newest(deny.0, Deny));
        // A case that denies, in an entry that is there, is a deny more as well.
        let mut as_case = set.clone();
        if let Some((_, said)) = as_case.entries.first_mut() {
            said.cases.push((vec![chance.below(CONDITIONS)], Deny));
        }
        let decide = |set: &RuleSet| action(set, ground, tool);
        let before = decide(set);
        for (place, more) in [("the files", in_files), ("the rules", as_rule), ("a case", as_case)] {
            let after = decide(&more);
            if after < before {
                return Err(format!("{} went from {before} to {after} by {deny:?} in {place}", TOOLS[tool]));
            }
        }
        Ok(())
    });
}

/// "Ask me": what ran asks from now on, whoever allowed it, but for a more specific rule that allows. Nothing else
/// changes, and a denied call stays denied.
#[test]
fn a_rule_that_asks_turns_a_yes_into_a_question_and_nothing_else() {
    check_random_sets(RANDOM_SETS / 5, 8, |ground, chance, set| {
        let tool = chance.below(TOOLS.len());
        let pattern = chance.below(ground.patterns.len());
        let mut more = set.clone();
        more.rules.push(ReferenceRule::newest(pattern, RequireApproval));
        let (before, after) = (action(set, ground, tool), action(&more, ground, tool));
        let outweighed = set.rules.iter().any(|rule| {
            rule.action == Allow
                && ground.matches[rule.pattern][tool]
                && ground.weights[rule.pattern] > ground.weights[pattern]
        });
        let asks = ground.matches[pattern][tool] && !outweighed;
        let expected = if asks { before.max(RequireApproval) } else { before };
        if after != expected {
            return Err(format!("{} went from {before} to {after} by {pattern}", TOOLS[tool]));
        }
        // A grant made after it is worth as much as if nobody had wanted to be asked.
        more.grants.push(ReferenceGrant::for_everyone(pattern, 1000));
        let (granted, unasked) = (action(&more, ground, tool), action(&more.without_asking(), ground, tool));
        if ground.matches[pattern][tool] && granted != unasked {
            return Err(format!("{} is {granted} by a grant, and {unasked} without asking", TOOLS[tool]));
        }
        Ok(())
    });
}

/// What ends without a second factor narrows: rules that allow, and grants.
#[test]
fn whatever_allowed_and_ends_never_weakens() {
    check_random_sets(RANDOM_SETS / 5, 9, |ground, chance, set| {
        let tool = chance.below(TOOLS.len());
        let (mut unruled, mut revoked) = (set.clone(), set.clone());
        if let Some(at) = unruled.rules.iter().position(|rule| rule.action == Allow) {
            unruled.rules.remove(at);
        }
        let _ended = revoked.grants.pop();
        let before = action(set, ground, tool);
        for less in [unruled, revoked] {
            let after = action(&less, ground, tool);
            if after < before {
                return Err(format!("{} went from {before} to {after}: {less:?}", TOOLS[tool]));
            }
        }
        Ok(())
    });
}

/// Whatever people add at run time, in every combination, a locked tool is never looser than its files say.
#[test]
fn a_lock_holds_against_every_combination_of_rules_and_grants() {
    check_random_sets(RANDOM_SETS / 5, 4, |ground, chance, set| {
        let tool = chance.below(TOOLS.len());
        let covering: Vec<_> =
            (0..ground.patterns.len()).filter(|pattern| ground.matches[*pattern][tool]).collect();
        let covered = |chance: &mut TestRng| covering[chance.below(covering.len())];
        let mut set = set.clone();
        set.locked.push(covered(chance));
        set.passed = 0;
        set.rules.extend(
            chance.random_list(3, |chance| ReferenceRule::newest(covered(chance), chance.random_action())),
        );
        set.grants.extend(chance.random_list(3, |chance| ReferenceGrant::for_everyone(covered(chance), 60)));
        let (decided, configured) = (action(&set, ground, tool), set.configured_action(ground, tool));
        if decided < configured {
            return Err(format!("{} is {decided}, locked at {configured}", TOOLS[tool]));
        }
        Ok(())
    });
}

/// Whatever the files, people and grants say, a tool under a quorum is refused or asks several people, who are
/// named.
#[test]
fn several_people_are_asked_against_every_combination_of_files_rules_and_grants() {
    check_random_sets(RANDOM_SETS / 5, 8, |ground, chance, set| {
        let tool = chance.below(TOOLS.len());
        let covering: Vec<_> =
            (0..ground.patterns.len()).filter(|pattern| ground.matches[*pattern][tool]).collect();
        let covered = |chance: &mut TestRng| covering[chance.below(covering.len())];
        let mut set = set.clone();
        set.quorums.push(vec![covered(chance)]);
        set.passed = 0;
        set.rules.extend(
            chance.random_list(2, |chance| ReferenceRule::newest(covered(chance), chance.random_action())),
        );
        set.grants.extend(chance.random_list(2, |chance| ReferenceGrant::for_everyone(covered(chance), 60)));
        let (policy, name) = (set.to_policy(ground), &ground.tools[tool]);
        let explained =
            policy.explain(name, ground.calls[set.call].as_deref(), set.caller(ground), now_plus(0));
        let expected: Vec<_> =
            set.quorums.iter().filter(|at| at.iter().any(|at| ground.matches[*at][tool])).collect();
        let is_told = match explained.decision.action {
            Allow => false,
            RequireApproval => explained.decision.source == DecisionSource::Quorum { line: 1, column: 1 },
            Deny => true,
        };
        if is_told && policy.is_locked(name) && policy.quorums(name).len() == expected.len() {
            Ok(())
        } else {
            Err(format!("{name}: {explained:?}"))
        }
    });
}

/// What lists say of a tool holds for each of its calls.
#[test]
fn the_outlook_of_a_tool_is_true_of_every_call() {
    check_random_sets(RANDOM_SETS / 10, 5, |ground, chance, set| {
        let tool = chance.below(TOOLS.len());
        let policy = set.to_policy(ground);
        let outlook = policy.expected_action(&ground.tools[tool], set.caller(ground), now_plus(set.passed));
        for call in 0..CALLS.len() {
            let decided = RuleSet { call, ..set.clone() }.decide_action(&policy, ground, tool);
            if outlook != RequireApproval && decided != outlook {
                return Err(format!("{} looks like {outlook}, and call {call} is {decided}", TOOLS[tool]));
            }
        }
        Ok(())
    });
}

/// A limit only takes away: without it the grant allows at least as much (guarantee P1).
#[test]
fn a_limited_grant_never_allows_what_the_unlimited_one_does_not() {
    check_random_sets(RANDOM_SETS / 5, 10, |ground, chance, set| {
        let tool = chance.below(TOOLS.len());
        let mut unlimited = set.clone();
        for granted in &mut unlimited.grants {
            (granted.calls, granted.reads_only) = (ReferenceCalls::Every, false);
        }
        let (limited, unlimited) = (action(set, ground, tool), action(&unlimited, ground, tool));
        if limited < unlimited {
            return Err(format!("{} is {limited} limited, and {unlimited} without limits", TOOLS[tool]));
        }
        // Nor does a shorter list of what reads allow more.
        let fewer = RuleSet { reads: Vec::new(), ..set.clone() };
        let unlisted = action(&fewer, ground, tool);
        if unlisted < limited {
            return Err(format!("{} is {limited}, and {unlisted} where nothing is listed", TOOLS[tool]));
        }
        Ok(())
    });
}

/// The table of docs/configuration.md: each row's first pattern outweighs its second one.
#[test]
fn the_documented_table_of_tie_breaks_is_true() {
    let text = include_str!("../../../docs/configuration.md");
    let rows: Vec<Vec<&str>> = text
        .lines()
        .skip_while(|line| !line.starts_with("| this pattern"))
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .map(|line| line.split('`').skip(1).step_by(2).collect())
        .collect();
    assert!(rows.len() >= 7, "the table is there: {rows:?}");
    for row in rows {
        let [stronger, weaker, shown, ..] = row[..] else { panic!("two patterns and a tool: {row:?}") };
        let name = tool(shown);
        assert!(pattern(stronger).matches(&name) && pattern(weaker).matches(&name), "both cover {shown}");
        assert!(
            reference_specificity(stronger) > reference_specificity(weaker),
            "{stronger} outweighs {weaker}"
        );
        for (one, other) in [(Allow, Deny), (Deny, Allow)] {
            let policy =
                Policy::new(config_with(&[(weaker, other), (stronger, one)], &[]), Overrides::default());
            assert_eq!(decide(&policy, shown).action, one, "{stronger} over {weaker} on {shown}");
        }
    }
}

/// The files that a person confirmed, and an edit of them: mostly a small one.
fn random_edit(chance: &mut TestRng, ground: &ReferenceInputs, set: &RuleSet) -> RuleSet {
    let mut edited = set.clone();
    for _ in 0..=chance.below(3) {
        let entry = (chance.below(ground.patterns.len()), ReferenceEntry::random(chance));
        match (chance.below(9), edited.entries.len()) {
            (7, _) => edited.reads.push(chance.below(ground.patterns.len())),
            (8, _) => drop(edited.reads.pop()),
            (0, _) => edited.default = chance.random_action(),
            (1, _) => edited.locked.push(chance.below(ground.patterns.len())),
            (2, _) => drop(edited.locked.pop()),
            (3, count @ 1..) => drop(edited.entries.swap_remove(chance.below(count))),
            (4, count @ 1..) => edited.entries[chance.below(count)].1.otherwise = chance.random_action(),
            (5, count @ 1..) => {
                let (_, said) = &mut edited.entries[chance.below(count)];
                match said.cases.len() {
                    0 => said.cases.push((vec![chance.below(CONDITIONS)], chance.random_action())),
                    count => drop(said.cases.swap_remove(chance.below(count))),
                }
            }
            _ => edited.entries.push(entry),
        }
    }
    edited
}

/// Guarantee A7: while an edit waits for a person, no call is looser than by the confirmed files, nor than by
/// the edited ones.
#[test]
fn an_edit_that_waits_is_in_force_only_where_it_is_stricter() {
    check_random_sets(RANDOM_SETS / 10, 6, |ground, chance, set| {
        let changed = random_edit(chance, ground, set);
        let changed = RuleSet { quorums: random_quorums(chance, ground.patterns.len()), ..changed };
        let both = set.to_policy(ground);
        let confirmed = Box::new(both.config().clone());
        let config = ConfigPolicy { approved: Some(confirmed), ..changed.to_policy(ground).config().clone() };
        let both = Policy::new(config, both.overrides().clone());
        for (tool, name) in TOOLS.iter().enumerate() {
            let [was, wanted] = [set, &changed].map(|set| set.reference_action(ground, tool));
            let decided = set.decide_action(&both, ground, tool);
            if decided != was.max(wanted) {
                return Err(format!("{name}: {was}, edited to {wanted}, is {decided}\n{changed:?}"));
            }
        }
        Ok(())
    });
}

/// An edit of which nothing is said to widen makes no call looser; most edits that narrow are seen to do so.
#[test]
fn what_is_not_said_to_widen_does_not() {
    let (narrowing, seen) = (std::cell::Cell::new(0_u32), std::cell::Cell::new(0_u32));
    check_random_sets(RANDOM_SETS / 10, 7, |ground, chance, set| {
        let changed = random_edit(chance, ground, set);
        let edits =
            compare::compare_policies(set.to_policy(ground).config(), changed.to_policy(ground).config());
        let mut is_looser = None;
        for (tool, name) in TOOLS.iter().enumerate() {
            for call in 0..CALLS.len() {
                let [was, is] =
                    [set, &changed].map(|set| RuleSet { call, ..set.clone() }.reference_action(ground, tool));
                if is < was {
                    is_looser = Some(format!("{name} went from {was} to {is} with call {call}"));
                }
            }
        }
        let said = edits.iter().any(|edit| edit.widens);
        match is_looser {
            Some(looser) if !said => return Err(format!("{looser}\n{changed:?}\n{edits:?}")),
            None => {
                narrowing.set(narrowing.get() + 1);
                seen.set(seen.get() + u32::from(!said));
            }
            Some(_) => {}
        }
        Ok(())
    });
    let (narrowing, seen) = (narrowing.get(), seen.get());
    assert!(seen > narrowing / 3 && seen > 1000, "{seen} of {narrowing} edits that narrow were seen to");
}
