# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_portero_global_optspecs
    string join \n config= json no-start h/help V/version
end

function __fish_portero_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_portero_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_portero_using_subcommand
    set -l cmd (__fish_portero_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c portero -n "__fish_portero_needs_command" -l config -d 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform\'s]' -r -F
complete -c portero -n "__fish_portero_needs_command" -l json -d 'Print JSON instead of text'
complete -c portero -n "__fish_portero_needs_command" -l no-start -d 'Never start the daemon; fail if it is needed and not running'
complete -c portero -n "__fish_portero_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c portero -n "__fish_portero_needs_command" -s V -l version -d 'Print version'
complete -c portero -n "__fish_portero_needs_command" -f -a "status" -d 'Show the daemon, its servers, sessions and rules, and how many calls wait for you'
complete -c portero -n "__fish_portero_needs_command" -f -a "tasks" -d 'List tasks: the calls that wait for you, or did'
complete -c portero -n "__fish_portero_needs_command" -f -a "task" -d 'Show one task in full: the call, its arguments, its result'
complete -c portero -n "__fish_portero_needs_command" -f -a "pending" -d 'List the calls that wait for you'
complete -c portero -n "__fish_portero_needs_command" -f -a "approve" -d 'Approve waiting calls and show how they end; asks for the passphrase, or a tap on Telegram'
complete -c portero -n "__fish_portero_needs_command" -f -a "reject" -d 'Reject waiting calls'
complete -c portero -n "__fish_portero_needs_command" -f -a "again" -d 'Submit an ended call again; it waits for your approval like any other'
complete -c portero -n "__fish_portero_needs_command" -f -a "grant" -d 'Let tools run unasked for a while; asks for the passphrase, or a tap on Telegram'
complete -c portero -n "__fish_portero_needs_command" -f -a "revoke" -d 'End grants at once'
complete -c portero -n "__fish_portero_needs_command" -f -a "allow" -d 'Add a rule that allows tools; asks for the passphrase, or a tap on Telegram'
complete -c portero -n "__fish_portero_needs_command" -f -a "ask" -d 'Add a rule that requires approval, in every session at once'
complete -c portero -n "__fish_portero_needs_command" -f -a "require-approval" -d 'Add a rule that requires approval, in every session at once'
complete -c portero -n "__fish_portero_needs_command" -f -a "deny" -d 'Add a rule that denies tools, in every session at once'
complete -c portero -n "__fish_portero_needs_command" -f -a "pause" -d 'Stop all calls in every session at once, until `portero resume`'
complete -c portero -n "__fish_portero_needs_command" -f -a "resume" -d 'End a pause; asks for the passphrase, or a tap on Telegram'
complete -c portero -n "__fish_portero_needs_command" -f -a "rules" -d 'List the rules and grants in force'
complete -c portero -n "__fish_portero_needs_command" -f -a "unrule" -d 'Remove a rule; asks for the passphrase, or a tap on Telegram, if that permits more'
complete -c portero -n "__fish_portero_needs_command" -f -a "pins" -d 'Show which definitions of servers are accepted, and accept changed ones'
complete -c portero -n "__fish_portero_needs_command" -f -a "login" -d 'Sign in at a server over HTTP that takes OAuth; asks for the passphrase, or a tap on Telegram'
complete -c portero -n "__fish_portero_needs_command" -f -a "logout" -d 'Sign out of a server: its tokens are revoked and forgotten'
complete -c portero -n "__fish_portero_needs_command" -f -a "logs" -d 'Read the audit log'
complete -c portero -n "__fish_portero_needs_command" -f -a "why" -d 'Explain what policy decides for a tool, and why'
complete -c portero -n "__fish_portero_needs_command" -f -a "policy" -d 'Test the configured policy before an agent meets it'
complete -c portero -n "__fish_portero_needs_command" -f -a "anonymize" -d 'Replace the values in a text by the configured rules, and show what an agent would see'
complete -c portero -n "__fish_portero_needs_command" -f -a "replacements" -d 'List the replacements in force, or propose fakes for new ones'
complete -c portero -n "__fish_portero_needs_command" -f -a "check" -d 'Check the configuration, and print every problem in it'
complete -c portero -n "__fish_portero_needs_command" -f -a "config" -d 'Show or confirm the configuration changes that wait for you'
complete -c portero -n "__fish_portero_needs_command" -f -a "doctor" -d 'Start each server, list what it offers, and report problems'
complete -c portero -n "__fish_portero_needs_command" -f -a "daemon" -d 'Start, stop or check the daemon'
complete -c portero -n "__fish_portero_needs_command" -f -a "passphrase" -d 'Manage the approval passphrase'
complete -c portero -n "__fish_portero_needs_command" -f -a "totp" -d 'Manage an authenticator app; wide acts need its code beside the passphrase'
complete -c portero -n "__fish_portero_needs_command" -f -a "telegram" -d 'Manage who decides on Telegram'
complete -c portero -n "__fish_portero_needs_command" -f -a "https" -d 'Show the certificate that agents on other machines are to trust'
complete -c portero -n "__fish_portero_needs_command" -f -a "secret" -d 'Set the secrets that servers get by name; no command shows one'
complete -c portero -n "__fish_portero_needs_command" -f -a "token" -d 'Manage the access tokens, with which agents on other machines ask over HTTPS'
complete -c portero -n "__fish_portero_needs_command" -f -a "mcp" -d 'Serve an agent on standard input and output; this is what Claude Code launches'
complete -c portero -n "__fish_portero_needs_command" -f -a "connect" -d 'Serve an agent on standard input and output by a Portero elsewhere, or by any MCP server over HTTP'
complete -c portero -n "__fish_portero_needs_command" -f -a "try" -d 'See Portero at work in a temporary directory, without any setup'
complete -c portero -n "__fish_portero_needs_command" -f -a "sample-server" -d 'A small mail and notes server, for `portero try` and the tests'
complete -c portero -n "__fish_portero_needs_command" -f -a "generate" -d 'Write completions and man pages'
complete -c portero -n "__fish_portero_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c portero -n "__fish_portero_using_subcommand status" -l config -d 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform\'s]' -r -F
complete -c portero -n "__fish_portero_using_subcommand status" -l json -d 'Print JSON instead of text'
complete -c portero -n "__fish_portero_using_subcommand status" -l no-start -d 'Never start the daemon; fail if it is needed and not running'
complete -c portero -n "__fish_portero_using_subcommand status" -s h -l help -d 'Print help'
complete -c portero -n "__fish_portero_using_subcommand tasks" -l state -d 'Only tasks in this state' -r -f -a "pending-approval\t''
approved\t''
executing\t''
completed\t''
failed\t''
denied\t''
expired\t''
cancelled\t''
interrupted\t''"
complete -c portero -n "__fish_portero_using_subcommand tasks" -l limit -d 'At most this many, the newest first' -r
complete -c portero -n "__fish_portero_using_subcommand tasks" -l config -d 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform\'s]' -r -F
complete -c portero -n "__fish_portero_using_subcommand tasks" -l json -d 'Print JSON instead of text'
complete -c portero -n "__fish_portero_using_subcommand tasks" -l no-start -d 'Never start the daemon; fail if it is needed and not running'
complete -c portero -n "__fish_portero_using_subcommand tasks" -s h -l help -d 'Print help'
complete -c portero -n "__fish_portero_using_subcommand task" -l config -d 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform\'s]' -r -F
complete -c portero -n "__fish_portero_using_subcommand task" -l real -d 'Show the real values too, on the terminal itself; asks for the passphrase, or a tap on Telegram'
complete -c portero -n "__fish_portero_using_subcommand task" -l telegram -d 'Confirm on Telegram: tap the number that the terminal shows'
complete -c portero -n "__fish_portero_using_subcommand task" -l json -d 'Print JSON instead of text'
complete -c portero -n "__fish_portero_using_subcommand task" -l no-start -d 'Never start the daemon; fail if it is needed and not running'
complete -c portero -n "__fish_portero_using_subcommand task" -s h -l help -d 'Print help'
complete -c portero -n "__fish_portero_using_subcommand pending" -l config -d 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform\'s]' -r -F
complete -c portero -n "__fish_portero_using_subcommand pending" -l watch -d 'Keep watching, in a full-screen view to read, approve and reject; with --json, stream one JSON object a line'
complete -c portero -n "__fish_portero_using_subcommand pending" -l json -d 'Print JSON instead of text'
complete -c portero -n "__fish_portero_using_subcommand pending" -l no-start -d 'Never start the daemon; fail if it is needed and not running'
complete -c portero -n "__fish_portero_using_subcommand pending" -s h -l help -d 'Print help'
complete -c portero -n "__fish_portero_using_subcommand approve" -l grant -d 'Let further calls of this tool run unasked for so long, such as 10m' -r
complete -c portero -n "__fish_portero_using_subcommand approve" -l with -d 'With --grant or --session: only calls in which this argument is the same as in this one; may be repeated' -r
complete -c portero -n "__fish_portero_using_subcommand approve" -l config -d 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform\'s]' -r -F
complete -c portero -n "__fish_portero_using_subcommand approve" -l fresh -d 'Run it in another process than the one that its session uses, where that one is gone'
complete -c portero -n "__fish_portero_using_subcommand approve" -l no-wait -d 'Return at once, without waiting for the outcome'
complete -c portero -n "__fish_portero_using_subcommand approve" -l session -d 'Let further calls of this tool run unasked in the session that asked'
complete -c portero -n "__fish_portero_using_subcommand approve" -l reads -d 'With --grant or --session: every tool of this server that `reads` in policies.json lists'
complete -c portero -n "__fish_portero_using_subcommand approve" -l exact -d 'Let exactly this call run unasked in the session that asked'
complete -c portero -n "__fish_portero_using_subcommand approve" -l always -d 'Let further calls of this tool run unasked until you remove the rule'
complete -c portero -n "__fish_portero_using_subcommand approve" -l telegram -d 'Confirm on Telegram instead of with the passphrase: tap the number that the terminal shows'
complete -c portero -n "__fish_portero_using_subcommand approve" -l json -d 'Print JSON instead of text'
complete -c portero -n "__fish_portero_using_subcommand approve" -l no-start -d 'Never start the daemon; fail if it is needed and not running'
complete -c portero -n "__fish_portero_using_subcommand approve" -s h -l help -d 'Print help'
complete -c portero -n "__fish_portero_using_subcommand reject" -l reason -d 'The reason that the agent is told' -r
complete -c portero -n "__fish_portero_using_subcommand reject" -l config -d 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform\'s]' -r -F
complete -c portero -n "__fish_portero_using_subcommand reject" -l no-cool-down -d 'Let the same call ask again at once; otherwise it is refused for a while (`coolDown` in portero.json)'
complete -c portero -n "__fish_portero_using_subcommand reject" -l json -d 'Print JSON instead of text'
complete -c portero -n "__fish_portero_using_subcommand reject" -l no-start -d 'Never start the daemon; fail if it is needed and not running'
complete -c portero -n "__fish_portero_using_subcommand reject" -s h -l help -d 'Print help'
complete -c portero -n "__fish_portero_using_subcommand again" -l config -d 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform\'s]' -r -F
complete -c portero -n "__fish_portero_using_subcommand again" -l json -d 'Print JSON instead of text'
complete -c portero -n "__fish_portero_using_subcommand again" -l no-start -d 'Never start the daemon; fail if it is needed and not running'
complete -c portero -n "__fish_portero_using_subcommand again" -s h -l help -d 'Print help'
complete -c portero -n "__fish_portero_using_subcommand grant" -l uses -d 'Only this many calls' -r
complete -c portero -n "__fish_portero_using_subcommand grant" -l session -d 'Only this connected session: its id or its agent\'s, or a beginning or end of either' -r
complete -c portero -n "__fish_portero_using_subcommand grant" -l project -d 'Only sessions in this project directory, such as `.`' -r -F
complete -c portero -n "__fish_portero_using_subcommand grant" -l with -d 'Only calls with this argument: its name or JSON Pointer, and its value; may be repeated' -r
complete -c portero -n "__fish_portero_using_subcommand grant" -l config -d 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform\'s]' -r -F
complete -c portero -n "__fish_portero_using_subcommand grant" -l reads -d 'Only tools that `reads` in policies.json lists'
complete -c portero -n "__fish_portero_using_subcommand grant" -l run-waiting -d 'Run the waiting calls that this allows too, without asking'
complete -c portero -n "__fish_portero_using_subcommand grant" -l telegram -d 'Confirm on Telegram instead of with the passphrase: tap the number that the terminal shows'
complete -c portero -n "__fish_portero_using_subcommand grant" -l json -d 'Print JSON instead of text'
complete -c portero -n "__fish_portero_using_subcommand grant" -l no-start -d 'Never start the daemon; fail if it is needed and not running'
complete -c portero -n "__fish_portero_using_subcommand grant" -s h -l help -d 'Print help'
complete -c portero -n "__fish_portero_using_subcommand revoke" -l config -d 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform\'s]' -r -F
complete -c portero -n "__fish_portero_using_subcommand revoke" -l all -d 'Every grant'
complete -c portero -n "__fish_portero_using_subcommand revoke" -l json -d 'Print JSON instead of text'
complete -c portero -n "__fish_portero_using_subcommand revoke" -l no-start -d 'Never start the daemon; fail if it is needed and not running'
complete -c portero -n "__fish_portero_using_subcommand revoke" -s h -l help -d 'Print help'
complete -c portero -n "__fish_portero_using_subcommand allow" -l config -d 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform\'s]' -r -F
complete -c portero -n "__fish_portero_using_subcommand allow" -l run-waiting -d 'Run the waiting calls that this allows too, without asking'
complete -c portero -n "__fish_portero_using_subcommand allow" -l telegram -d 'Confirm on Telegram instead of with the passphrase: tap the number that the terminal shows'
complete -c portero -n "__fish_portero_using_subcommand allow" -l json -d 'Print JSON instead of text'
complete -c portero -n "__fish_portero_using_subcommand allow" -l no-start -d 'Never start the daemon; fail if it is needed and not running'
complete -c portero -n "__fish_portero_using_subcommand allow" -s h -l help -d 'Print help'
complete -c portero -n "__fish_portero_using_subcommand ask" -l config -d 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform\'s]' -r -F
complete -c portero -n "__fish_portero_using_subcommand ask" -l json -d 'Print JSON instead of text'
complete -c portero -n "__fish_portero_using_subcommand ask" -l no-start -d 'Never start the daemon; fail if it is needed and not running'
complete -c portero -n "__fish_portero_using_subcommand ask" -s h -l help -d 'Print help'
complete -c portero -n "__fish_portero_using_subcommand require-approval" -l config -d 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform\'s]' -r -F
complete -c portero -n "__fish_portero_using_subcommand require-approval" -l json -d 'Print JSON instead of text'
complete -c portero -n "__fish_portero_using_subcommand require-approval" -l no-start -d 'Never start the daemon; fail if it is needed and not running'
complete -c portero -n "__fish_portero_using_subcommand require-approval" -s h -l help -d 'Print help'
complete -c portero -n "__fish_portero_using_subcommand deny" -l config -d 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform\'s]' -r -F
complete -c portero -n "__fish_portero_using_subcommand deny" -l json -d 'Print JSON instead of text'
complete -c portero -n "__fish_portero_using_subcommand deny" -l no-start -d 'Never start the daemon; fail if it is needed and not running'
complete -c portero -n "__fish_portero_using_subcommand deny" -s h -l help -d 'Print help'
complete -c portero -n "__fish_portero_using_subcommand pause" -l config -d 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform\'s]' -r -F
complete -c portero -n "__fish_portero_using_subcommand pause" -l json -d 'Print JSON instead of text'
complete -c portero -n "__fish_portero_using_subcommand pause" -l no-start -d 'Never start the daemon; fail if it is needed and not running'
complete -c portero -n "__fish_portero_using_subcommand pause" -s h -l help -d 'Print help'
complete -c portero -n "__fish_portero_using_subcommand resume" -l config -d 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform\'s]' -r -F
complete -c portero -n "__fish_portero_using_subcommand resume" -l telegram -d 'Confirm on Telegram instead of with the passphrase: tap the number that the terminal shows'
complete -c portero -n "__fish_portero_using_subcommand resume" -l json -d 'Print JSON instead of text'
complete -c portero -n "__fish_portero_using_subcommand resume" -l no-start -d 'Never start the daemon; fail if it is needed and not running'
complete -c portero -n "__fish_portero_using_subcommand resume" -s h -l help -d 'Print help'
complete -c portero -n "__fish_portero_using_subcommand rules" -l config -d 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform\'s]' -r -F
complete -c portero -n "__fish_portero_using_subcommand rules" -l json -d 'Print JSON instead of text'
complete -c portero -n "__fish_portero_using_subcommand rules" -l no-start -d 'Never start the daemon; fail if it is needed and not running'
complete -c portero -n "__fish_portero_using_subcommand rules" -s h -l help -d 'Print help'
complete -c portero -n "__fish_portero_using_subcommand unrule" -l config -d 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform\'s]' -r -F
complete -c portero -n "__fish_portero_using_subcommand unrule" -l telegram -d 'Confirm on Telegram instead of with the passphrase: tap the number that the terminal shows'
complete -c portero -n "__fish_portero_using_subcommand unrule" -l json -d 'Print JSON instead of text'
complete -c portero -n "__fish_portero_using_subcommand unrule" -l no-start -d 'Never start the daemon; fail if it is needed and not running'
complete -c portero -n "__fish_portero_using_subcommand unrule" -s h -l help -d 'Print help'
complete -c portero -n "__fish_portero_using_subcommand pins; and not __fish_seen_subcommand_from diff accept help" -l config -d 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform\'s]' -r -F
complete -c portero -n "__fish_portero_using_subcommand pins; and not __fish_seen_subcommand_from diff accept help" -l json -d 'Print JSON instead of text'
complete -c portero -n "__fish_portero_using_subcommand pins; and not __fish_seen_subcommand_from diff accept help" -l no-start -d 'Never start the daemon; fail if it is needed and not running'
complete -c portero -n "__fish_portero_using_subcommand pins; and not __fish_seen_subcommand_from diff accept help" -s h -l help -d 'Print help'
complete -c portero -n "__fish_portero_using_subcommand pins; and not __fish_seen_subcommand_from diff accept help" -f -a "diff" -d 'Show how a server\'s definitions differ from the accepted ones'
complete -c portero -n "__fish_portero_using_subcommand pins; and not __fish_seen_subcommand_from diff accept help" -f -a "accept" -d 'Accept what a server defines now; asks for the passphrase, or a tap on Telegram'
complete -c portero -n "__fish_portero_using_subcommand pins; and not __fish_seen_subcommand_from diff accept help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c portero -n "__fish_portero_using_subcommand pins; and __fish_seen_subcommand_from diff" -l config -d 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform\'s]' -r -F
complete -c portero -n "__fish_portero_using_subcommand pins; and __fish_seen_subcommand_from diff" -l json -d 'Print JSON instead of text'
complete -c portero -n "__fish_portero_using_subcommand pins; and __fish_seen_subcommand_from diff" -l no-start -d 'Never start the daemon; fail if it is needed and not running'
complete -c portero -n "__fish_portero_using_subcommand pins; and __fish_seen_subcommand_from diff" -s h -l help -d 'Print help'
complete -c portero -n "__fish_portero_using_subcommand pins; and __fish_seen_subcommand_from accept" -l config -d 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform\'s]' -r -F
complete -c portero -n "__fish_portero_using_subcommand pins; and __fish_seen_subcommand_from accept" -l telegram -d 'Confirm on Telegram instead of with the passphrase: tap the number that the terminal shows'
complete -c portero -n "__fish_portero_using_subcommand pins; and __fish_seen_subcommand_from accept" -l json -d 'Print JSON instead of text'
complete -c portero -n "__fish_portero_using_subcommand pins; and __fish_seen_subcommand_from accept" -l no-start -d 'Never start the daemon; fail if it is needed and not running'
complete -c portero -n "__fish_portero_using_subcommand pins; and __fish_seen_subcommand_from accept" -s h -l help -d 'Print help'
complete -c portero -n "__fish_portero_using_subcommand pins; and __fish_seen_subcommand_from help" -f -a "diff" -d 'Show how a server\'s definitions differ from the accepted ones'
complete -c portero -n "__fish_portero_using_subcommand pins; and __fish_seen_subcommand_from help" -f -a "accept" -d 'Accept what a server defines now; asks for the passphrase, or a tap on Telegram'
complete -c portero -n "__fish_portero_using_subcommand pins; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c portero -n "__fish_portero_using_subcommand login" -l scope -d 'Ask for these scopes in place of the usual ones; repeat it for several' -r
complete -c portero -n "__fish_portero_using_subcommand login" -l config -d 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform\'s]' -r -F
complete -c portero -n "__fish_portero_using_subcommand login" -l no-browser -d 'Print the address instead of opening a browser, and take the answer that you paste'
complete -c portero -n "__fish_portero_using_subcommand login" -l device -d 'Sign in on another device, with a code; not every server offers it'
complete -c portero -n "__fish_portero_using_subcommand login" -l telegram -d 'Confirm on Telegram instead of with the passphrase: tap the number that the terminal shows'
complete -c portero -n "__fish_portero_using_subcommand login" -l json -d 'Print JSON instead of text'
complete -c portero -n "__fish_portero_using_subcommand login" -l no-start -d 'Never start the daemon; fail if it is needed and not running'
complete -c portero -n "__fish_portero_using_subcommand login" -s h -l help -d 'Print help'
complete -c portero -n "__fish_portero_using_subcommand logout" -l config -d 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform\'s]' -r -F
complete -c portero -n "__fish_portero_using_subcommand logout" -l json -d 'Print JSON instead of text'
complete -c portero -n "__fish_portero_using_subcommand logout" -l no-start -d 'Never start the daemon; fail if it is needed and not running'
complete -c portero -n "__fish_portero_using_subcommand logout" -s h -l help -d 'Print help'
complete -c portero -n "__fish_portero_using_subcommand logs; and not __fish_seen_subcommand_from verify help" -l tool -d 'Only records about tools that match this pattern' -r
complete -c portero -n "__fish_portero_using_subcommand logs; and not __fish_seen_subcommand_from verify help" -l server -d 'Only records about this server\'s tools' -r
complete -c portero -n "__fish_portero_using_subcommand logs; and not __fish_seen_subcommand_from verify help" -l decision -d 'Only calls with this decision' -r -f -a "allowed\t''
asked\t''
refused\t''
failed\t''"
complete -c portero -n "__fish_portero_using_subcommand logs; and not __fish_seen_subcommand_from verify help" -l session -d 'Only this session: its id, or a beginning or end of it' -r
complete -c portero -n "__fish_portero_using_subcommand logs; and not __fish_seen_subcommand_from verify help" -l task -d 'Only this task: its id, or a beginning or end of it' -r
complete -c portero -n "__fish_portero_using_subcommand logs; and not __fish_seen_subcommand_from verify help" -l since -d 'Only records since this time: an age such as 2h, or a time such as 2026-11-20T10:00' -r
complete -c portero -n "__fish_portero_using_subcommand logs; and not __fish_seen_subcommand_from verify help" -l until -d 'Only records until this time, in the same forms' -r
complete -c portero -n "__fish_portero_using_subcommand logs; and not __fish_seen_subcommand_from verify help" -s n -l limit -d 'Print at most this many, the newest of them' -r
complete -c portero -n "__fish_portero_using_subcommand logs; and not __fish_seen_subcommand_from verify help" -l config -d 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform\'s]' -r -F
complete -c portero -n "__fish_portero_using_subcommand logs; and not __fish_seen_subcommand_from verify help" -s f -l follow -d 'Keep printing new records'
complete -c portero -n "__fish_portero_using_subcommand logs; and not __fish_seen_subcommand_from verify help" -l json -d 'Print JSON instead of text'
complete -c portero -n "__fish_portero_using_subcommand logs; and not __fish_seen_subcommand_from verify help" -l no-start -d 'Never start the daemon; fail if it is needed and not running'
complete -c portero -n "__fish_portero_using_subcommand logs; and not __fish_seen_subcommand_from verify help" -s h -l help -d 'Print help'
complete -c portero -n "__fish_portero_using_subcommand logs; and not __fish_seen_subcommand_from verify help" -f -a "verify" -d 'Check the hash chain for removed, changed, reordered or cut-off records'
complete -c portero -n "__fish_portero_using_subcommand logs; and not __fish_seen_subcommand_from verify help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c portero -n "__fish_portero_using_subcommand logs; and __fish_seen_subcommand_from verify" -l config -d 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform\'s]' -r -F
complete -c portero -n "__fish_portero_using_subcommand logs; and __fish_seen_subcommand_from verify" -l json -d 'Print JSON instead of text'
complete -c portero -n "__fish_portero_using_subcommand logs; and __fish_seen_subcommand_from verify" -l no-start -d 'Never start the daemon; fail if it is needed and not running'
complete -c portero -n "__fish_portero_using_subcommand logs; and __fish_seen_subcommand_from verify" -s h -l help -d 'Print help'
complete -c portero -n "__fish_portero_using_subcommand logs; and __fish_seen_subcommand_from help" -f -a "verify" -d 'Check the hash chain for removed, changed, reordered or cut-off records'
complete -c portero -n "__fish_portero_using_subcommand logs; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c portero -n "__fish_portero_using_subcommand why" -l args -d 'A file with a call\'s arguments as JSON, for rules that look at them; `-` reads standard input' -r -F
complete -c portero -n "__fish_portero_using_subcommand why" -l config -d 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform\'s]' -r -F
complete -c portero -n "__fish_portero_using_subcommand why" -l json -d 'Print JSON instead of text'
complete -c portero -n "__fish_portero_using_subcommand why" -l no-start -d 'Never start the daemon; fail if it is needed and not running'
complete -c portero -n "__fish_portero_using_subcommand why" -s h -l help -d 'Print help'
complete -c portero -n "__fish_portero_using_subcommand policy; and not __fish_seen_subcommand_from test replay help" -l config -d 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform\'s]' -r -F
complete -c portero -n "__fish_portero_using_subcommand policy; and not __fish_seen_subcommand_from test replay help" -l json -d 'Print JSON instead of text'
complete -c portero -n "__fish_portero_using_subcommand policy; and not __fish_seen_subcommand_from test replay help" -l no-start -d 'Never start the daemon; fail if it is needed and not running'
complete -c portero -n "__fish_portero_using_subcommand policy; and not __fish_seen_subcommand_from test replay help" -s h -l help -d 'Print help'
complete -c portero -n "__fish_portero_using_subcommand policy; and not __fish_seen_subcommand_from test replay help" -f -a "test" -d 'Decide each case of a file, and exit with 1 if a decision is not the expected one'
complete -c portero -n "__fish_portero_using_subcommand policy; and not __fish_seen_subcommand_from test replay help" -f -a "replay" -d 'Show which calls in the audit the present files would decide differently'
complete -c portero -n "__fish_portero_using_subcommand policy; and not __fish_seen_subcommand_from test replay help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c portero -n "__fish_portero_using_subcommand policy; and __fish_seen_subcommand_from test" -l config -d 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform\'s]' -r -F
complete -c portero -n "__fish_portero_using_subcommand policy; and __fish_seen_subcommand_from test" -l json -d 'Print JSON instead of text'
complete -c portero -n "__fish_portero_using_subcommand policy; and __fish_seen_subcommand_from test" -l no-start -d 'Never start the daemon; fail if it is needed and not running'
complete -c portero -n "__fish_portero_using_subcommand policy; and __fish_seen_subcommand_from test" -s h -l help -d 'Print help'
complete -c portero -n "__fish_portero_using_subcommand policy; and __fish_seen_subcommand_from replay" -l since -d 'How far back' -r
complete -c portero -n "__fish_portero_using_subcommand policy; and __fish_seen_subcommand_from replay" -l config -d 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform\'s]' -r -F
complete -c portero -n "__fish_portero_using_subcommand policy; and __fish_seen_subcommand_from replay" -l json -d 'Print JSON instead of text'
complete -c portero -n "__fish_portero_using_subcommand policy; and __fish_seen_subcommand_from replay" -l no-start -d 'Never start the daemon; fail if it is needed and not running'
complete -c portero -n "__fish_portero_using_subcommand policy; and __fish_seen_subcommand_from replay" -s h -l help -d 'Print help'
complete -c portero -n "__fish_portero_using_subcommand policy; and __fish_seen_subcommand_from help" -f -a "test" -d 'Decide each case of a file, and exit with 1 if a decision is not the expected one'
complete -c portero -n "__fish_portero_using_subcommand policy; and __fish_seen_subcommand_from help" -f -a "replay" -d 'Show which calls in the audit the present files would decide differently'
complete -c portero -n "__fish_portero_using_subcommand policy; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c portero -n "__fish_portero_using_subcommand anonymize" -l server -d 'The server that says the text, or gets it' -r
complete -c portero -n "__fish_portero_using_subcommand anonymize" -l config -d 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform\'s]' -r -F
complete -c portero -n "__fish_portero_using_subcommand anonymize" -l reveal -d 'Replace fakes by real values, as toward a server; without `--server`, only those that every server may see'
complete -c portero -n "__fish_portero_using_subcommand anonymize" -l explain -d 'Tell on standard error what was replaced where'
complete -c portero -n "__fish_portero_using_subcommand anonymize" -l json -d 'Print JSON instead of text'
complete -c portero -n "__fish_portero_using_subcommand anonymize" -l no-start -d 'Never start the daemon; fail if it is needed and not running'
complete -c portero -n "__fish_portero_using_subcommand anonymize" -s h -l help -d 'Print help'
complete -c portero -n "__fish_portero_using_subcommand replacements; and not __fish_seen_subcommand_from list suggest help" -l config -d 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform\'s]' -r -F
complete -c portero -n "__fish_portero_using_subcommand replacements; and not __fish_seen_subcommand_from list suggest help" -l json -d 'Print JSON instead of text'
complete -c portero -n "__fish_portero_using_subcommand replacements; and not __fish_seen_subcommand_from list suggest help" -l no-start -d 'Never start the daemon; fail if it is needed and not running'
complete -c portero -n "__fish_portero_using_subcommand replacements; and not __fish_seen_subcommand_from list suggest help" -s h -l help -d 'Print help'
complete -c portero -n "__fish_portero_using_subcommand replacements; and not __fish_seen_subcommand_from list suggest help" -f -a "list" -d 'List the replacements in force, by their fakes'
complete -c portero -n "__fish_portero_using_subcommand replacements; and not __fish_seen_subcommand_from list suggest help" -f -a "suggest" -d 'Propose fakes: uncommon names, and addresses and numbers that belong to nobody'
complete -c portero -n "__fish_portero_using_subcommand replacements; and not __fish_seen_subcommand_from list suggest help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c portero -n "__fish_portero_using_subcommand replacements; and __fish_seen_subcommand_from list" -l config -d 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform\'s]' -r -F
complete -c portero -n "__fish_portero_using_subcommand replacements; and __fish_seen_subcommand_from list" -l json -d 'Print JSON instead of text'
complete -c portero -n "__fish_portero_using_subcommand replacements; and __fish_seen_subcommand_from list" -l no-start -d 'Never start the daemon; fail if it is needed and not running'
complete -c portero -n "__fish_portero_using_subcommand replacements; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c portero -n "__fish_portero_using_subcommand replacements; and __fish_seen_subcommand_from suggest" -l for -d 'The variable with the real value, in the environment or in .env; the fakes get its shape' -r
complete -c portero -n "__fish_portero_using_subcommand replacements; and __fish_seen_subcommand_from suggest" -l seed -d 'A number; the same one proposes the same fakes' -r
complete -c portero -n "__fish_portero_using_subcommand replacements; and __fish_seen_subcommand_from suggest" -l count -d 'How many to propose' -r
complete -c portero -n "__fish_portero_using_subcommand replacements; and __fish_seen_subcommand_from suggest" -l config -d 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform\'s]' -r -F
complete -c portero -n "__fish_portero_using_subcommand replacements; and __fish_seen_subcommand_from suggest" -l json -d 'Print JSON instead of text'
complete -c portero -n "__fish_portero_using_subcommand replacements; and __fish_seen_subcommand_from suggest" -l no-start -d 'Never start the daemon; fail if it is needed and not running'
complete -c portero -n "__fish_portero_using_subcommand replacements; and __fish_seen_subcommand_from suggest" -s h -l help -d 'Print help'
complete -c portero -n "__fish_portero_using_subcommand replacements; and __fish_seen_subcommand_from help" -f -a "list" -d 'List the replacements in force, by their fakes'
complete -c portero -n "__fish_portero_using_subcommand replacements; and __fish_seen_subcommand_from help" -f -a "suggest" -d 'Propose fakes: uncommon names, and addresses and numbers that belong to nobody'
complete -c portero -n "__fish_portero_using_subcommand replacements; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c portero -n "__fish_portero_using_subcommand check" -l config -d 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform\'s]' -r -F
complete -c portero -n "__fish_portero_using_subcommand check" -l json -d 'Print JSON instead of text'
complete -c portero -n "__fish_portero_using_subcommand check" -l no-start -d 'Never start the daemon; fail if it is needed and not running'
complete -c portero -n "__fish_portero_using_subcommand check" -s h -l help -d 'Print help'
complete -c portero -n "__fish_portero_using_subcommand config; and not __fish_seen_subcommand_from diff confirm help" -l config -d 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform\'s]' -r -F
complete -c portero -n "__fish_portero_using_subcommand config; and not __fish_seen_subcommand_from diff confirm help" -l json -d 'Print JSON instead of text'
complete -c portero -n "__fish_portero_using_subcommand config; and not __fish_seen_subcommand_from diff confirm help" -l no-start -d 'Never start the daemon; fail if it is needed and not running'
complete -c portero -n "__fish_portero_using_subcommand config; and not __fish_seen_subcommand_from diff confirm help" -s h -l help -d 'Print help'
complete -c portero -n "__fish_portero_using_subcommand config; and not __fish_seen_subcommand_from diff confirm help" -f -a "diff" -d 'Show how the files differ from what you confirmed'
complete -c portero -n "__fish_portero_using_subcommand config; and not __fish_seen_subcommand_from diff confirm help" -f -a "confirm" -d 'Confirm the files as they are now; asks for the passphrase, or a tap on Telegram'
complete -c portero -n "__fish_portero_using_subcommand config; and not __fish_seen_subcommand_from diff confirm help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c portero -n "__fish_portero_using_subcommand config; and __fish_seen_subcommand_from diff" -l config -d 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform\'s]' -r -F
complete -c portero -n "__fish_portero_using_subcommand config; and __fish_seen_subcommand_from diff" -l json -d 'Print JSON instead of text'
complete -c portero -n "__fish_portero_using_subcommand config; and __fish_seen_subcommand_from diff" -l no-start -d 'Never start the daemon; fail if it is needed and not running'
complete -c portero -n "__fish_portero_using_subcommand config; and __fish_seen_subcommand_from diff" -s h -l help -d 'Print help'
complete -c portero -n "__fish_portero_using_subcommand config; and __fish_seen_subcommand_from confirm" -l config -d 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform\'s]' -r -F
complete -c portero -n "__fish_portero_using_subcommand config; and __fish_seen_subcommand_from confirm" -l telegram -d 'Confirm on Telegram instead of with the passphrase: tap the number that the terminal shows'
complete -c portero -n "__fish_portero_using_subcommand config; and __fish_seen_subcommand_from confirm" -l json -d 'Print JSON instead of text'
complete -c portero -n "__fish_portero_using_subcommand config; and __fish_seen_subcommand_from confirm" -l no-start -d 'Never start the daemon; fail if it is needed and not running'
complete -c portero -n "__fish_portero_using_subcommand config; and __fish_seen_subcommand_from confirm" -s h -l help -d 'Print help'
complete -c portero -n "__fish_portero_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "diff" -d 'Show how the files differ from what you confirmed'
complete -c portero -n "__fish_portero_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "confirm" -d 'Confirm the files as they are now; asks for the passphrase, or a tap on Telegram'
complete -c portero -n "__fish_portero_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c portero -n "__fish_portero_using_subcommand doctor" -l config -d 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform\'s]' -r -F
complete -c portero -n "__fish_portero_using_subcommand doctor" -l json -d 'Print JSON instead of text'
complete -c portero -n "__fish_portero_using_subcommand doctor" -l no-start -d 'Never start the daemon; fail if it is needed and not running'
complete -c portero -n "__fish_portero_using_subcommand doctor" -s h -l help -d 'Print help'
complete -c portero -n "__fish_portero_using_subcommand daemon; and not __fish_seen_subcommand_from start stop status help" -l config -d 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform\'s]' -r -F
complete -c portero -n "__fish_portero_using_subcommand daemon; and not __fish_seen_subcommand_from start stop status help" -l json -d 'Print JSON instead of text'
complete -c portero -n "__fish_portero_using_subcommand daemon; and not __fish_seen_subcommand_from start stop status help" -l no-start -d 'Never start the daemon; fail if it is needed and not running'
complete -c portero -n "__fish_portero_using_subcommand daemon; and not __fish_seen_subcommand_from start stop status help" -s h -l help -d 'Print help'
complete -c portero -n "__fish_portero_using_subcommand daemon; and not __fish_seen_subcommand_from start stop status help" -f -a "start" -d 'Start it, and return once it listens'
complete -c portero -n "__fish_portero_using_subcommand daemon; and not __fish_seen_subcommand_from start stop status help" -f -a "stop" -d 'Stop it, and return once it has ended'
complete -c portero -n "__fish_portero_using_subcommand daemon; and not __fish_seen_subcommand_from start stop status help" -f -a "status" -d 'Tell whether it runs'
complete -c portero -n "__fish_portero_using_subcommand daemon; and not __fish_seen_subcommand_from start stop status help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c portero -n "__fish_portero_using_subcommand daemon; and __fish_seen_subcommand_from start" -l config -d 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform\'s]' -r -F
complete -c portero -n "__fish_portero_using_subcommand daemon; and __fish_seen_subcommand_from start" -l json -d 'Print JSON instead of text'
complete -c portero -n "__fish_portero_using_subcommand daemon; and __fish_seen_subcommand_from start" -l no-start -d 'Never start the daemon; fail if it is needed and not running'
complete -c portero -n "__fish_portero_using_subcommand daemon; and __fish_seen_subcommand_from start" -s h -l help -d 'Print help'
complete -c portero -n "__fish_portero_using_subcommand daemon; and __fish_seen_subcommand_from stop" -l config -d 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform\'s]' -r -F
complete -c portero -n "__fish_portero_using_subcommand daemon; and __fish_seen_subcommand_from stop" -l json -d 'Print JSON instead of text'
complete -c portero -n "__fish_portero_using_subcommand daemon; and __fish_seen_subcommand_from stop" -l no-start -d 'Never start the daemon; fail if it is needed and not running'
complete -c portero -n "__fish_portero_using_subcommand daemon; and __fish_seen_subcommand_from stop" -s h -l help -d 'Print help'
complete -c portero -n "__fish_portero_using_subcommand daemon; and __fish_seen_subcommand_from status" -l config -d 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform\'s]' -r -F
complete -c portero -n "__fish_portero_using_subcommand daemon; and __fish_seen_subcommand_from status" -l json -d 'Print JSON instead of text'
complete -c portero -n "__fish_portero_using_subcommand daemon; and __fish_seen_subcommand_from status" -l no-start -d 'Never start the daemon; fail if it is needed and not running'
complete -c portero -n "__fish_portero_using_subcommand daemon; and __fish_seen_subcommand_from status" -s h -l help -d 'Print help'
complete -c portero -n "__fish_portero_using_subcommand daemon; and __fish_seen_subcommand_from help" -f -a "start" -d 'Start it, and return once it listens'
complete -c portero -n "__fish_portero_using_subcommand daemon; and __fish_seen_subcommand_from help" -f -a "stop" -d 'Stop it, and return once it has ended'
complete -c portero -n "__fish_portero_using_subcommand daemon; and __fish_seen_subcommand_from help" -f -a "status" -d 'Tell whether it runs'
complete -c portero -n "__fish_portero_using_subcommand daemon; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c portero -n "__fish_portero_using_subcommand passphrase; and not __fish_seen_subcommand_from set help" -l config -d 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform\'s]' -r -F
complete -c portero -n "__fish_portero_using_subcommand passphrase; and not __fish_seen_subcommand_from set help" -l json -d 'Print JSON instead of text'
complete -c portero -n "__fish_portero_using_subcommand passphrase; and not __fish_seen_subcommand_from set help" -l no-start -d 'Never start the daemon; fail if it is needed and not running'
complete -c portero -n "__fish_portero_using_subcommand passphrase; and not __fish_seen_subcommand_from set help" -s h -l help -d 'Print help'
complete -c portero -n "__fish_portero_using_subcommand passphrase; and not __fish_seen_subcommand_from set help" -f -a "set" -d 'Set the passphrase, or change it with the old one'
complete -c portero -n "__fish_portero_using_subcommand passphrase; and not __fish_seen_subcommand_from set help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c portero -n "__fish_portero_using_subcommand passphrase; and __fish_seen_subcommand_from set" -l config -d 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform\'s]' -r -F
complete -c portero -n "__fish_portero_using_subcommand passphrase; and __fish_seen_subcommand_from set" -l json -d 'Print JSON instead of text'
complete -c portero -n "__fish_portero_using_subcommand passphrase; and __fish_seen_subcommand_from set" -l no-start -d 'Never start the daemon; fail if it is needed and not running'
complete -c portero -n "__fish_portero_using_subcommand passphrase; and __fish_seen_subcommand_from set" -s h -l help -d 'Print help'
complete -c portero -n "__fish_portero_using_subcommand passphrase; and __fish_seen_subcommand_from help" -f -a "set" -d 'Set the passphrase, or change it with the old one'
complete -c portero -n "__fish_portero_using_subcommand passphrase; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c portero -n "__fish_portero_using_subcommand totp; and not __fish_seen_subcommand_from enroll remove help" -l config -d 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform\'s]' -r -F
complete -c portero -n "__fish_portero_using_subcommand totp; and not __fish_seen_subcommand_from enroll remove help" -l json -d 'Print JSON instead of text'
complete -c portero -n "__fish_portero_using_subcommand totp; and not __fish_seen_subcommand_from enroll remove help" -l no-start -d 'Never start the daemon; fail if it is needed and not running'
complete -c portero -n "__fish_portero_using_subcommand totp; and not __fish_seen_subcommand_from enroll remove help" -s h -l help -d 'Print help'
complete -c portero -n "__fish_portero_using_subcommand totp; and not __fish_seen_subcommand_from enroll remove help" -f -a "enroll" -d 'Show a new secret for an authenticator app, and require its codes from then on'
complete -c portero -n "__fish_portero_using_subcommand totp; and not __fish_seen_subcommand_from enroll remove help" -f -a "remove" -d 'Remove the authenticator; asks for the passphrase and a code, or a recovery code'
complete -c portero -n "__fish_portero_using_subcommand totp; and not __fish_seen_subcommand_from enroll remove help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c portero -n "__fish_portero_using_subcommand totp; and __fish_seen_subcommand_from enroll" -l config -d 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform\'s]' -r -F
complete -c portero -n "__fish_portero_using_subcommand totp; and __fish_seen_subcommand_from enroll" -l json -d 'Print JSON instead of text'
complete -c portero -n "__fish_portero_using_subcommand totp; and __fish_seen_subcommand_from enroll" -l no-start -d 'Never start the daemon; fail if it is needed and not running'
complete -c portero -n "__fish_portero_using_subcommand totp; and __fish_seen_subcommand_from enroll" -s h -l help -d 'Print help'
complete -c portero -n "__fish_portero_using_subcommand totp; and __fish_seen_subcommand_from remove" -l config -d 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform\'s]' -r -F
complete -c portero -n "__fish_portero_using_subcommand totp; and __fish_seen_subcommand_from remove" -l json -d 'Print JSON instead of text'
complete -c portero -n "__fish_portero_using_subcommand totp; and __fish_seen_subcommand_from remove" -l no-start -d 'Never start the daemon; fail if it is needed and not running'
complete -c portero -n "__fish_portero_using_subcommand totp; and __fish_seen_subcommand_from remove" -s h -l help -d 'Print help'
complete -c portero -n "__fish_portero_using_subcommand totp; and __fish_seen_subcommand_from help" -f -a "enroll" -d 'Show a new secret for an authenticator app, and require its codes from then on'
complete -c portero -n "__fish_portero_using_subcommand totp; and __fish_seen_subcommand_from help" -f -a "remove" -d 'Remove the authenticator; asks for the passphrase and a code, or a recovery code'
complete -c portero -n "__fish_portero_using_subcommand totp; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c portero -n "__fish_portero_using_subcommand telegram; and not __fish_seen_subcommand_from pair unpair help" -l config -d 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform\'s]' -r -F
complete -c portero -n "__fish_portero_using_subcommand telegram; and not __fish_seen_subcommand_from pair unpair help" -l json -d 'Print JSON instead of text'
complete -c portero -n "__fish_portero_using_subcommand telegram; and not __fish_seen_subcommand_from pair unpair help" -l no-start -d 'Never start the daemon; fail if it is needed and not running'
complete -c portero -n "__fish_portero_using_subcommand telegram; and not __fish_seen_subcommand_from pair unpair help" -s h -l help -d 'Print help'
complete -c portero -n "__fish_portero_using_subcommand telegram; and not __fish_seen_subcommand_from pair unpair help" -f -a "pair" -d 'Show a code that pairs the bot with you; it is valid for five minutes and five tries'
complete -c portero -n "__fish_portero_using_subcommand telegram; and not __fish_seen_subcommand_from pair unpair help" -f -a "unpair" -d 'End the pairing, so that another person can be paired; asks for the passphrase'
complete -c portero -n "__fish_portero_using_subcommand telegram; and not __fish_seen_subcommand_from pair unpair help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c portero -n "__fish_portero_using_subcommand telegram; and __fish_seen_subcommand_from pair" -l config -d 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform\'s]' -r -F
complete -c portero -n "__fish_portero_using_subcommand telegram; and __fish_seen_subcommand_from pair" -l json -d 'Print JSON instead of text'
complete -c portero -n "__fish_portero_using_subcommand telegram; and __fish_seen_subcommand_from pair" -l no-start -d 'Never start the daemon; fail if it is needed and not running'
complete -c portero -n "__fish_portero_using_subcommand telegram; and __fish_seen_subcommand_from pair" -s h -l help -d 'Print help'
complete -c portero -n "__fish_portero_using_subcommand telegram; and __fish_seen_subcommand_from unpair" -l config -d 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform\'s]' -r -F
complete -c portero -n "__fish_portero_using_subcommand telegram; and __fish_seen_subcommand_from unpair" -l json -d 'Print JSON instead of text'
complete -c portero -n "__fish_portero_using_subcommand telegram; and __fish_seen_subcommand_from unpair" -l no-start -d 'Never start the daemon; fail if it is needed and not running'
complete -c portero -n "__fish_portero_using_subcommand telegram; and __fish_seen_subcommand_from unpair" -s h -l help -d 'Print help'
complete -c portero -n "__fish_portero_using_subcommand telegram; and __fish_seen_subcommand_from help" -f -a "pair" -d 'Show a code that pairs the bot with you; it is valid for five minutes and five tries'
complete -c portero -n "__fish_portero_using_subcommand telegram; and __fish_seen_subcommand_from help" -f -a "unpair" -d 'End the pairing, so that another person can be paired; asks for the passphrase'
complete -c portero -n "__fish_portero_using_subcommand telegram; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c portero -n "__fish_portero_using_subcommand https; and not __fish_seen_subcommand_from cert help" -l config -d 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform\'s]' -r -F
complete -c portero -n "__fish_portero_using_subcommand https; and not __fish_seen_subcommand_from cert help" -l json -d 'Print JSON instead of text'
complete -c portero -n "__fish_portero_using_subcommand https; and not __fish_seen_subcommand_from cert help" -l no-start -d 'Never start the daemon; fail if it is needed and not running'
complete -c portero -n "__fish_portero_using_subcommand https; and not __fish_seen_subcommand_from cert help" -s h -l help -d 'Print help'
complete -c portero -n "__fish_portero_using_subcommand https; and not __fish_seen_subcommand_from cert help" -f -a "cert" -d 'Show the certificate\'s file, its SHA-256 fingerprint and when it expires'
complete -c portero -n "__fish_portero_using_subcommand https; and not __fish_seen_subcommand_from cert help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c portero -n "__fish_portero_using_subcommand https; and __fish_seen_subcommand_from cert" -l config -d 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform\'s]' -r -F
complete -c portero -n "__fish_portero_using_subcommand https; and __fish_seen_subcommand_from cert" -l json -d 'Print JSON instead of text'
complete -c portero -n "__fish_portero_using_subcommand https; and __fish_seen_subcommand_from cert" -l no-start -d 'Never start the daemon; fail if it is needed and not running'
complete -c portero -n "__fish_portero_using_subcommand https; and __fish_seen_subcommand_from cert" -s h -l help -d 'Print help'
complete -c portero -n "__fish_portero_using_subcommand https; and __fish_seen_subcommand_from help" -f -a "cert" -d 'Show the certificate\'s file, its SHA-256 fingerprint and when it expires'
complete -c portero -n "__fish_portero_using_subcommand https; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c portero -n "__fish_portero_using_subcommand secret; and not __fish_seen_subcommand_from set list clear help" -l config -d 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform\'s]' -r -F
complete -c portero -n "__fish_portero_using_subcommand secret; and not __fish_seen_subcommand_from set list clear help" -l json -d 'Print JSON instead of text'
complete -c portero -n "__fish_portero_using_subcommand secret; and not __fish_seen_subcommand_from set list clear help" -l no-start -d 'Never start the daemon; fail if it is needed and not running'
complete -c portero -n "__fish_portero_using_subcommand secret; and not __fish_seen_subcommand_from set list clear help" -s h -l help -d 'Print help'
complete -c portero -n "__fish_portero_using_subcommand secret; and not __fish_seen_subcommand_from set list clear help" -f -a "set" -d 'Set a secret, or replace it; asks for its value without showing it, and for the passphrase'
complete -c portero -n "__fish_portero_using_subcommand secret; and not __fish_seen_subcommand_from set list clear help" -f -a "list" -d 'List the secrets that are set, never their values'
complete -c portero -n "__fish_portero_using_subcommand secret; and not __fish_seen_subcommand_from set list clear help" -f -a "clear" -d 'Forget secrets at once, and end the servers that use them'
complete -c portero -n "__fish_portero_using_subcommand secret; and not __fish_seen_subcommand_from set list clear help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c portero -n "__fish_portero_using_subcommand secret; and __fish_seen_subcommand_from set" -l ttl -d 'Forget it after this time, such as 15m or 8h [default: when the daemon ends]' -r
complete -c portero -n "__fish_portero_using_subcommand secret; and __fish_seen_subcommand_from set" -l config -d 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform\'s]' -r -F
complete -c portero -n "__fish_portero_using_subcommand secret; and __fish_seen_subcommand_from set" -l keep -d 'Keep it, encrypted in Portero\'s store, until it is cleared'
complete -c portero -n "__fish_portero_using_subcommand secret; and __fish_seen_subcommand_from set" -l json -d 'Print JSON instead of text'
complete -c portero -n "__fish_portero_using_subcommand secret; and __fish_seen_subcommand_from set" -l no-start -d 'Never start the daemon; fail if it is needed and not running'
complete -c portero -n "__fish_portero_using_subcommand secret; and __fish_seen_subcommand_from set" -s h -l help -d 'Print help'
complete -c portero -n "__fish_portero_using_subcommand secret; and __fish_seen_subcommand_from list" -l config -d 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform\'s]' -r -F
complete -c portero -n "__fish_portero_using_subcommand secret; and __fish_seen_subcommand_from list" -l json -d 'Print JSON instead of text'
complete -c portero -n "__fish_portero_using_subcommand secret; and __fish_seen_subcommand_from list" -l no-start -d 'Never start the daemon; fail if it is needed and not running'
complete -c portero -n "__fish_portero_using_subcommand secret; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c portero -n "__fish_portero_using_subcommand secret; and __fish_seen_subcommand_from clear" -l config -d 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform\'s]' -r -F
complete -c portero -n "__fish_portero_using_subcommand secret; and __fish_seen_subcommand_from clear" -l all -d 'Forget every secret'
complete -c portero -n "__fish_portero_using_subcommand secret; and __fish_seen_subcommand_from clear" -l json -d 'Print JSON instead of text'
complete -c portero -n "__fish_portero_using_subcommand secret; and __fish_seen_subcommand_from clear" -l no-start -d 'Never start the daemon; fail if it is needed and not running'
complete -c portero -n "__fish_portero_using_subcommand secret; and __fish_seen_subcommand_from clear" -s h -l help -d 'Print help'
complete -c portero -n "__fish_portero_using_subcommand secret; and __fish_seen_subcommand_from help" -f -a "set" -d 'Set a secret, or replace it; asks for its value without showing it, and for the passphrase'
complete -c portero -n "__fish_portero_using_subcommand secret; and __fish_seen_subcommand_from help" -f -a "list" -d 'List the secrets that are set, never their values'
complete -c portero -n "__fish_portero_using_subcommand secret; and __fish_seen_subcommand_from help" -f -a "clear" -d 'Forget secrets at once, and end the servers that use them'
complete -c portero -n "__fish_portero_using_subcommand secret; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c portero -n "__fish_portero_using_subcommand token; and not __fish_seen_subcommand_from create list revoke help" -l config -d 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform\'s]' -r -F
complete -c portero -n "__fish_portero_using_subcommand token; and not __fish_seen_subcommand_from create list revoke help" -l json -d 'Print JSON instead of text'
complete -c portero -n "__fish_portero_using_subcommand token; and not __fish_seen_subcommand_from create list revoke help" -l no-start -d 'Never start the daemon; fail if it is needed and not running'
complete -c portero -n "__fish_portero_using_subcommand token; and not __fish_seen_subcommand_from create list revoke help" -s h -l help -d 'Print help'
complete -c portero -n "__fish_portero_using_subcommand token; and not __fish_seen_subcommand_from create list revoke help" -f -a "create" -d 'Make a token and show it once; asks for the passphrase, or a tap on Telegram'
complete -c portero -n "__fish_portero_using_subcommand token; and not __fish_seen_subcommand_from create list revoke help" -f -a "list" -d 'List the tokens: what each reaches, and when it was made, ends, and was last used'
complete -c portero -n "__fish_portero_using_subcommand token; and not __fish_seen_subcommand_from create list revoke help" -f -a "revoke" -d 'End a token and its open sessions at once'
complete -c portero -n "__fish_portero_using_subcommand token; and not __fish_seen_subcommand_from create list revoke help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c portero -n "__fish_portero_using_subcommand token; and __fish_seen_subcommand_from create" -l servers -d 'Only these servers, or patterns over servers such as `note*`' -r
complete -c portero -n "__fish_portero_using_subcommand token; and __fish_seen_subcommand_from create" -l tools -d 'Only these tools, or patterns over tools such as `github/list_*`' -r
complete -c portero -n "__fish_portero_using_subcommand token; and __fish_seen_subcommand_from create" -l expires -d 'How long it is valid, such as 12h or 30d [default: until it is revoked]' -r
complete -c portero -n "__fish_portero_using_subcommand token; and __fish_seen_subcommand_from create" -l config -d 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform\'s]' -r -F
complete -c portero -n "__fish_portero_using_subcommand token; and __fish_seen_subcommand_from create" -l telegram -d 'Confirm on Telegram instead of with the passphrase: tap the number that the terminal shows'
complete -c portero -n "__fish_portero_using_subcommand token; and __fish_seen_subcommand_from create" -l json -d 'Print JSON instead of text'
complete -c portero -n "__fish_portero_using_subcommand token; and __fish_seen_subcommand_from create" -l no-start -d 'Never start the daemon; fail if it is needed and not running'
complete -c portero -n "__fish_portero_using_subcommand token; and __fish_seen_subcommand_from create" -s h -l help -d 'Print help'
complete -c portero -n "__fish_portero_using_subcommand token; and __fish_seen_subcommand_from list" -l config -d 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform\'s]' -r -F
complete -c portero -n "__fish_portero_using_subcommand token; and __fish_seen_subcommand_from list" -l json -d 'Print JSON instead of text'
complete -c portero -n "__fish_portero_using_subcommand token; and __fish_seen_subcommand_from list" -l no-start -d 'Never start the daemon; fail if it is needed and not running'
complete -c portero -n "__fish_portero_using_subcommand token; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c portero -n "__fish_portero_using_subcommand token; and __fish_seen_subcommand_from revoke" -l config -d 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform\'s]' -r -F
complete -c portero -n "__fish_portero_using_subcommand token; and __fish_seen_subcommand_from revoke" -l json -d 'Print JSON instead of text'
complete -c portero -n "__fish_portero_using_subcommand token; and __fish_seen_subcommand_from revoke" -l no-start -d 'Never start the daemon; fail if it is needed and not running'
complete -c portero -n "__fish_portero_using_subcommand token; and __fish_seen_subcommand_from revoke" -s h -l help -d 'Print help'
complete -c portero -n "__fish_portero_using_subcommand token; and __fish_seen_subcommand_from help" -f -a "create" -d 'Make a token and show it once; asks for the passphrase, or a tap on Telegram'
complete -c portero -n "__fish_portero_using_subcommand token; and __fish_seen_subcommand_from help" -f -a "list" -d 'List the tokens: what each reaches, and when it was made, ends, and was last used'
complete -c portero -n "__fish_portero_using_subcommand token; and __fish_seen_subcommand_from help" -f -a "revoke" -d 'End a token and its open sessions at once'
complete -c portero -n "__fish_portero_using_subcommand token; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c portero -n "__fish_portero_using_subcommand mcp" -l config -d 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform\'s]' -r -F
complete -c portero -n "__fish_portero_using_subcommand mcp" -l json -d 'Print JSON instead of text'
complete -c portero -n "__fish_portero_using_subcommand mcp" -l no-start -d 'Never start the daemon; fail if it is needed and not running'
complete -c portero -n "__fish_portero_using_subcommand mcp" -s h -l help -d 'Print help'
complete -c portero -n "__fish_portero_using_subcommand connect" -l token-file -d 'A file with the token, which no other user can read [default: the variable PORTERO_TOKEN]' -r -F
complete -c portero -n "__fish_portero_using_subcommand connect" -l header-file -d 'A file with further headers, `Name: value` on each line, which no other user can read' -r -F
complete -c portero -n "__fish_portero_using_subcommand connect" -l ca-file -d 'A file with further certificate authorities in PEM, such as a self-signed certificate' -r -F
complete -c portero -n "__fish_portero_using_subcommand connect" -l config -d 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform\'s]' -r -F
complete -c portero -n "__fish_portero_using_subcommand connect" -l json -d 'Print JSON instead of text'
complete -c portero -n "__fish_portero_using_subcommand connect" -l no-start -d 'Never start the daemon; fail if it is needed and not running'
complete -c portero -n "__fish_portero_using_subcommand connect" -s h -l help -d 'Print help'
complete -c portero -n "__fish_portero_using_subcommand try" -l config -d 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform\'s]' -r -F
complete -c portero -n "__fish_portero_using_subcommand try" -l yes -d 'Answer every question with yes, for unattended runs'
complete -c portero -n "__fish_portero_using_subcommand try" -l json -d 'Print JSON instead of text'
complete -c portero -n "__fish_portero_using_subcommand try" -l no-start -d 'Never start the daemon; fail if it is needed and not running'
complete -c portero -n "__fish_portero_using_subcommand try" -s h -l help -d 'Print help'
complete -c portero -n "__fish_portero_using_subcommand sample-server" -l record -d 'Append each call that arrives to this file, one JSON object a line' -r -F
complete -c portero -n "__fish_portero_using_subcommand sample-server" -l config -d 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform\'s]' -r -F
complete -c portero -n "__fish_portero_using_subcommand sample-server" -l json -d 'Print JSON instead of text'
complete -c portero -n "__fish_portero_using_subcommand sample-server" -l no-start -d 'Never start the daemon; fail if it is needed and not running'
complete -c portero -n "__fish_portero_using_subcommand sample-server" -s h -l help -d 'Print help'
complete -c portero -n "__fish_portero_using_subcommand generate" -l config -d 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform\'s]' -r -F
complete -c portero -n "__fish_portero_using_subcommand generate" -l json -d 'Print JSON instead of text'
complete -c portero -n "__fish_portero_using_subcommand generate" -l no-start -d 'Never start the daemon; fail if it is needed and not running'
complete -c portero -n "__fish_portero_using_subcommand generate" -s h -l help -d 'Print help'
complete -c portero -n "__fish_portero_using_subcommand help; and not __fish_seen_subcommand_from status tasks task pending approve reject again grant revoke allow ask deny pause resume rules unrule pins login logout logs why policy anonymize replacements check config doctor daemon passphrase totp telegram https secret token mcp connect try sample-server generate help" -f -a "status" -d 'Show the daemon, its servers, sessions and rules, and how many calls wait for you'
complete -c portero -n "__fish_portero_using_subcommand help; and not __fish_seen_subcommand_from status tasks task pending approve reject again grant revoke allow ask deny pause resume rules unrule pins login logout logs why policy anonymize replacements check config doctor daemon passphrase totp telegram https secret token mcp connect try sample-server generate help" -f -a "tasks" -d 'List tasks: the calls that wait for you, or did'
complete -c portero -n "__fish_portero_using_subcommand help; and not __fish_seen_subcommand_from status tasks task pending approve reject again grant revoke allow ask deny pause resume rules unrule pins login logout logs why policy anonymize replacements check config doctor daemon passphrase totp telegram https secret token mcp connect try sample-server generate help" -f -a "task" -d 'Show one task in full: the call, its arguments, its result'
complete -c portero -n "__fish_portero_using_subcommand help; and not __fish_seen_subcommand_from status tasks task pending approve reject again grant revoke allow ask deny pause resume rules unrule pins login logout logs why policy anonymize replacements check config doctor daemon passphrase totp telegram https secret token mcp connect try sample-server generate help" -f -a "pending" -d 'List the calls that wait for you'
complete -c portero -n "__fish_portero_using_subcommand help; and not __fish_seen_subcommand_from status tasks task pending approve reject again grant revoke allow ask deny pause resume rules unrule pins login logout logs why policy anonymize replacements check config doctor daemon passphrase totp telegram https secret token mcp connect try sample-server generate help" -f -a "approve" -d 'Approve waiting calls and show how they end; asks for the passphrase, or a tap on Telegram'
complete -c portero -n "__fish_portero_using_subcommand help; and not __fish_seen_subcommand_from status tasks task pending approve reject again grant revoke allow ask deny pause resume rules unrule pins login logout logs why policy anonymize replacements check config doctor daemon passphrase totp telegram https secret token mcp connect try sample-server generate help" -f -a "reject" -d 'Reject waiting calls'
complete -c portero -n "__fish_portero_using_subcommand help; and not __fish_seen_subcommand_from status tasks task pending approve reject again grant revoke allow ask deny pause resume rules unrule pins login logout logs why policy anonymize replacements check config doctor daemon passphrase totp telegram https secret token mcp connect try sample-server generate help" -f -a "again" -d 'Submit an ended call again; it waits for your approval like any other'
complete -c portero -n "__fish_portero_using_subcommand help; and not __fish_seen_subcommand_from status tasks task pending approve reject again grant revoke allow ask deny pause resume rules unrule pins login logout logs why policy anonymize replacements check config doctor daemon passphrase totp telegram https secret token mcp connect try sample-server generate help" -f -a "grant" -d 'Let tools run unasked for a while; asks for the passphrase, or a tap on Telegram'
complete -c portero -n "__fish_portero_using_subcommand help; and not __fish_seen_subcommand_from status tasks task pending approve reject again grant revoke allow ask deny pause resume rules unrule pins login logout logs why policy anonymize replacements check config doctor daemon passphrase totp telegram https secret token mcp connect try sample-server generate help" -f -a "revoke" -d 'End grants at once'
complete -c portero -n "__fish_portero_using_subcommand help; and not __fish_seen_subcommand_from status tasks task pending approve reject again grant revoke allow ask deny pause resume rules unrule pins login logout logs why policy anonymize replacements check config doctor daemon passphrase totp telegram https secret token mcp connect try sample-server generate help" -f -a "allow" -d 'Add a rule that allows tools; asks for the passphrase, or a tap on Telegram'
complete -c portero -n "__fish_portero_using_subcommand help; and not __fish_seen_subcommand_from status tasks task pending approve reject again grant revoke allow ask deny pause resume rules unrule pins login logout logs why policy anonymize replacements check config doctor daemon passphrase totp telegram https secret token mcp connect try sample-server generate help" -f -a "ask" -d 'Add a rule that requires approval, in every session at once'
complete -c portero -n "__fish_portero_using_subcommand help; and not __fish_seen_subcommand_from status tasks task pending approve reject again grant revoke allow ask deny pause resume rules unrule pins login logout logs why policy anonymize replacements check config doctor daemon passphrase totp telegram https secret token mcp connect try sample-server generate help" -f -a "deny" -d 'Add a rule that denies tools, in every session at once'
complete -c portero -n "__fish_portero_using_subcommand help; and not __fish_seen_subcommand_from status tasks task pending approve reject again grant revoke allow ask deny pause resume rules unrule pins login logout logs why policy anonymize replacements check config doctor daemon passphrase totp telegram https secret token mcp connect try sample-server generate help" -f -a "pause" -d 'Stop all calls in every session at once, until `portero resume`'
complete -c portero -n "__fish_portero_using_subcommand help; and not __fish_seen_subcommand_from status tasks task pending approve reject again grant revoke allow ask deny pause resume rules unrule pins login logout logs why policy anonymize replacements check config doctor daemon passphrase totp telegram https secret token mcp connect try sample-server generate help" -f -a "resume" -d 'End a pause; asks for the passphrase, or a tap on Telegram'
complete -c portero -n "__fish_portero_using_subcommand help; and not __fish_seen_subcommand_from status tasks task pending approve reject again grant revoke allow ask deny pause resume rules unrule pins login logout logs why policy anonymize replacements check config doctor daemon passphrase totp telegram https secret token mcp connect try sample-server generate help" -f -a "rules" -d 'List the rules and grants in force'
complete -c portero -n "__fish_portero_using_subcommand help; and not __fish_seen_subcommand_from status tasks task pending approve reject again grant revoke allow ask deny pause resume rules unrule pins login logout logs why policy anonymize replacements check config doctor daemon passphrase totp telegram https secret token mcp connect try sample-server generate help" -f -a "unrule" -d 'Remove a rule; asks for the passphrase, or a tap on Telegram, if that permits more'
complete -c portero -n "__fish_portero_using_subcommand help; and not __fish_seen_subcommand_from status tasks task pending approve reject again grant revoke allow ask deny pause resume rules unrule pins login logout logs why policy anonymize replacements check config doctor daemon passphrase totp telegram https secret token mcp connect try sample-server generate help" -f -a "pins" -d 'Show which definitions of servers are accepted, and accept changed ones'
complete -c portero -n "__fish_portero_using_subcommand help; and not __fish_seen_subcommand_from status tasks task pending approve reject again grant revoke allow ask deny pause resume rules unrule pins login logout logs why policy anonymize replacements check config doctor daemon passphrase totp telegram https secret token mcp connect try sample-server generate help" -f -a "login" -d 'Sign in at a server over HTTP that takes OAuth; asks for the passphrase, or a tap on Telegram'
complete -c portero -n "__fish_portero_using_subcommand help; and not __fish_seen_subcommand_from status tasks task pending approve reject again grant revoke allow ask deny pause resume rules unrule pins login logout logs why policy anonymize replacements check config doctor daemon passphrase totp telegram https secret token mcp connect try sample-server generate help" -f -a "logout" -d 'Sign out of a server: its tokens are revoked and forgotten'
complete -c portero -n "__fish_portero_using_subcommand help; and not __fish_seen_subcommand_from status tasks task pending approve reject again grant revoke allow ask deny pause resume rules unrule pins login logout logs why policy anonymize replacements check config doctor daemon passphrase totp telegram https secret token mcp connect try sample-server generate help" -f -a "logs" -d 'Read the audit log'
complete -c portero -n "__fish_portero_using_subcommand help; and not __fish_seen_subcommand_from status tasks task pending approve reject again grant revoke allow ask deny pause resume rules unrule pins login logout logs why policy anonymize replacements check config doctor daemon passphrase totp telegram https secret token mcp connect try sample-server generate help" -f -a "why" -d 'Explain what policy decides for a tool, and why'
complete -c portero -n "__fish_portero_using_subcommand help; and not __fish_seen_subcommand_from status tasks task pending approve reject again grant revoke allow ask deny pause resume rules unrule pins login logout logs why policy anonymize replacements check config doctor daemon passphrase totp telegram https secret token mcp connect try sample-server generate help" -f -a "policy" -d 'Test the configured policy before an agent meets it'
complete -c portero -n "__fish_portero_using_subcommand help; and not __fish_seen_subcommand_from status tasks task pending approve reject again grant revoke allow ask deny pause resume rules unrule pins login logout logs why policy anonymize replacements check config doctor daemon passphrase totp telegram https secret token mcp connect try sample-server generate help" -f -a "anonymize" -d 'Replace the values in a text by the configured rules, and show what an agent would see'
complete -c portero -n "__fish_portero_using_subcommand help; and not __fish_seen_subcommand_from status tasks task pending approve reject again grant revoke allow ask deny pause resume rules unrule pins login logout logs why policy anonymize replacements check config doctor daemon passphrase totp telegram https secret token mcp connect try sample-server generate help" -f -a "replacements" -d 'List the replacements in force, or propose fakes for new ones'
complete -c portero -n "__fish_portero_using_subcommand help; and not __fish_seen_subcommand_from status tasks task pending approve reject again grant revoke allow ask deny pause resume rules unrule pins login logout logs why policy anonymize replacements check config doctor daemon passphrase totp telegram https secret token mcp connect try sample-server generate help" -f -a "check" -d 'Check the configuration, and print every problem in it'
complete -c portero -n "__fish_portero_using_subcommand help; and not __fish_seen_subcommand_from status tasks task pending approve reject again grant revoke allow ask deny pause resume rules unrule pins login logout logs why policy anonymize replacements check config doctor daemon passphrase totp telegram https secret token mcp connect try sample-server generate help" -f -a "config" -d 'Show or confirm the configuration changes that wait for you'
complete -c portero -n "__fish_portero_using_subcommand help; and not __fish_seen_subcommand_from status tasks task pending approve reject again grant revoke allow ask deny pause resume rules unrule pins login logout logs why policy anonymize replacements check config doctor daemon passphrase totp telegram https secret token mcp connect try sample-server generate help" -f -a "doctor" -d 'Start each server, list what it offers, and report problems'
complete -c portero -n "__fish_portero_using_subcommand help; and not __fish_seen_subcommand_from status tasks task pending approve reject again grant revoke allow ask deny pause resume rules unrule pins login logout logs why policy anonymize replacements check config doctor daemon passphrase totp telegram https secret token mcp connect try sample-server generate help" -f -a "daemon" -d 'Start, stop or check the daemon'
complete -c portero -n "__fish_portero_using_subcommand help; and not __fish_seen_subcommand_from status tasks task pending approve reject again grant revoke allow ask deny pause resume rules unrule pins login logout logs why policy anonymize replacements check config doctor daemon passphrase totp telegram https secret token mcp connect try sample-server generate help" -f -a "passphrase" -d 'Manage the approval passphrase'
complete -c portero -n "__fish_portero_using_subcommand help; and not __fish_seen_subcommand_from status tasks task pending approve reject again grant revoke allow ask deny pause resume rules unrule pins login logout logs why policy anonymize replacements check config doctor daemon passphrase totp telegram https secret token mcp connect try sample-server generate help" -f -a "totp" -d 'Manage an authenticator app; wide acts need its code beside the passphrase'
complete -c portero -n "__fish_portero_using_subcommand help; and not __fish_seen_subcommand_from status tasks task pending approve reject again grant revoke allow ask deny pause resume rules unrule pins login logout logs why policy anonymize replacements check config doctor daemon passphrase totp telegram https secret token mcp connect try sample-server generate help" -f -a "telegram" -d 'Manage who decides on Telegram'
complete -c portero -n "__fish_portero_using_subcommand help; and not __fish_seen_subcommand_from status tasks task pending approve reject again grant revoke allow ask deny pause resume rules unrule pins login logout logs why policy anonymize replacements check config doctor daemon passphrase totp telegram https secret token mcp connect try sample-server generate help" -f -a "https" -d 'Show the certificate that agents on other machines are to trust'
complete -c portero -n "__fish_portero_using_subcommand help; and not __fish_seen_subcommand_from status tasks task pending approve reject again grant revoke allow ask deny pause resume rules unrule pins login logout logs why policy anonymize replacements check config doctor daemon passphrase totp telegram https secret token mcp connect try sample-server generate help" -f -a "secret" -d 'Set the secrets that servers get by name; no command shows one'
complete -c portero -n "__fish_portero_using_subcommand help; and not __fish_seen_subcommand_from status tasks task pending approve reject again grant revoke allow ask deny pause resume rules unrule pins login logout logs why policy anonymize replacements check config doctor daemon passphrase totp telegram https secret token mcp connect try sample-server generate help" -f -a "token" -d 'Manage the access tokens, with which agents on other machines ask over HTTPS'
complete -c portero -n "__fish_portero_using_subcommand help; and not __fish_seen_subcommand_from status tasks task pending approve reject again grant revoke allow ask deny pause resume rules unrule pins login logout logs why policy anonymize replacements check config doctor daemon passphrase totp telegram https secret token mcp connect try sample-server generate help" -f -a "mcp" -d 'Serve an agent on standard input and output; this is what Claude Code launches'
complete -c portero -n "__fish_portero_using_subcommand help; and not __fish_seen_subcommand_from status tasks task pending approve reject again grant revoke allow ask deny pause resume rules unrule pins login logout logs why policy anonymize replacements check config doctor daemon passphrase totp telegram https secret token mcp connect try sample-server generate help" -f -a "connect" -d 'Serve an agent on standard input and output by a Portero elsewhere, or by any MCP server over HTTP'
complete -c portero -n "__fish_portero_using_subcommand help; and not __fish_seen_subcommand_from status tasks task pending approve reject again grant revoke allow ask deny pause resume rules unrule pins login logout logs why policy anonymize replacements check config doctor daemon passphrase totp telegram https secret token mcp connect try sample-server generate help" -f -a "try" -d 'See Portero at work in a temporary directory, without any setup'
complete -c portero -n "__fish_portero_using_subcommand help; and not __fish_seen_subcommand_from status tasks task pending approve reject again grant revoke allow ask deny pause resume rules unrule pins login logout logs why policy anonymize replacements check config doctor daemon passphrase totp telegram https secret token mcp connect try sample-server generate help" -f -a "sample-server" -d 'A small mail and notes server, for `portero try` and the tests'
complete -c portero -n "__fish_portero_using_subcommand help; and not __fish_seen_subcommand_from status tasks task pending approve reject again grant revoke allow ask deny pause resume rules unrule pins login logout logs why policy anonymize replacements check config doctor daemon passphrase totp telegram https secret token mcp connect try sample-server generate help" -f -a "generate" -d 'Write completions and man pages'
complete -c portero -n "__fish_portero_using_subcommand help; and not __fish_seen_subcommand_from status tasks task pending approve reject again grant revoke allow ask deny pause resume rules unrule pins login logout logs why policy anonymize replacements check config doctor daemon passphrase totp telegram https secret token mcp connect try sample-server generate help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c portero -n "__fish_portero_using_subcommand help; and __fish_seen_subcommand_from pins" -f -a "diff" -d 'Show how a server\'s definitions differ from the accepted ones'
complete -c portero -n "__fish_portero_using_subcommand help; and __fish_seen_subcommand_from pins" -f -a "accept" -d 'Accept what a server defines now; asks for the passphrase, or a tap on Telegram'
complete -c portero -n "__fish_portero_using_subcommand help; and __fish_seen_subcommand_from logs" -f -a "verify" -d 'Check the hash chain for removed, changed, reordered or cut-off records'
complete -c portero -n "__fish_portero_using_subcommand help; and __fish_seen_subcommand_from policy" -f -a "test" -d 'Decide each case of a file, and exit with 1 if a decision is not the expected one'
complete -c portero -n "__fish_portero_using_subcommand help; and __fish_seen_subcommand_from policy" -f -a "replay" -d 'Show which calls in the audit the present files would decide differently'
complete -c portero -n "__fish_portero_using_subcommand help; and __fish_seen_subcommand_from replacements" -f -a "list" -d 'List the replacements in force, by their fakes'
complete -c portero -n "__fish_portero_using_subcommand help; and __fish_seen_subcommand_from replacements" -f -a "suggest" -d 'Propose fakes: uncommon names, and addresses and numbers that belong to nobody'
complete -c portero -n "__fish_portero_using_subcommand help; and __fish_seen_subcommand_from config" -f -a "diff" -d 'Show how the files differ from what you confirmed'
complete -c portero -n "__fish_portero_using_subcommand help; and __fish_seen_subcommand_from config" -f -a "confirm" -d 'Confirm the files as they are now; asks for the passphrase, or a tap on Telegram'
complete -c portero -n "__fish_portero_using_subcommand help; and __fish_seen_subcommand_from daemon" -f -a "start" -d 'Start it, and return once it listens'
complete -c portero -n "__fish_portero_using_subcommand help; and __fish_seen_subcommand_from daemon" -f -a "stop" -d 'Stop it, and return once it has ended'
complete -c portero -n "__fish_portero_using_subcommand help; and __fish_seen_subcommand_from daemon" -f -a "status" -d 'Tell whether it runs'
complete -c portero -n "__fish_portero_using_subcommand help; and __fish_seen_subcommand_from passphrase" -f -a "set" -d 'Set the passphrase, or change it with the old one'
complete -c portero -n "__fish_portero_using_subcommand help; and __fish_seen_subcommand_from totp" -f -a "enroll" -d 'Show a new secret for an authenticator app, and require its codes from then on'
complete -c portero -n "__fish_portero_using_subcommand help; and __fish_seen_subcommand_from totp" -f -a "remove" -d 'Remove the authenticator; asks for the passphrase and a code, or a recovery code'
complete -c portero -n "__fish_portero_using_subcommand help; and __fish_seen_subcommand_from telegram" -f -a "pair" -d 'Show a code that pairs the bot with you; it is valid for five minutes and five tries'
complete -c portero -n "__fish_portero_using_subcommand help; and __fish_seen_subcommand_from telegram" -f -a "unpair" -d 'End the pairing, so that another person can be paired; asks for the passphrase'
complete -c portero -n "__fish_portero_using_subcommand help; and __fish_seen_subcommand_from https" -f -a "cert" -d 'Show the certificate\'s file, its SHA-256 fingerprint and when it expires'
complete -c portero -n "__fish_portero_using_subcommand help; and __fish_seen_subcommand_from secret" -f -a "set" -d 'Set a secret, or replace it; asks for its value without showing it, and for the passphrase'
complete -c portero -n "__fish_portero_using_subcommand help; and __fish_seen_subcommand_from secret" -f -a "list" -d 'List the secrets that are set, never their values'
complete -c portero -n "__fish_portero_using_subcommand help; and __fish_seen_subcommand_from secret" -f -a "clear" -d 'Forget secrets at once, and end the servers that use them'
complete -c portero -n "__fish_portero_using_subcommand help; and __fish_seen_subcommand_from token" -f -a "create" -d 'Make a token and show it once; asks for the passphrase, or a tap on Telegram'
complete -c portero -n "__fish_portero_using_subcommand help; and __fish_seen_subcommand_from token" -f -a "list" -d 'List the tokens: what each reaches, and when it was made, ends, and was last used'
complete -c portero -n "__fish_portero_using_subcommand help; and __fish_seen_subcommand_from token" -f -a "revoke" -d 'End a token and its open sessions at once'
