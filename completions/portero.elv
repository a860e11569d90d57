
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
            cand --no-start 'Never start the daemon; fail if it is needed and not running'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
            cand -V 'Print version'
            cand --version 'Print version'
            cand status 'Show the daemon, its servers, sessions and rules, and how many calls wait for you'
            cand tasks 'List tasks: the calls that wait for you, or did'
            cand task 'Show one task in full: the call, its arguments, its result'
            cand pending 'List the calls that wait for you'
            cand approve 'Approve waiting calls and show how they end; asks for the passphrase, or a tap on Telegram'
            cand reject 'Reject waiting calls'
            cand again 'Submit an ended call again; it waits for your approval like any other'
            cand grant 'Let tools run unasked for a while; asks for the passphrase, or a tap on Telegram'
            cand revoke 'End grants at once'
            cand allow 'Add a rule that allows tools; asks for the passphrase, or a tap on Telegram'
            cand ask 'Add a rule that requires approval, in every session at once'
            cand require-approval 'Add a rule that requires approval, in every session at once'
            cand deny 'Add a rule that denies tools, in every session at once'
            cand pause 'Stop all calls in every session at once, until `portero resume`'
            cand resume 'End a pause; asks for the passphrase, or a tap on Telegram'
            cand rules 'List the rules and grants in force'
            cand unrule 'Remove a rule; asks for the passphrase, or a tap on Telegram, if that permits more'
            cand pins 'Show which definitions of servers are accepted, and accept changed ones'
            cand login 'Sign in at a server over HTTP that takes OAuth; asks for the passphrase, or a tap on Telegram'
            cand logout 'Sign out of a server: its tokens are revoked and forgotten'
            cand logs 'Read the audit log'
            cand why 'Explain what policy decides for a tool, and why'
            cand policy 'Test the configured policy before an agent meets it'
            cand anonymize 'Replace the values in a text by the configured rules, and show what an agent would see'
            cand replacements 'List the replacements in force, or propose fakes for new ones'
            cand check 'Check the configuration, and print every problem in it'
            cand config 'Show or confirm the configuration changes that wait for you'
            cand doctor 'Start each server, list what it offers, and report problems'
            cand daemon 'Start, stop or check the daemon'
            cand passphrase 'Manage the approval passphrase'
            cand totp 'Manage an authenticator app; wide acts need its code beside the passphrase'
            cand telegram 'Manage who decides on Telegram'
            cand https 'Show the certificate that agents on other machines are to trust'
            cand secret 'Set the secrets that servers get by name; no command shows one'
            cand token 'Manage the access tokens, with which agents on other machines ask over HTTPS'
            cand mcp 'Serve an agent on standard input and output; this is what Claude Code launches'
            cand connect 'Serve an agent on standard input and output by a Portero elsewhere, or by any MCP server over HTTP'
            cand try 'See Portero at work in a temporary directory, without any setup'
            cand sample-server 'A small mail and notes server, for `portero try` and the tests'
            cand generate 'Write completions and man pages'
            cand help 'Print this message or the help of the given subcommand(s)'
        }
        &'portero;status'= {
            cand --config 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]'
            cand --json 'Print JSON instead of text'
            cand --no-start 'Never start the daemon; fail if it is needed and not running'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'portero;tasks'= {
            cand --state 'Only tasks in this state'
            cand --limit 'At most this many, the newest first'
            cand --config 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]'
            cand --json 'Print JSON instead of text'
            cand --no-start 'Never start the daemon; fail if it is needed and not running'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'portero;task'= {
            cand --config 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]'
            cand --real 'Show the real values too, on the terminal itself; asks for the passphrase, or a tap on Telegram'
            cand --telegram 'Confirm on Telegram: tap the number that the terminal shows'
            cand --json 'Print JSON instead of text'
            cand --no-start 'Never start the daemon; fail if it is needed and not running'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'portero;pending'= {
            cand --config 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]'
            cand --watch 'Keep watching, in a full-screen view to read, approve and reject; with --json, stream one JSON object a line'
            cand --json 'Print JSON instead of text'
            cand --no-start 'Never start the daemon; fail if it is needed and not running'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'portero;approve'= {
            cand --grant 'Let further calls of this tool run unasked for so long, such as 10m'
            cand --with 'With --grant or --session: only calls in which this argument is the same as in this one; may be repeated'
            cand --config 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]'
            cand --fresh 'Run it in another process than the one that its session uses, where that one is gone'
            cand --no-wait 'Return at once, without waiting for the outcome'
            cand --session 'Let further calls of this tool run unasked in the session that asked'
            cand --reads 'With --grant or --session: every tool of this server that `reads` in policies.json lists'
            cand --exact 'Let exactly this call run unasked in the session that asked'
            cand --always 'Let further calls of this tool run unasked until you remove the rule'
            cand --telegram 'Confirm on Telegram instead of with the passphrase: tap the number that the terminal shows'
            cand --json 'Print JSON instead of text'
            cand --no-start 'Never start the daemon; fail if it is needed and not running'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'portero;reject'= {
            cand --reason 'The reason that the agent is told'
            cand --config 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]'
            cand --no-cool-down 'Let the same call ask again at once; otherwise it is refused for a while (`coolDown` in portero.json)'
            cand --json 'Print JSON instead of text'
            cand --no-start 'Never start the daemon; fail if it is needed and not running'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'portero;again'= {
            cand --config 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]'
            cand --json 'Print JSON instead of text'
            cand --no-start 'Never start the daemon; fail if it is needed and not running'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'portero;grant'= {
            cand --uses 'Only this many calls'
            cand --session 'Only this connected session: its id or its agent''s, or a beginning or end of either'
            cand --project 'Only sessions in this project directory, such as `.`'
            cand --with 'Only calls with this argument: its name or JSON Pointer, and its value; may be repeated'
            cand --config 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]'
            cand --reads 'Only tools that `reads` in policies.json lists'
            cand --run-waiting 'Run the waiting calls that this allows too, without asking'
            cand --telegram 'Confirm on Telegram instead of with the passphrase: tap the number that the terminal shows'
            cand --json 'Print JSON instead of text'
            cand --no-start 'Never start the daemon; fail if it is needed and not running'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'portero;revoke'= {
            cand --config 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]'
            cand --all 'Every grant'
            cand --json 'Print JSON instead of text'
            cand --no-start 'Never start the daemon; fail if it is needed and not running'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'portero;allow'= {
            cand --config 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]'
            cand --run-waiting 'Run the waiting calls that this allows too, without asking'
            cand --telegram 'Confirm on Telegram instead of with the passphrase: tap the number that the terminal shows'
            cand --json 'Print JSON instead of text'
            cand --no-start 'Never start the daemon; fail if it is needed and not running'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'portero;ask'= {
            cand --config 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]'
            cand --json 'Print JSON instead of text'
            cand --no-start 'Never start the daemon; fail if it is needed and not running'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'portero;require-approval'= {
            cand --config 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]'
            cand --json 'Print JSON instead of text'
            cand --no-start 'Never start the daemon; fail if it is needed and not running'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'portero;deny'= {
            cand --config 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]'
            cand --json 'Print JSON instead of text'
            cand --no-start 'Never start the daemon; fail if it is needed and not running'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'portero;pause'= {
            cand --config 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]'
            cand --json 'Print JSON instead of text'
            cand --no-start 'Never start the daemon; fail if it is needed and not running'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'portero;resume'= {
            cand --config 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]'
            cand --telegram 'Confirm on Telegram instead of with the passphrase: tap the number that the terminal shows'
            cand --json 'Print JSON instead of text'
            cand --no-start 'Never start the daemon; fail if it is needed and not running'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'portero;rules'= {
            cand --config 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]'
            cand --json 'Print JSON instead of text'
            cand --no-start 'Never start the daemon; fail if it is needed and not running'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'portero;unrule'= {
            cand --config 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]'
            cand --telegram 'Confirm on Telegram instead of with the passphrase: tap the number that the terminal shows'
            cand --json 'Print JSON instead of text'
            cand --no-start 'Never start the daemon; fail if it is needed and not running'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'portero;pins'= {
            cand --config 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]'
            cand --json 'Print JSON instead of text'
            cand --no-start 'Never start the daemon; fail if it is needed and not running'
            cand -h 'Print help'
            cand --help 'Print help'
            cand diff 'Show how a server''s definitions differ from the accepted ones'
            cand accept 'Accept what a server defines now; asks for the passphrase, or a tap on Telegram'
            cand help 'Print this message or the help of the given subcommand(s)'
        }
        &'portero;pins;diff'= {
            cand --config 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]'
            cand --json 'Print JSON instead of text'
            cand --no-start 'Never start the daemon; fail if it is needed and not running'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'portero;pins;accept'= {
            cand --config 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]'
            cand --telegram 'Confirm on Telegram instead of with the passphrase: tap the number that the terminal shows'
            cand --json 'Print JSON instead of text'
            cand --no-start 'Never start the daemon; fail if it is needed and not running'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'portero;pins;help'= {
            cand diff 'Show how a server''s definitions differ from the accepted ones'
            cand accept 'Accept what a server defines now; asks for the passphrase, or a tap on Telegram'
            cand help 'Print this message or the help of the given subcommand(s)'
        }
        &'portero;pins;help;diff'= {
        }
        &'portero;pins;help;accept'= {
        }
        &'portero;pins;help;help'= {
        }
        &'portero;login'= {
            cand --scope 'Ask for these scopes in place of the usual ones; repeat it for several'
            cand --config 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]'
            cand --no-browser 'Print the address instead of opening a browser, and take the answer that you paste'
            cand --device 'Sign in on another device, with a code; not every server offers it'
            cand --telegram 'Confirm on Telegram instead of with the passphrase: tap the number that the terminal shows'
            cand --json 'Print JSON instead of text'
            cand --no-start 'Never start the daemon; fail if it is needed and not running'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'portero;logout'= {
            cand --config 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]'
            cand --json 'Print JSON instead of text'
            cand --no-start 'Never start the daemon; fail if it is needed and not running'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'portero;logs'= {
            cand --tool 'Only records about tools that match this pattern'
            cand --server 'Only records about this server''s tools'
            cand --decision 'Only calls with this decision'
            cand --session 'Only this session: its id, or a beginning or end of it'
            cand --task 'Only this task: its id, or a beginning or end of it'
            cand --since 'Only records since this time: an age such as 2h, or a time such as 2026-11-20T10:00'
            cand --until 'Only records until this time, in the same forms'
            cand -n 'Print at most this many, the newest of them'
            cand --limit 'Print at most this many, the newest of them'
            cand --config 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]'
            cand -f 'Keep printing new records'
            cand --follow 'Keep printing new records'
            cand --json 'Print JSON instead of text'
            cand --no-start 'Never start the daemon; fail if it is needed and not running'
            cand -h 'Print help'
            cand --help 'Print help'
            cand verify 'Check the hash chain for removed, changed, reordered or cut-off records'
            cand help 'Print this message or the help of the given subcommand(s)'
        }
        &'portero;logs;verify'= {
            cand --config 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]'
            cand --json 'Print JSON instead of text'
            cand --no-start 'Never start the daemon; fail if it is needed and not running'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'portero;logs;help'= {
            cand verify 'Check the hash chain for removed, changed, reordered or cut-off records'
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
            cand --no-start 'Never start the daemon; fail if it is needed and not running'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'portero;policy'= {
            cand --config 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]'
            cand --json 'Print JSON instead of text'
            cand --no-start 'Never start the daemon; fail if it is needed and not running'
            cand -h 'Print help'
            cand --help 'Print help'
            cand test 'Decide each case of a file, and exit with 1 if a decision is not the expected one'
            cand replay 'Show which calls in the audit the present files would decide differently'
            cand help 'Print this message or the help of the given subcommand(s)'
        }
        &'portero;policy;test'= {
            cand --config 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]'
            cand --json 'Print JSON instead of text'
            cand --no-start 'Never start the daemon; fail if it is needed and not running'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'portero;policy;replay'= {
            cand --since 'How far back'
            cand --config 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]'
            cand --json 'Print JSON instead of text'
            cand --no-start 'Never start the daemon; fail if it is needed and not running'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'portero;policy;help'= {
            cand test 'Decide each case of a file, and exit with 1 if a decision is not the expected one'
            cand replay 'Show which calls in the audit the present files would decide differently'
            cand help 'Print this message or the help of the given subcommand(s)'
        }
        &'portero;policy;help;test'= {
        }
        &'portero;policy;help;replay'= {
        }
        &'portero;policy;help;help'= {
        }
        &'portero;anonymize'= {
            cand --server 'The server that says the text, or gets it'
            cand --config 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]'
            cand --reveal 'Replace fakes by real values, as toward a server; without `--server`, only those that every server may see'
            cand --explain 'Tell on standard error what was replaced where'
            cand --json 'Print JSON instead of text'
            cand --no-start 'Never start the daemon; fail if it is needed and not running'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'portero;replacements'= {
            cand --config 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]'
            cand --json 'Print JSON instead of text'
            cand --no-start 'Never start the daemon; fail if it is needed and not running'
            cand -h 'Print help'
            cand --help 'Print help'
            cand list 'List the replacements in force, by their fakes'
            cand suggest 'Propose fakes: uncommon names, and addresses and numbers that belong to nobody'
            cand help 'Print this message or the help of the given subcommand(s)'
        }
        &'portero;replacements;list'= {
            cand --config 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]'
            cand --json 'Print JSON instead of text'
            cand --no-start 'Never start the daemon; fail if it is needed and not running'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'portero;replacements;suggest'= {
            cand --for 'The variable with the real value, in the environment or in .env; the fakes get its shape'
            cand --seed 'A number; the same one proposes the same fakes'
            cand --count 'How many to propose'
            cand --config 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]'
            cand --json 'Print JSON instead of text'
            cand --no-start 'Never start the daemon; fail if it is needed and not running'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'portero;replacements;help'= {
            cand list 'List the replacements in force, by their fakes'
            cand suggest 'Propose fakes: uncommon names, and addresses and numbers that belong to nobody'
            cand help 'Print this message or the help of the given subcommand(s)'
        }
        &'portero;replacements;help;list'= {
        }
        &'portero;replacements;help;suggest'= {
        }
        &'portero;replacements;help;help'= {
        }
        &'portero;check'= {
            cand --config 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]'
            cand --json 'Print JSON instead of text'
            cand --no-start 'Never start the daemon; fail if it is needed and not running'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'portero;config'= {
            cand --config 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]'
            cand --json 'Print JSON instead of text'
            cand --no-start 'Never start the daemon; fail if it is needed and not running'
            cand -h 'Print help'
            cand --help 'Print help'
            cand diff 'Show how the files differ from what you confirmed'
            cand confirm 'Confirm the files as they are now; asks for the passphrase, or a tap on Telegram'
            cand help 'Print this message or the help of the given subcommand(s)'
        }
        &'portero;config;diff'= {
            cand --config 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]'
            cand --json 'Print JSON instead of text'
            cand --no-start 'Never start the daemon; fail if it is needed and not running'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'portero;config;confirm'= {
            cand --config 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]'
            cand --telegram 'Confirm on Telegram instead of with the passphrase: tap the number that the terminal shows'
            cand --json 'Print JSON instead of text'
            cand --no-start 'Never start the daemon; fail if it is needed and not running'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'portero;config;help'= {
            cand diff 'Show how the files differ from what you confirmed'
            cand confirm 'Confirm the files as they are now; asks for the passphrase, or a tap on Telegram'
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
            cand --no-start 'Never start the daemon; fail if it is needed and not running'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'portero;daemon'= {
            cand --config 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]'
            cand --json 'Print JSON instead of text'
            cand --no-start 'Never start the daemon; fail if it is needed and not running'
            cand -h 'Print help'
            cand --help 'Print help'
            cand start 'Start it, and return once it listens'
            cand stop 'Stop it, and return once it has ended'
            cand status 'Tell whether it runs'
            cand help 'Print this message or the help of the given subcommand(s)'
        }
        &'portero;daemon;start'= {
            cand --config 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]'
            cand --json 'Print JSON instead of text'
            cand --no-start 'Never start the daemon; fail if it is needed and not running'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'portero;daemon;stop'= {
            cand --config 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]'
            cand --json 'Print JSON instead of text'
            cand --no-start 'Never start the daemon; fail if it is needed and not running'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'portero;daemon;status'= {
            cand --config 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]'
            cand --json 'Print JSON instead of text'
            cand --no-start 'Never start the daemon; fail if it is needed and not running'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'portero;daemon;help'= {
            cand start 'Start it, and return once it listens'
            cand stop 'Stop it, and return once it has ended'
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
            cand --no-start 'Never start the daemon; fail if it is needed and not running'
            cand -h 'Print help'
            cand --help 'Print help'
            cand set 'Set the passphrase, or change it with the old one'
            cand help 'Print this message or the help of the given subcommand(s)'
        }
        &'portero;passphrase;set'= {
            cand --config 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]'
            cand --json 'Print JSON instead of text'
            cand --no-start 'Never start the daemon; fail if it is needed and not running'
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
            cand --no-start 'Never start the daemon; fail if it is needed and not running'
            cand -h 'Print help'
            cand --help 'Print help'
            cand enroll 'Show a new secret for an authenticator app, and require its codes from then on'
            cand remove 'Remove the authenticator; asks for the passphrase and a code, or a recovery code'
            cand help 'Print this message or the help of the given subcommand(s)'
        }
        &'portero;totp;enroll'= {
            cand --config 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]'
            cand --json 'Print JSON instead of text'
            cand --no-start 'Never start the daemon; fail if it is needed and not running'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'portero;totp;remove'= {
            cand --config 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]'
            cand --json 'Print JSON instead of text'
            cand --no-start 'Never start the daemon; fail if it is needed and not running'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'portero;totp;help'= {
            cand enroll 'Show a new secret for an authenticator app, and require its codes from then on'
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
            cand --no-start 'Never start the daemon; fail if it is needed and not running'
            cand -h 'Print help'
            cand --help 'Print help'
            cand pair 'Show a code that pairs the bot with you; it is valid for five minutes and five tries'
            cand unpair 'End the pairing, so that another person can be paired; asks for the passphrase'
            cand help 'Print this message or the help of the given subcommand(s)'
        }
        &'portero;telegram;pair'= {
            cand --config 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]'
            cand --json 'Print JSON instead of text'
            cand --no-start 'Never start the daemon; fail if it is needed and not running'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'portero;telegram;unpair'= {
            cand --config 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]'
            cand --json 'Print JSON instead of text'
            cand --no-start 'Never start the daemon; fail if it is needed and not running'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'portero;telegram;help'= {
            cand pair 'Show a code that pairs the bot with you; it is valid for five minutes and five tries'
            cand unpair 'End the pairing, so that another person can be paired; asks for the passphrase'
            cand help 'Print this message or the help of the given subcommand(s)'
        }
        &'portero;telegram;help;pair'= {
        }
        &'portero;telegram;help;unpair'= {
        }
        &'portero;telegram;help;help'= {
        }
        &'portero;https'= {
            cand --config 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]'
            cand --json 'Print JSON instead of text'
            cand --no-start 'Never start the daemon; fail if it is needed and not running'
            cand -h 'Print help'
            cand --help 'Print help'
            cand cert 'Show the certificate''s file, its SHA-256 fingerprint and when it expires'
            cand help 'Print this message or the help of the given subcommand(s)'
        }
        &'portero;https;cert'= {
            cand --config 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]'
            cand --json 'Print JSON instead of text'
            cand --no-start 'Never start the daemon; fail if it is needed and not running'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'portero;https;help'= {
            cand cert 'Show the certificate''s file, its SHA-256 fingerprint and when it expires'
            cand help 'Print this message or the help of the given subcommand(s)'
        }
        &'portero;https;help;cert'= {
        }
        &'portero;https;help;help'= {
        }
        &'portero;secret'= {
            cand --config 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]'
            cand --json 'Print JSON instead of text'
            cand --no-start 'Never start the daemon; fail if it is needed and not running'
            cand -h 'Print help'
            cand --help 'Print help'
            cand set 'Set a secret, or replace it; asks for its value without showing it, and for the passphrase'
            cand list 'List the secrets that are set, never their values'
            cand clear 'Forget secrets at once, and end the servers that use them'
            cand help 'Print this message or the help of the given subcommand(s)'
        }
        &'portero;secret;set'= {
            cand --ttl 'Forget it after this time, such as 15m or 8h [default: when the daemon ends]'
            cand --config 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]'
            cand --keep 'Keep it, encrypted in Portero''s store, until it is cleared'
            cand --json 'Print JSON instead of text'
            cand --no-start 'Never start the daemon; fail if it is needed and not running'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'portero;secret;list'= {
            cand --config 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]'
            cand --json 'Print JSON instead of text'
            cand --no-start 'Never start the daemon; fail if it is needed and not running'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'portero;secret;clear'= {
            cand --config 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]'
            cand --all 'Forget every secret'
            cand --json 'Print JSON instead of text'
            cand --no-start 'Never start the daemon; fail if it is needed and not running'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'portero;secret;help'= {
            cand set 'Set a secret, or replace it; asks for its value without showing it, and for the passphrase'
            cand list 'List the secrets that are set, never their values'
            cand clear 'Forget secrets at once, and end the servers that use them'
            cand help 'Print this message or the help of the given subcommand(s)'
        }
        &'portero;secret;help;set'= {
        }
        &'portero;secret;help;list'= {
        }
        &'portero;secret;help;clear'= {
        }
        &'portero;secret;help;help'= {
        }
        &'portero;token'= {
            cand --config 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]'
            cand --json 'Print JSON instead of text'
            cand --no-start 'Never start the daemon; fail if it is needed and not running'
            cand -h 'Print help'
            cand --help 'Print help'
            cand create 'Make a token and show it once; asks for the passphrase, or a tap on Telegram'
            cand list 'List the tokens: what each reaches, and when it was made, ends, and was last used'
            cand revoke 'End a token and its open sessions at once'
            cand help 'Print this message or the help of the given subcommand(s)'
        }
        &'portero;token;create'= {
            cand --servers 'Only these servers, or patterns over servers such as `note*`'
            cand --tools 'Only these tools, or patterns over tools such as `github/list_*`'
            cand --expires 'How long it is valid, such as 12h or 30d [default: until it is revoked]'
            cand --config 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]'
            cand --telegram 'Confirm on Telegram instead of with the passphrase: tap the number that the terminal shows'
            cand --json 'Print JSON instead of text'
            cand --no-start 'Never start the daemon; fail if it is needed and not running'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'portero;token;list'= {
            cand --config 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]'
            cand --json 'Print JSON instead of text'
            cand --no-start 'Never start the daemon; fail if it is needed and not running'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'portero;token;revoke'= {
            cand --config 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]'
            cand --json 'Print JSON instead of text'
            cand --no-start 'Never start the daemon; fail if it is needed and not running'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'portero;token;help'= {
            cand create 'Make a token and show it once; asks for the passphrase, or a tap on Telegram'
            cand list 'List the tokens: what each reaches, and when it was made, ends, and was last used'
            cand revoke 'End a token and its open sessions at once'
            cand help 'Print this message or the help of the given subcommand(s)'
        }
        &'portero;token;help;create'= {
        }
        &'portero;token;help;list'= {
        }
        &'portero;token;help;revoke'= {
        }
        &'portero;token;help;help'= {
        }
        &'portero;mcp'= {
            cand --config 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]'
            cand --json 'Print JSON instead of text'
            cand --no-start 'Never start the daemon; fail if it is needed and not running'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'portero;connect'= {
            cand --token-file 'A file with the token, which no other user can read [default: the variable PORTERO_TOKEN]'
            cand --header-file 'A file with further headers, `Name: value` on each line, which no other user can read'
            cand --ca-file 'A file with further certificate authorities in PEM, such as a self-signed certificate'
            cand --config 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]'
            cand --json 'Print JSON instead of text'
            cand --no-start 'Never start the daemon; fail if it is needed and not running'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'portero;try'= {
            cand --config 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]'
            cand --yes 'Answer every question with yes, for unattended runs'
            cand --json 'Print JSON instead of text'
            cand --no-start 'Never start the daemon; fail if it is needed and not running'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'portero;sample-server'= {
            cand --record 'Append each call that arrives to this file, one JSON object a line'
            cand --config 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]'
            cand --json 'Print JSON instead of text'
            cand --no-start 'Never start the daemon; fail if it is needed and not running'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'portero;generate'= {
            cand --config 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]'
            cand --json 'Print JSON instead of text'
            cand --no-start 'Never start the daemon; fail if it is needed and not running'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'portero;help'= {
            cand status 'Show the daemon, its servers, sessions and rules, and how many calls wait for you'
            cand tasks 'List tasks: the calls that wait for you, or did'
            cand task 'Show one task in full: the call, its arguments, its result'
            cand pending 'List the calls that wait for you'
            cand approve 'Approve waiting calls and show how they end; asks for the passphrase, or a tap on Telegram'
            cand reject 'Reject waiting calls'
            cand again 'Submit an ended call again; it waits for your approval like any other'
            cand grant 'Let tools run unasked for a while; asks for the passphrase, or a tap on Telegram'
            cand revoke 'End grants at once'
            cand allow 'Add a rule that allows tools; asks for the passphrase, or a tap on Telegram'
            cand ask 'Add a rule that requires approval, in every session at once'
            cand deny 'Add a rule that denies tools, in every session at once'
            cand pause 'Stop all calls in every session at once, until `portero resume`'
            cand resume 'End a pause; asks for the passphrase, or a tap on Telegram'
            cand rules 'List the rules and grants in force'
            cand unrule 'Remove a rule; asks for the passphrase, or a tap on Telegram, if that permits more'
            cand pins 'Show which definitions of servers are accepted, and accept changed ones'
            cand login 'Sign in at a server over HTTP that takes OAuth; asks for the passphrase, or a tap on Telegram'
            cand logout 'Sign out of a server: its tokens are revoked and forgotten'
            cand logs 'Read the audit log'
            cand why 'Explain what policy decides for a tool, and why'
            cand policy 'Test the configured policy before an agent meets it'
            cand anonymize 'Replace the values in a text by the configured rules, and show what an agent would see'
            cand replacements 'List the replacements in force, or propose fakes for new ones'
            cand check 'Check the configuration, and print every problem in it'
            cand config 'Show or confirm the configuration changes that wait for you'
            cand doctor 'Start each server, list what it offers, and report problems'
            cand daemon 'Start, stop or check the daemon'
            cand passphrase 'Manage the approval passphrase'
            cand totp 'Manage an authenticator app; wide acts need its code beside the passphrase'
            cand telegram 'Manage who decides on Telegram'
            cand https 'Show the certificate that agents on other machines are to trust'
            cand secret 'Set the secrets that servers get by name; no command shows one'
            cand token 'Manage the access tokens, with which agents on other machines ask over HTTPS'
            cand mcp 'Serve an agent on standard input and output; this is what Claude Code launches'
            cand connect 'Serve an agent on standard input and output by a Portero elsewhere, or by any MCP server over HTTP'
            cand try 'See Portero at work in a temporary directory, without any setup'
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
        &'portero;help;pins'= {
            cand diff 'Show how a server''s definitions differ from the accepted ones'
            cand accept 'Accept what a server defines now; asks for the passphrase, or a tap on Telegram'
        }
        &'portero;help;pins;diff'= {
        }
        &'portero;help;pins;accept'= {
        }
        &'portero;help;login'= {
        }
        &'portero;help;logout'= {
        }
        &'portero;help;logs'= {
            cand verify 'Check the hash chain for removed, changed, reordered or cut-off records'
        }
        &'portero;help;logs;verify'= {
        }
        &'portero;help;why'= {
        }
        &'portero;help;policy'= {
            cand test 'Decide each case of a file, and exit with 1 if a decision is not the expected one'
            cand replay 'Show which calls in the audit the present files would decide differently'
        }
        &'portero;help;policy;test'= {
        }
        &'portero;help;policy;replay'= {
        }
        &'portero;help;anonymize'= {
        }
        &'portero;help;replacements'= {
            cand list 'List the replacements in force, by their fakes'
            cand suggest 'Propose fakes: uncommon names, and addresses and numbers that belong to nobody'
        }
        &'portero;help;replacements;list'= {
        }
        &'portero;help;replacements;suggest'= {
        }
        &'portero;help;check'= {
        }
        &'portero;help;config'= {
            cand diff 'Show how the files differ from what you confirmed'
            cand confirm 'Confirm the files as they are now; asks for the passphrase, or a tap on Telegram'
        }
        &'portero;help;config;diff'= {
        }
        &'portero;help;config;confirm'= {
        }
        &'portero;help;doctor'= {
        }
        &'portero;help;daemon'= {
            cand start 'Start it, and return once it listens'
            cand stop 'Stop it, and return once it has ended'
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
            cand enroll 'Show a new secret for an authenticator app, and require its codes from then on'
            cand remove 'Remove the authenticator; asks for the passphrase and a code, or a recovery code'
        }
        &'portero;help;totp;enroll'= {
        }
        &'portero;help;totp;remove'= {
        }
        &'portero;help;telegram'= {
            cand pair 'Show a code that pairs the bot with you; it is valid for five minutes and five tries'
            cand unpair 'End the pairing, so that another person can be paired; asks for the passphrase'
        }
        &'portero;help;telegram;pair'= {
        }
        &'portero;help;telegram;unpair'= {
        }
        &'portero;help;https'= {
            cand cert 'Show the certificate''s file, its SHA-256 fingerprint and when it expires'
        }
        &'portero;help;https;cert'= {
        }
        &'portero;help;secret'= {
            cand set 'Set a secret, or replace it; asks for its value without showing it, and for the passphrase'
            cand list 'List the secrets that are set, never their values'
            cand clear 'Forget secrets at once, and end the servers that use them'
        }
        &'portero;help;secret;set'= {
        }
        &'portero;help;secret;list'= {
        }
        &'portero;help;secret;clear'= {
        }
        &'portero;help;token'= {
            cand create 'Make a token and show it once; asks for the passphrase, or a tap on Telegram'
            cand list 'List the tokens: what each reaches, and when it was made, ends, and was last used'
            cand revoke 'End a token and its open sessions at once'
        }
        &'portero;help;token;create'= {
        }
        &'portero;help;token;list'= {
        }
        &'portero;help;token;revoke'= {
        }
        &'portero;help;mcp'= {
        }
        &'portero;help;connect'= {
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
