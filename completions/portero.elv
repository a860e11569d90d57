
use builtin;
use str;

set edit:completion:arg-completer[portero] = {|@words|
    fn spaces {|n|
        builtin:repeat $n ' ' | str:join ''
    }
    fn cand {|text desc|
        edit:complex-candidate $text &display=$text' '(spaces (- 14 (wcswidth $text)))$desc
    }
    var command = 'portero'
    for word $words[1..-1] {
        if (str:has-prefix $word '-') {
            break
        }
        set command = $command';'$word
    }
    var completions = [
        &'portero'= {
            cand --config 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]'
            cand --json 'Print JSON instead of text'
            cand --no-start 'Never start the daemon; fail when it is needed and does not run'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
            cand -V 'Print version'
            cand --version 'Print version'
            cand status 'Show how things stand: daemon, servers, sessions, rules, what waits'
            cand tasks 'List tasks: calls that waited or wait for a person'
            cand task 'Show one task whole: the call, its arguments, its result'
            cand pending 'List the calls that wait for you'
            cand approve 'Say yes to a call that waits; takes the passphrase, or a tap on Telegram'
            cand reject 'Say no to a call that waits'
            cand again 'Ask again for a call that has ended; it waits for you as any other'
            cand grant 'Permit for a while what would otherwise ask; takes the passphrase, or a tap on Telegram'
            cand revoke 'End grants at once'
            cand allow 'Make a persistent rule that allows; takes the passphrase, or a tap on Telegram'
            cand ask 'Make a persistent rule that asks for approval, at once and everywhere'
            cand require-approval 'Make a persistent rule that asks for approval, at once and everywhere'
            cand deny 'Make a persistent rule that denies, at once and everywhere'
            cand pause 'Stop everything at once, in every session, until `portero resume`'
            cand resume 'End a pause; takes the passphrase, or a tap on Telegram'
            cand rules 'List the rules and grants in force'
            cand unrule 'Remove a persistent rule; takes the passphrase, or a tap on Telegram, where that widens'
            cand logs 'Read the audit'
            cand why 'Tell how a tool is decided and why'
            cand policy 'Try the configured policy, before an agent does'
            cand check 'Read the configuration and print everything that is wrong with it'
            cand config 'What of the configuration waits for you, since it widens'
            cand doctor 'Start each server, look at what it offers, and say what is wrong'
            cand daemon 'Start, stop or look at the daemon'
            cand passphrase 'The approval passphrase'
            cand totp 'An authenticator app whose codes are needed, beside the passphrase, for what is wide'
            cand telegram 'The bot on Telegram: who decides there'
            cand mcp 'Serve an agent on standard input and output; this is what Claude Code launches'
            cand try 'See Portero at work in a throw-away directory, with nothing set up'
            cand sample-server 'A small mail and notes server, for `portero try` and the tests'
            cand generate 'Write completions and man pages'
            cand help 'Print this message or the help of the given subcommand(s)'
        }
        &'portero;status'= {
            cand --config 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]'
            cand --json 'Print JSON instead of text'
            cand --no-start 'Never start the daemon; fail when it is needed and does not run'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'portero;tasks'= {
            cand --state 'Only tasks in this state'
            cand --limit 'At most so many, the newest first'
            cand --config 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]'
            cand --json 'Print JSON instead of text'
            cand --no-start 'Never start the daemon; fail when it is needed and does not run'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'portero;task'= {
            cand --config 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]'
            cand --real 'Show the real values too, on the terminal itself; takes the passphrase, or a tap on Telegram'
            cand --telegram 'Confirm that on Telegram, by a tap on the number that the terminal shows'
            cand --json 'Print JSON instead of text'
            cand --no-start 'Never start the daemon; fail when it is needed and does not run'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'portero;pending'= {
            cand --config 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]'
            cand --watch 'Stay, in a full-screen view to read, approve and reject; with --json, stream one JSON object a line'
            cand --json 'Print JSON instead of text'
            cand --no-start 'Never start the daemon; fail when it is needed and does not run'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'portero;approve'= {
            cand --config 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]'
            cand --telegram 'Confirm on Telegram, by a tap on the number that the terminal shows, without typing the passphrase'
            cand --json 'Print JSON instead of text'
            cand --no-start 'Never start the daemon; fail when it is needed and does not run'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'portero;reject'= {
            cand --reason 'What the agent is told'
            cand --config 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]'
            cand --no-cool-down 'Let the same call ask again at once; else it is refused for a while (`coolDown` in portero.json)'
            cand --json 'Print JSON instead of text'
            cand --no-start 'Never start the daemon; fail when it is needed and does not run'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'portero;again'= {
            cand --config 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]'
            cand --json 'Print JSON instead of text'
            cand --no-start 'Never start the daemon; fail when it is needed and does not run'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'portero;grant'= {
            cand --uses 'Only so many calls'
            cand --session 'Only this connected session: its id or its agent''s, or a beginning or end of either'
            cand --project 'Only sessions in this project directory, such as `.`'
            cand --config 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]'
            cand --telegram 'Confirm on Telegram, by a tap on the number that the terminal shows, without typing the passphrase'
            cand --json 'Print JSON instead of text'
            cand --no-start 'Never start the daemon; fail when it is needed and does not run'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'portero;revoke'= {
            cand --config 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]'
            cand --all 'Every grant'
            cand --json 'Print JSON instead of text'
            cand --no-start 'Never start the daemon; fail when it is needed and does not run'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'portero;allow'= {
            cand --config 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]'
            cand --telegram 'Confirm on Telegram, by a tap on the number that the terminal shows, without typing the passphrase'
            cand --json 'Print JSON instead of text'
            cand --no-start 'Never start the daemon; fail when it is needed and does not run'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'portero;ask'= {
            cand --config 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]'
            cand --json 'Print JSON instead of text'
            cand --no-start 'Never start the daemon; fail when it is needed and does not run'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'portero;require-approval'= {
            cand --config 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]'
            cand --json 'Print JSON instead of text'
            cand --no-start 'Never start the daemon; fail when it is needed and does not run'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'portero;deny'= {
            cand --config 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]'
            cand --json 'Print JSON instead of text'
            cand --no-start 'Never start the daemon; fail when it is needed and does not run'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'portero;pause'= {
            cand --config 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]'
            cand --json 'Print JSON instead of text'
            cand --no-start 'Never start the daemon; fail when it is needed and does not run'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'portero;resume'= {
            cand --config 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]'
            cand --telegram 'Confirm on Telegram, by a tap on the number that the terminal shows, without typing the passphrase'
            cand --json 'Print JSON instead of text'
            cand --no-start 'Never start the daemon; fail when it is needed and does not run'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'portero;rules'= {
            cand --config 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]'
            cand --json 'Print JSON instead of text'
            cand --no-start 'Never start the daemon; fail when it is needed and does not run'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'portero;unrule'= {
            cand --config 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]'
            cand --telegram 'Confirm on Telegram, by a tap on the number that the terminal shows, without typing the passphrase'
            cand --json 'Print JSON instead of text'
            cand --no-start 'Never start the daemon; fail when it is needed and does not run'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'portero;logs'= {
            cand --tool 'Only what is about tools that match this pattern'
            cand --server 'Only what is about this server''s tools'
            cand --decision 'Only calls that were decided like this'
            cand --session 'Only this session: its id, or a beginning or end of it'
            cand --task 'Only this task: its id, or a beginning or end of it'
            cand --since 'Only since then: so long ago such as 2h, or a time such as 2026-11-20T10:00'
            cand --until 'Only until then, in the same forms'
            cand -n 'At most so many, the newest of them'
            cand --limit 'At most so many, the newest of them'
            cand --config 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]'
            cand -f 'Go on printing what is added'
            cand --follow 'Go on printing what is added'
            cand --json 'Print JSON instead of text'
            cand --no-start 'Never start the daemon; fail when it is needed and does not run'
            cand -h 'Print help'
            cand --help 'Print help'
            cand verify 'Check the hash chain: nothing removed, changed, reordered or cut off'
            cand help 'Print this message or the help of the given subcommand(s)'
        }
        &'portero;logs;verify'= {
            cand --config 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]'
            cand --json 'Print JSON instead of text'
            cand --no-start 'Never start the daemon; fail when it is needed and does not run'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'portero;logs;help'= {
            cand verify 'Check the hash chain: nothing removed, changed, reordered or cut off'
            cand help 'Print this message or the help of the given subcommand(s)'
        }
        &'portero;logs;help;verify'= {
        }
        &'portero;logs;help;help'= {
        }
        &'portero;why'= {
            cand --args 'A file with a call''s arguments as JSON, for rules that look at them; `-` reads standard input'
            cand --config 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]'
            cand --json 'Print JSON instead of text'
            cand --no-start 'Never start the daemon; fail when it is needed and does not run'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'portero;policy'= {
            cand --config 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]'
            cand --json 'Print JSON instead of text'
            cand --no-start 'Never start the daemon; fail when it is needed and does not run'
            cand -h 'Print help'
            cand --help 'Print help'
            cand test 'Decide the cases of a file, and end with 1 where one is not as expected'
            cand replay 'Tell which of the audit''s calls the present files would decide otherwise'
            cand help 'Print this message or the help of the given subcommand(s)'
        }
        &'portero;policy;test'= {
            cand --config 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]'
            cand --json 'Print JSON instead of text'
            cand --no-start 'Never start the daemon; fail when it is needed and does not run'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'portero;policy;replay'= {
            cand --since 'How far back'
            cand --config 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]'
            cand --json 'Print JSON instead of text'
            cand --no-start 'Never start the daemon; fail when it is needed and does not run'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'portero;policy;help'= {
            cand test 'Decide the cases of a file, and end with 1 where one is not as expected'
            cand replay 'Tell which of the audit''s calls the present files would decide otherwise'
            cand help 'Print this message or the help of the given subcommand(s)'
        }
        &'portero;policy;help;test'= {
        }
        &'portero;policy;help;replay'= {
        }
        &'portero;policy;help;help'= {
        }
        &'portero;check'= {
            cand --config 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]'
            cand --json 'Print JSON instead of text'
            cand --no-start 'Never start the daemon; fail when it is needed and does not run'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'portero;config'= {
            cand --config 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]'
            cand --json 'Print JSON instead of text'
            cand --no-start 'Never start the daemon; fail when it is needed and does not run'
            cand -h 'Print help'
            cand --help 'Print help'
            cand diff 'Show how the files differ from what you confirmed'
            cand confirm 'Put the files in force as they stand; takes the passphrase, or a tap on Telegram'
            cand help 'Print this message or the help of the given subcommand(s)'
        }
        &'portero;config;diff'= {
            cand --config 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]'
            cand --json 'Print JSON instead of text'
            cand --no-start 'Never start the daemon; fail when it is needed and does not run'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'portero;config;confirm'= {
            cand --config 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]'
            cand --telegram 'Confirm on Telegram, by a tap on the number that the terminal shows, without typing the passphrase'
            cand --json 'Print JSON instead of text'
            cand --no-start 'Never start the daemon; fail when it is needed and does not run'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'portero;config;help'= {
            cand diff 'Show how the files differ from what you confirmed'
            cand confirm 'Put the files in force as they stand; takes the passphrase, or a tap on Telegram'
            cand help 'Print this message or the help of the given subcommand(s)'
        }
        &'portero;config;help;diff'= {
        }
        &'portero;config;help;confirm'= {
        }
        &'portero;config;help;help'= {
        }
        &'portero;doctor'= {
            cand --config 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]'
            cand --json 'Print JSON instead of text'
            cand --no-start 'Never start the daemon; fail when it is needed and does not run'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'portero;daemon'= {
            cand --config 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]'
            cand --json 'Print JSON instead of text'
            cand --no-start 'Never start the daemon; fail when it is needed and does not run'
            cand -h 'Print help'
            cand --help 'Print help'
            cand start 'Start it, and return once it listens'
            cand stop 'Stop it, and return once it is gone'
            cand status 'Tell whether it runs'
            cand help 'Print this message or the help of the given subcommand(s)'
        }
        &'portero;daemon;start'= {
            cand --config 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]'
            cand --json 'Print JSON instead of text'
            cand --no-start 'Never start the daemon; fail when it is needed and does not run'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'portero;daemon;stop'= {
            cand --config 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]'
            cand --json 'Print JSON instead of text'
            cand --no-start 'Never start the daemon; fail when it is needed and does not run'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'portero;daemon;status'= {
            cand --config 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]'
            cand --json 'Print JSON instead of text'
            cand --no-start 'Never start the daemon; fail when it is needed and does not run'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'portero;daemon;help'= {
            cand start 'Start it, and return once it listens'
            cand stop 'Stop it, and return once it is gone'
            cand status 'Tell whether it runs'
            cand help 'Print this message or the help of the given subcommand(s)'
        }
        &'portero;daemon;help;start'= {
        }
        &'portero;daemon;help;stop'= {
        }
        &'portero;daemon;help;status'= {
        }
        &'portero;daemon;help;help'= {
        }
        &'portero;passphrase'= {
            cand --config 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]'
            cand --json 'Print JSON instead of text'
            cand --no-start 'Never start the daemon; fail when it is needed and does not run'
            cand -h 'Print help'
            cand --help 'Print help'
            cand set 'Set the passphrase, or change it with the old one'
            cand help 'Print this message or the help of the given subcommand(s)'
        }
        &'portero;passphrase;set'= {
            cand --config 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]'
            cand --json 'Print JSON instead of text'
            cand --no-start 'Never start the daemon; fail when it is needed and does not run'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'portero;passphrase;help'= {
            cand set 'Set the passphrase, or change it with the old one'
            cand help 'Print this message or the help of the given subcommand(s)'
        }
        &'portero;passphrase;help;set'= {
        }
        &'portero;passphrase;help;help'= {
        }
        &'portero;totp'= {
            cand --config 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]'
            cand --json 'Print JSON instead of text'
            cand --no-start 'Never start the daemon; fail when it is needed and does not run'
            cand -h 'Print help'
            cand --help 'Print help'
            cand enroll 'Show a new secret for an authenticator app, and make its codes necessary'
            cand remove 'Remove the authenticator; asks for the passphrase and a code, or a recovery code'
            cand help 'Print this message or the help of the given subcommand(s)'
        }
        &'portero;totp;enroll'= {
            cand --config 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]'
            cand --json 'Print JSON instead of text'
            cand --no-start 'Never start the daemon; fail when it is needed and does not run'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'portero;totp;remove'= {
            cand --config 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]'
            cand --json 'Print JSON instead of text'
            cand --no-start 'Never start the daemon; fail when it is needed and does not run'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'portero;totp;help'= {
            cand enroll 'Show a new secret for an authenticator app, and make its codes necessary'
            cand remove 'Remove the authenticator; asks for the passphrase and a code, or a recovery code'
            cand help 'Print this message or the help of the given subcommand(s)'
        }
        &'portero;totp;help;enroll'= {
        }
        &'portero;totp;help;remove'= {
        }
        &'portero;totp;help;help'= {
        }
        &'portero;telegram'= {
            cand --config 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]'
            cand --json 'Print JSON instead of text'
            cand --no-start 'Never start the daemon; fail when it is needed and does not run'
            cand -h 'Print help'
            cand --help 'Print help'
            cand pair 'Show a code with which you let the bot know who you are; it holds for five minutes and five tries'
            cand unpair 'Let the bot listen to nobody any more, so that someone can be paired anew; asks for the passphrase'
            cand help 'Print this message or the help of the given subcommand(s)'
        }
        &'portero;telegram;pair'= {
            cand --config 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]'
            cand --json 'Print JSON instead of text'
            cand --no-start 'Never start the daemon; fail when it is needed and does not run'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'portero;telegram;unpair'= {
            cand --config 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]'
            cand --json 'Print JSON instead of text'
            cand --no-start 'Never start the daemon; fail when it is needed and does not run'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'portero;telegram;help'= {
            cand pair 'Show a code with which you let the bot know who you are; it holds for five minutes and five tries'
            cand unpair 'Let the bot listen to nobody any more, so that someone can be paired anew; asks for the passphrase'
            cand help 'Print this message or the help of the given subcommand(s)'
        }
        &'portero;telegram;help;pair'= {
        }
        &'portero;telegram;help;unpair'= {
        }
        &'portero;telegram;help;help'= {
        }
        &'portero;mcp'= {
            cand --config 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]'
            cand --json 'Print JSON instead of text'
            cand --no-start 'Never start the daemon; fail when it is needed and does not run'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'portero;try'= {
            cand --config 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]'
            cand --yes 'Answer every question with yes, for unattended runs'
            cand --json 'Print JSON instead of text'
            cand --no-start 'Never start the daemon; fail when it is needed and does not run'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'portero;sample-server'= {
            cand --record 'Append each call that arrives to this file, one JSON object a line'
            cand --config 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]'
            cand --json 'Print JSON instead of text'
            cand --no-start 'Never start the daemon; fail when it is needed and does not run'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'portero;generate'= {
            cand --config 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]'
            cand --json 'Print JSON instead of text'
            cand --no-start 'Never start the daemon; fail when it is needed and does not run'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'portero;help'= {
            cand status 'Show how things stand: daemon, servers, sessions, rules, what waits'
            cand tasks 'List tasks: calls that waited or wait for a person'
            cand task 'Show one task whole: the call, its arguments, its result'
            cand pending 'List the calls that wait for you'
            cand approve 'Say yes to a call that waits; takes the passphrase, or a tap on Telegram'
            cand reject 'Say no to a call that waits'
            cand again 'Ask again for a call that has ended; it waits for you as any other'
            cand grant 'Permit for a while what would otherwise ask; takes the passphrase, or a tap on Telegram'
            cand revoke 'End grants at once'
            cand allow 'Make a persistent rule that allows; takes the passphrase, or a tap on Telegram'
            cand ask 'Make a persistent rule that asks for approval, at once and everywhere'
            cand deny 'Make a persistent rule that denies, at once and everywhere'
            cand pause 'Stop everything at once, in every session, until `portero resume`'
            cand resume 'End a pause; takes the passphrase, or a tap on Telegram'
            cand rules 'List the rules and grants in force'
            cand unrule 'Remove a persistent rule; takes the passphrase, or a tap on Telegram, where that widens'
            cand logs 'Read the audit'
            cand why 'Tell how a tool is decided and why'
            cand policy 'Try the configured policy, before an agent does'
            cand check 'Read the configuration and print everything that is wrong with it'
            cand config 'What of the configuration waits for you, since it widens'
            cand doctor 'Start each server, look at what it offers, and say what is wrong'
            cand daemon 'Start, stop or look at the daemon'
            cand passphrase 'The approval passphrase'
            cand totp 'An authenticator app whose codes are needed, beside the passphrase, for what is wide'
            cand telegram 'The bot on Telegram: who decides there'
            cand mcp 'Serve an agent on standard input and output; this is what Claude Code launches'
            cand try 'See Portero at work in a throw-away directory, with nothing set up'
            cand sample-server 'A small mail and notes server, for `portero try` and the tests'
            cand generate 'Write completions and man pages'
            cand help 'Print this message or the help of the given subcommand(s)'
        }
        &'portero;help;status'= {
        }
        &'portero;help;tasks'= {
        }
        &'portero;help;task'= {
        }
        &'portero;help;pending'= {
        }
        &'portero;help;approve'= {
        }
        &'portero;help;reject'= {
        }
        &'portero;help;again'= {
        }
        &'portero;help;grant'= {
        }
        &'portero;help;revoke'= {
        }
        &'portero;help;allow'= {
        }
        &'portero;help;ask'= {
        }
        &'portero;help;deny'= {
        }
        &'portero;help;pause'= {
        }
        &'portero;help;resume'= {
        }
        &'portero;help;rules'= {
        }
        &'portero;help;unrule'= {
        }
        &'portero;help;logs'= {
            cand verify 'Check the hash chain: nothing removed, changed, reordered or cut off'
        }
        &'portero;help;logs;verify'= {
        }
        &'portero;help;why'= {
        }
        &'portero;help;policy'= {
            cand test 'Decide the cases of a file, and end with 1 where one is not as expected'
            cand replay 'Tell which of the audit''s calls the present files would decide otherwise'
        }
        &'portero;help;policy;test'= {
        }
        &'portero;help;policy;replay'= {
        }
        &'portero;help;check'= {
        }
        &'portero;help;config'= {
            cand diff 'Show how the files differ from what you confirmed'
            cand confirm 'Put the files in force as they stand; takes the passphrase, or a tap on Telegram'
        }
        &'portero;help;config;diff'= {
        }
        &'portero;help;config;confirm'= {
        }
        &'portero;help;doctor'= {
        }
        &'portero;help;daemon'= {
            cand start 'Start it, and return once it listens'
            cand stop 'Stop it, and return once it is gone'
            cand status 'Tell whether it runs'
        }
        &'portero;help;daemon;start'= {
        }
        &'portero;help;daemon;stop'= {
        }
        &'portero;help;daemon;status'= {
        }
        &'portero;help;passphrase'= {
            cand set 'Set the passphrase, or change it with the old one'
        }
        &'portero;help;passphrase;set'= {
        }
        &'portero;help;totp'= {
            cand enroll 'Show a new secret for an authenticator app, and make its codes necessary'
            cand remove 'Remove the authenticator; asks for the passphrase and a code, or a recovery code'
        }
        &'portero;help;totp;enroll'= {
        }
        &'portero;help;totp;remove'= {
        }
        &'portero;help;telegram'= {
            cand pair 'Show a code with which you let the bot know who you are; it holds for five minutes and five tries'
            cand unpair 'Let the bot listen to nobody any more, so that someone can be paired anew; asks for the passphrase'
        }
        &'portero;help;telegram;pair'= {
        }
        &'portero;help;telegram;unpair'= {
        }
        &'portero;help;mcp'= {
        }
        &'portero;help;try'= {
        }
        &'portero;help;sample-server'= {
        }
        &'portero;help;generate'= {
        }
        &'portero;help;help'= {
        }
    ]
    $completions[$command]
}
