
using namespace System.Management.Automation
using namespace System.Management.Automation.Language

Register-ArgumentCompleter -Native -CommandName 'portero' -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)

    $commandElements = $commandAst.CommandElements
    $command = @(
        'portero'
        for ($i = 1; $i -lt $commandElements.Count; $i++) {
            $element = $commandElements[$i]
            if ($element -isnot [StringConstantExpressionAst] -or
                $element.StringConstantType -ne [StringConstantType]::BareWord -or
                $element.Value.StartsWith('-') -or
                $element.Value -eq $wordToComplete) {
                break
        }
        $element.Value
    }) -join ';'

    $completions = @(switch ($command) {
        'portero' {
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON instead of text')
            [CompletionResult]::new('--no-start', '--no-start', [CompletionResultType]::ParameterName, 'Never start the daemon; fail if it is needed and not running')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('status', 'status', [CompletionResultType]::ParameterValue, 'Show the daemon, its servers, sessions and rules, and how many calls wait for you')
            [CompletionResult]::new('tasks', 'tasks', [CompletionResultType]::ParameterValue, 'List tasks: the calls that wait for you, or did')
            [CompletionResult]::new('task', 'task', [CompletionResultType]::ParameterValue, 'Show one task in full: the call, its arguments, its result')
            [CompletionResult]::new('pending', 'pending', [CompletionResultType]::ParameterValue, 'List the calls that wait for you')
            [CompletionResult]::new('approve', 'approve', [CompletionResultType]::ParameterValue, 'Approve waiting calls and show how they end; asks for the passphrase, or a tap on Telegram')
            [CompletionResult]::new('reject', 'reject', [CompletionResultType]::ParameterValue, 'Reject waiting calls')
            [CompletionResult]::new('again', 'again', [CompletionResultType]::ParameterValue, 'Submit an ended call again; it waits for your approval like any other')
            [CompletionResult]::new('grant', 'grant', [CompletionResultType]::ParameterValue, 'Let tools run unasked for a while; asks for the passphrase, or a tap on Telegram')
            [CompletionResult]::new('revoke', 'revoke', [CompletionResultType]::ParameterValue, 'End grants at once')
            [CompletionResult]::new('allow', 'allow', [CompletionResultType]::ParameterValue, 'Add a rule that allows tools; asks for the passphrase, or a tap on Telegram')
            [CompletionResult]::new('ask', 'ask', [CompletionResultType]::ParameterValue, 'Add a rule that requires approval, in every session at once')
            [CompletionResult]::new('require-approval', 'require-approval', [CompletionResultType]::ParameterValue, 'Add a rule that requires approval, in every session at once')
            [CompletionResult]::new('deny', 'deny', [CompletionResultType]::ParameterValue, 'Add a rule that denies tools, in every session at once')
            [CompletionResult]::new('pause', 'pause', [CompletionResultType]::ParameterValue, 'Stop all calls in every session at once, until `portero resume`')
            [CompletionResult]::new('resume', 'resume', [CompletionResultType]::ParameterValue, 'End a pause; asks for the passphrase, or a tap on Telegram')
            [CompletionResult]::new('rules', 'rules', [CompletionResultType]::ParameterValue, 'List the rules and grants in force')
            [CompletionResult]::new('unrule', 'unrule', [CompletionResultType]::ParameterValue, 'Remove a rule; asks for the passphrase, or a tap on Telegram, if that permits more')
            [CompletionResult]::new('pins', 'pins', [CompletionResultType]::ParameterValue, 'Show which definitions of servers are accepted, and accept changed ones')
            [CompletionResult]::new('login', 'login', [CompletionResultType]::ParameterValue, 'Sign in at a server over HTTP that takes OAuth; asks for the passphrase, or a tap on Telegram')
            [CompletionResult]::new('logout', 'logout', [CompletionResultType]::ParameterValue, 'Sign out of a server: its tokens are revoked and forgotten')
            [CompletionResult]::new('logs', 'logs', [CompletionResultType]::ParameterValue, 'Read the audit log')
            [CompletionResult]::new('why', 'why', [CompletionResultType]::ParameterValue, 'Explain what policy decides for a tool, and why')
            [CompletionResult]::new('policy', 'policy', [CompletionResultType]::ParameterValue, 'Test the configured policy before an agent meets it')
            [CompletionResult]::new('anonymize', 'anonymize', [CompletionResultType]::ParameterValue, 'Replace the values in a text by the configured rules, and show what an agent would see')
            [CompletionResult]::new('replacements', 'replacements', [CompletionResultType]::ParameterValue, 'List the replacements in force, or propose fakes for new ones')
            [CompletionResult]::new('check', 'check', [CompletionResultType]::ParameterValue, 'Check the configuration, and print every problem in it')
            [CompletionResult]::new('config', 'config', [CompletionResultType]::ParameterValue, 'Show or confirm the configuration changes that wait for you')
            [CompletionResult]::new('doctor', 'doctor', [CompletionResultType]::ParameterValue, 'Start each server, list what it offers, and report problems')
            [CompletionResult]::new('daemon', 'daemon', [CompletionResultType]::ParameterValue, 'Start, stop or check the daemon')
            [CompletionResult]::new('passphrase', 'passphrase', [CompletionResultType]::ParameterValue, 'Manage the approval passphrase')
            [CompletionResult]::new('totp', 'totp', [CompletionResultType]::ParameterValue, 'Manage an authenticator app; wide acts need its code beside the passphrase')
            [CompletionResult]::new('telegram', 'telegram', [CompletionResultType]::ParameterValue, 'Manage who decides on Telegram')
            [CompletionResult]::new('https', 'https', [CompletionResultType]::ParameterValue, 'Show the certificate that agents on other machines are to trust')
            [CompletionResult]::new('secret', 'secret', [CompletionResultType]::ParameterValue, 'Set the secrets that servers get by name; no command shows one')
            [CompletionResult]::new('token', 'token', [CompletionResultType]::ParameterValue, 'Manage the access tokens, with which agents on other machines ask over HTTPS')
            [CompletionResult]::new('mcp', 'mcp', [CompletionResultType]::ParameterValue, 'Serve an agent on standard input and output; this is what Claude Code launches')
            [CompletionResult]::new('connect', 'connect', [CompletionResultType]::ParameterValue, 'Serve an agent on standard input and output by a Portero elsewhere, or by any MCP server over HTTP')
            [CompletionResult]::new('try', 'try', [CompletionResultType]::ParameterValue, 'See Portero at work in a temporary directory, without any setup')
            [CompletionResult]::new('sample-server', 'sample-server', [CompletionResultType]::ParameterValue, 'A small mail and notes server, for `portero try` and the tests')
            [CompletionResult]::new('generate', 'generate', [CompletionResultType]::ParameterValue, 'Write completions and man pages')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'portero;status' {
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON instead of text')
            [CompletionResult]::new('--no-start', '--no-start', [CompletionResultType]::ParameterName, 'Never start the daemon; fail if it is needed and not running')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'portero;tasks' {
            [CompletionResult]::new('--state', '--state', [CompletionResultType]::ParameterName, 'Only tasks in this state')
            [CompletionResult]::new('--limit', '--limit', [CompletionResultType]::ParameterName, 'At most this many, the newest first')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON instead of text')
            [CompletionResult]::new('--no-start', '--no-start', [CompletionResultType]::ParameterName, 'Never start the daemon; fail if it is needed and not running')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'portero;task' {
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]')
            [CompletionResult]::new('--real', '--real', [CompletionResultType]::ParameterName, 'Show the real values too, on the terminal itself; asks for the passphrase, or a tap on Telegram')
            [CompletionResult]::new('--telegram', '--telegram', [CompletionResultType]::ParameterName, 'Confirm on Telegram: tap the number that the terminal shows')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON instead of text')
            [CompletionResult]::new('--no-start', '--no-start', [CompletionResultType]::ParameterName, 'Never start the daemon; fail if it is needed and not running')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'portero;pending' {
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]')
            [CompletionResult]::new('--watch', '--watch', [CompletionResultType]::ParameterName, 'Keep watching, in a full-screen view to read, approve and reject; with --json, stream one JSON object a line')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON instead of text')
            [CompletionResult]::new('--no-start', '--no-start', [CompletionResultType]::ParameterName, 'Never start the daemon; fail if it is needed and not running')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'portero;approve' {
            [CompletionResult]::new('--grant', '--grant', [CompletionResultType]::ParameterName, 'Let further calls of this tool run unasked for so long, such as 10m')
            [CompletionResult]::new('--with', '--with', [CompletionResultType]::ParameterName, 'With --grant or --session: only calls in which this argument is the same as in this one; may be repeated')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]')
            [CompletionResult]::new('--fresh', '--fresh', [CompletionResultType]::ParameterName, 'Run it in another process than the one that its session uses, where that one is gone')
            [CompletionResult]::new('--no-wait', '--no-wait', [CompletionResultType]::ParameterName, 'Return at once, without waiting for the outcome')
            [CompletionResult]::new('--session', '--session', [CompletionResultType]::ParameterName, 'Let further calls of this tool run unasked in the session that asked')
            [CompletionResult]::new('--reads', '--reads', [CompletionResultType]::ParameterName, 'With --grant or --session: every tool of this server that `reads` in policies.json lists')
            [CompletionResult]::new('--exact', '--exact', [CompletionResultType]::ParameterName, 'Let exactly this call run unasked in the session that asked')
            [CompletionResult]::new('--always', '--always', [CompletionResultType]::ParameterName, 'Let further calls of this tool run unasked until you remove the rule')
            [CompletionResult]::new('--telegram', '--telegram', [CompletionResultType]::ParameterName, 'Confirm on Telegram instead of with the passphrase: tap the number that the terminal shows')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON instead of text')
            [CompletionResult]::new('--no-start', '--no-start', [CompletionResultType]::ParameterName, 'Never start the daemon; fail if it is needed and not running')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'portero;reject' {
            [CompletionResult]::new('--reason', '--reason', [CompletionResultType]::ParameterName, 'The reason that the agent is told')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]')
            [CompletionResult]::new('--no-cool-down', '--no-cool-down', [CompletionResultType]::ParameterName, 'Let the same call ask again at once; otherwise it is refused for a while (`coolDown` in portero.json)')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON instead of text')
            [CompletionResult]::new('--no-start', '--no-start', [CompletionResultType]::ParameterName, 'Never start the daemon; fail if it is needed and not running')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'portero;again' {
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON instead of text')
            [CompletionResult]::new('--no-start', '--no-start', [CompletionResultType]::ParameterName, 'Never start the daemon; fail if it is needed and not running')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'portero;grant' {
            [CompletionResult]::new('--uses', '--uses', [CompletionResultType]::ParameterName, 'Only this many calls')
            [CompletionResult]::new('--session', '--session', [CompletionResultType]::ParameterName, 'Only this connected session: its id or its agent''s, or a beginning or end of either')
            [CompletionResult]::new('--project', '--project', [CompletionResultType]::ParameterName, 'Only sessions in this project directory, such as `.`')
            [CompletionResult]::new('--with', '--with', [CompletionResultType]::ParameterName, 'Only calls with this argument: its name or JSON Pointer, and its value; may be repeated')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]')
            [CompletionResult]::new('--reads', '--reads', [CompletionResultType]::ParameterName, 'Only tools that `reads` in policies.json lists')
            [CompletionResult]::new('--run-waiting', '--run-waiting', [CompletionResultType]::ParameterName, 'Run the waiting calls that this allows too, without asking')
            [CompletionResult]::new('--telegram', '--telegram', [CompletionResultType]::ParameterName, 'Confirm on Telegram instead of with the passphrase: tap the number that the terminal shows')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON instead of text')
            [CompletionResult]::new('--no-start', '--no-start', [CompletionResultType]::ParameterName, 'Never start the daemon; fail if it is needed and not running')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'portero;revoke' {
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]')
            [CompletionResult]::new('--all', '--all', [CompletionResultType]::ParameterName, 'Every grant')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON instead of text')
            [CompletionResult]::new('--no-start', '--no-start', [CompletionResultType]::ParameterName, 'Never start the daemon; fail if it is needed and not running')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'portero;allow' {
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]')
            [CompletionResult]::new('--run-waiting', '--run-waiting', [CompletionResultType]::ParameterName, 'Run the waiting calls that this allows too, without asking')
            [CompletionResult]::new('--telegram', '--telegram', [CompletionResultType]::ParameterName, 'Confirm on Telegram instead of with the passphrase: tap the number that the terminal shows')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON instead of text')
            [CompletionResult]::new('--no-start', '--no-start', [CompletionResultType]::ParameterName, 'Never start the daemon; fail if it is needed and not running')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'portero;ask' {
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON instead of text')
            [CompletionResult]::new('--no-start', '--no-start', [CompletionResultType]::ParameterName, 'Never start the daemon; fail if it is needed and not running')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'portero;require-approval' {
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON instead of text')
            [CompletionResult]::new('--no-start', '--no-start', [CompletionResultType]::ParameterName, 'Never start the daemon; fail if it is needed and not running')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'portero;deny' {
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON instead of text')
            [CompletionResult]::new('--no-start', '--no-start', [CompletionResultType]::ParameterName, 'Never start the daemon; fail if it is needed and not running')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'portero;pause' {
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON instead of text')
            [CompletionResult]::new('--no-start', '--no-start', [CompletionResultType]::ParameterName, 'Never start the daemon; fail if it is needed and not running')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'portero;resume' {
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]')
            [CompletionResult]::new('--telegram', '--telegram', [CompletionResultType]::ParameterName, 'Confirm on Telegram instead of with the passphrase: tap the number that the terminal shows')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON instead of text')
            [CompletionResult]::new('--no-start', '--no-start', [CompletionResultType]::ParameterName, 'Never start the daemon; fail if it is needed and not running')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'portero;rules' {
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON instead of text')
            [CompletionResult]::new('--no-start', '--no-start', [CompletionResultType]::ParameterName, 'Never start the daemon; fail if it is needed and not running')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'portero;unrule' {
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]')
            [CompletionResult]::new('--telegram', '--telegram', [CompletionResultType]::ParameterName, 'Confirm on Telegram instead of with the passphrase: tap the number that the terminal shows')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON instead of text')
            [CompletionResult]::new('--no-start', '--no-start', [CompletionResultType]::ParameterName, 'Never start the daemon; fail if it is needed and not running')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'portero;pins' {
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON instead of text')
            [CompletionResult]::new('--no-start', '--no-start', [CompletionResultType]::ParameterName, 'Never start the daemon; fail if it is needed and not running')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('diff', 'diff', [CompletionResultType]::ParameterValue, 'Show how a server''s definitions differ from the accepted ones')
            [CompletionResult]::new('accept', 'accept', [CompletionResultType]::ParameterValue, 'Accept what a server defines now; asks for the passphrase, or a tap on Telegram')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'portero;pins;diff' {
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON instead of text')
            [CompletionResult]::new('--no-start', '--no-start', [CompletionResultType]::ParameterName, 'Never start the daemon; fail if it is needed and not running')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'portero;pins;accept' {
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]')
            [CompletionResult]::new('--telegram', '--telegram', [CompletionResultType]::ParameterName, 'Confirm on Telegram instead of with the passphrase: tap the number that the terminal shows')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON instead of text')
            [CompletionResult]::new('--no-start', '--no-start', [CompletionResultType]::ParameterName, 'Never start the daemon; fail if it is needed and not running')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'portero;pins;help' {
            [CompletionResult]::new('diff', 'diff', [CompletionResultType]::ParameterValue, 'Show how a server''s definitions differ from the accepted ones')
            [CompletionResult]::new('accept', 'accept', [CompletionResultType]::ParameterValue, 'Accept what a server defines now; asks for the passphrase, or a tap on Telegram')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'portero;pins;help;diff' {
            break
        }
        'portero;pins;help;accept' {
            break
        }
        'portero;pins;help;help' {
            break
        }
        'portero;login' {
            [CompletionResult]::new('--scope', '--scope', [CompletionResultType]::ParameterName, 'Ask for these scopes in place of the usual ones; repeat it for several')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]')
            [CompletionResult]::new('--no-browser', '--no-browser', [CompletionResultType]::ParameterName, 'Print the address instead of opening a browser, and take the answer that you paste')
            [CompletionResult]::new('--device', '--device', [CompletionResultType]::ParameterName, 'Sign in on another device, with a code; not every server offers it')
            [CompletionResult]::new('--telegram', '--telegram', [CompletionResultType]::ParameterName, 'Confirm on Telegram instead of with the passphrase: tap the number that the terminal shows')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON instead of text')
            [CompletionResult]::new('--no-start', '--no-start', [CompletionResultType]::ParameterName, 'Never start the daemon; fail if it is needed and not running')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'portero;logout' {
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON instead of text')
            [CompletionResult]::new('--no-start', '--no-start', [CompletionResultType]::ParameterName, 'Never start the daemon; fail if it is needed and not running')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'portero;logs' {
            [CompletionResult]::new('--tool', '--tool', [CompletionResultType]::ParameterName, 'Only records about tools that match this pattern')
            [CompletionResult]::new('--server', '--server', [CompletionResultType]::ParameterName, 'Only records about this server''s tools')
            [CompletionResult]::new('--decision', '--decision', [CompletionResultType]::ParameterName, 'Only calls with this decision')
            [CompletionResult]::new('--session', '--session', [CompletionResultType]::ParameterName, 'Only this session: its id, or a beginning or end of it')
            [CompletionResult]::new('--task', '--task', [CompletionResultType]::ParameterName, 'Only this task: its id, or a beginning or end of it')
            [CompletionResult]::new('--since', '--since', [CompletionResultType]::ParameterName, 'Only records since this time: an age such as 2h, or a time such as 2026-11-20T10:00')
            [CompletionResult]::new('--until', '--until', [CompletionResultType]::ParameterName, 'Only records until this time, in the same forms')
            [CompletionResult]::new('-n', '-n', [CompletionResultType]::ParameterName, 'Print at most this many, the newest of them')
            [CompletionResult]::new('--limit', '--limit', [CompletionResultType]::ParameterName, 'Print at most this many, the newest of them')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]')
            [CompletionResult]::new('-f', '-f', [CompletionResultType]::ParameterName, 'Keep printing new records')
            [CompletionResult]::new('--follow', '--follow', [CompletionResultType]::ParameterName, 'Keep printing new records')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON instead of text')
            [CompletionResult]::new('--no-start', '--no-start', [CompletionResultType]::ParameterName, 'Never start the daemon; fail if it is needed and not running')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('verify', 'verify', [CompletionResultType]::ParameterValue, 'Check the hash chain for removed, changed, reordered or cut-off records')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'portero;logs;verify' {
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON instead of text')
            [CompletionResult]::new('--no-start', '--no-start', [CompletionResultType]::ParameterName, 'Never start the daemon; fail if it is needed and not running')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'portero;logs;help' {
            [CompletionResult]::new('verify', 'verify', [CompletionResultType]::ParameterValue, 'Check the hash chain for removed, changed, reordered or cut-off records')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'portero;logs;help;verify' {
            break
        }
        'portero;logs;help;help' {
            break
        }
        'portero;why' {
            [CompletionResult]::new('--args', '--args', [CompletionResultType]::ParameterName, 'A file with a call''s arguments as JSON, for rules that look at them; `-` reads standard input')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON instead of text')
            [CompletionResult]::new('--no-start', '--no-start', [CompletionResultType]::ParameterName, 'Never start the daemon; fail if it is needed and not running')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'portero;policy' {
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON instead of text')
            [CompletionResult]::new('--no-start', '--no-start', [CompletionResultType]::ParameterName, 'Never start the daemon; fail if it is needed and not running')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('test', 'test', [CompletionResultType]::ParameterValue, 'Decide each case of a file, and exit with 1 if a decision is not the expected one')
            [CompletionResult]::new('replay', 'replay', [CompletionResultType]::ParameterValue, 'Show which calls in the audit the present files would decide differently')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'portero;policy;test' {
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON instead of text')
            [CompletionResult]::new('--no-start', '--no-start', [CompletionResultType]::ParameterName, 'Never start the daemon; fail if it is needed and not running')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'portero;policy;replay' {
            [CompletionResult]::new('--since', '--since', [CompletionResultType]::ParameterName, 'How far back')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON instead of text')
            [CompletionResult]::new('--no-start', '--no-start', [CompletionResultType]::ParameterName, 'Never start the daemon; fail if it is needed and not running')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'portero;policy;help' {
            [CompletionResult]::new('test', 'test', [CompletionResultType]::ParameterValue, 'Decide each case of a file, and exit with 1 if a decision is not the expected one')
            [CompletionResult]::new('replay', 'replay', [CompletionResultType]::ParameterValue, 'Show which calls in the audit the present files would decide differently')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'portero;policy;help;test' {
            break
        }
        'portero;policy;help;replay' {
            break
        }
        'portero;policy;help;help' {
            break
        }
        'portero;anonymize' {
            [CompletionResult]::new('--server', '--server', [CompletionResultType]::ParameterName, 'The server that says the text, or gets it')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]')
            [CompletionResult]::new('--reveal', '--reveal', [CompletionResultType]::ParameterName, 'Replace fakes by real values, as toward a server; without `--server`, only those that every server may see')
            [CompletionResult]::new('--explain', '--explain', [CompletionResultType]::ParameterName, 'Tell on standard error what was replaced where')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON instead of text')
            [CompletionResult]::new('--no-start', '--no-start', [CompletionResultType]::ParameterName, 'Never start the daemon; fail if it is needed and not running')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'portero;replacements' {
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON instead of text')
            [CompletionResult]::new('--no-start', '--no-start', [CompletionResultType]::ParameterName, 'Never start the daemon; fail if it is needed and not running')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('list', 'list', [CompletionResultType]::ParameterValue, 'List the replacements in force, by their fakes')
            [CompletionResult]::new('suggest', 'suggest', [CompletionResultType]::ParameterValue, 'Propose fakes: uncommon names, and addresses and numbers that belong to nobody')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'portero;replacements;list' {
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON instead of text')
            [CompletionResult]::new('--no-start', '--no-start', [CompletionResultType]::ParameterName, 'Never start the daemon; fail if it is needed and not running')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'portero;replacements;suggest' {
            [CompletionResult]::new('--for', '--for', [CompletionResultType]::ParameterName, 'The variable with the real value, in the environment or in .env; the fakes get its shape')
            [CompletionResult]::new('--seed', '--seed', [CompletionResultType]::ParameterName, 'A number; the same one proposes the same fakes')
            [CompletionResult]::new('--count', '--count', [CompletionResultType]::ParameterName, 'How many to propose')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON instead of text')
            [CompletionResult]::new('--no-start', '--no-start', [CompletionResultType]::ParameterName, 'Never start the daemon; fail if it is needed and not running')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'portero;replacements;help' {
            [CompletionResult]::new('list', 'list', [CompletionResultType]::ParameterValue, 'List the replacements in force, by their fakes')
            [CompletionResult]::new('suggest', 'suggest', [CompletionResultType]::ParameterValue, 'Propose fakes: uncommon names, and addresses and numbers that belong to nobody')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'portero;replacements;help;list' {
            break
        }
        'portero;replacements;help;suggest' {
            break
        }
        'portero;replacements;help;help' {
            break
        }
        'portero;check' {
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON instead of text')
            [CompletionResult]::new('--no-start', '--no-start', [CompletionResultType]::ParameterName, 'Never start the daemon; fail if it is needed and not running')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'portero;config' {
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON instead of text')
            [CompletionResult]::new('--no-start', '--no-start', [CompletionResultType]::ParameterName, 'Never start the daemon; fail if it is needed and not running')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('diff', 'diff', [CompletionResultType]::ParameterValue, 'Show how the files differ from what you confirmed')
            [CompletionResult]::new('confirm', 'confirm', [CompletionResultType]::ParameterValue, 'Confirm the files as they are now; asks for the passphrase, or a tap on Telegram')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'portero;config;diff' {
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON instead of text')
            [CompletionResult]::new('--no-start', '--no-start', [CompletionResultType]::ParameterName, 'Never start the daemon; fail if it is needed and not running')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'portero;config;confirm' {
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]')
            [CompletionResult]::new('--telegram', '--telegram', [CompletionResultType]::ParameterName, 'Confirm on Telegram instead of with the passphrase: tap the number that the terminal shows')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON instead of text')
            [CompletionResult]::new('--no-start', '--no-start', [CompletionResultType]::ParameterName, 'Never start the daemon; fail if it is needed and not running')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'portero;config;help' {
            [CompletionResult]::new('diff', 'diff', [CompletionResultType]::ParameterValue, 'Show how the files differ from what you confirmed')
            [CompletionResult]::new('confirm', 'confirm', [CompletionResultType]::ParameterValue, 'Confirm the files as they are now; asks for the passphrase, or a tap on Telegram')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'portero;config;help;diff' {
            break
        }
        'portero;config;help;confirm' {
            break
        }
        'portero;config;help;help' {
            break
        }
        'portero;doctor' {
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON instead of text')
            [CompletionResult]::new('--no-start', '--no-start', [CompletionResultType]::ParameterName, 'Never start the daemon; fail if it is needed and not running')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'portero;daemon' {
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON instead of text')
            [CompletionResult]::new('--no-start', '--no-start', [CompletionResultType]::ParameterName, 'Never start the daemon; fail if it is needed and not running')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('start', 'start', [CompletionResultType]::ParameterValue, 'Start it, and return once it listens')
            [CompletionResult]::new('stop', 'stop', [CompletionResultType]::ParameterValue, 'Stop it, and return once it has ended')
            [CompletionResult]::new('status', 'status', [CompletionResultType]::ParameterValue, 'Tell whether it runs')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'portero;daemon;start' {
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON instead of text')
            [CompletionResult]::new('--no-start', '--no-start', [CompletionResultType]::ParameterName, 'Never start the daemon; fail if it is needed and not running')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'portero;daemon;stop' {
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON instead of text')
            [CompletionResult]::new('--no-start', '--no-start', [CompletionResultType]::ParameterName, 'Never start the daemon; fail if it is needed and not running')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'portero;daemon;status' {
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON instead of text')
            [CompletionResult]::new('--no-start', '--no-start', [CompletionResultType]::ParameterName, 'Never start the daemon; fail if it is needed and not running')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'portero;daemon;help' {
            [CompletionResult]::new('start', 'start', [CompletionResultType]::ParameterValue, 'Start it, and return once it listens')
            [CompletionResult]::new('stop', 'stop', [CompletionResultType]::ParameterValue, 'Stop it, and return once it has ended')
            [CompletionResult]::new('status', 'status', [CompletionResultType]::ParameterValue, 'Tell whether it runs')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'portero;daemon;help;start' {
            break
        }
        'portero;daemon;help;stop' {
            break
        }
        'portero;daemon;help;status' {
            break
        }
        'portero;daemon;help;help' {
            break
        }
        'portero;passphrase' {
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON instead of text')
            [CompletionResult]::new('--no-start', '--no-start', [CompletionResultType]::ParameterName, 'Never start the daemon; fail if it is needed and not running')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('set', 'set', [CompletionResultType]::ParameterValue, 'Set the passphrase, or change it with the old one')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'portero;passphrase;set' {
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON instead of text')
            [CompletionResult]::new('--no-start', '--no-start', [CompletionResultType]::ParameterName, 'Never start the daemon; fail if it is needed and not running')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'portero;passphrase;help' {
            [CompletionResult]::new('set', 'set', [CompletionResultType]::ParameterValue, 'Set the passphrase, or change it with the old one')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'portero;passphrase;help;set' {
            break
        }
        'portero;passphrase;help;help' {
            break
        }
        'portero;totp' {
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON instead of text')
            [CompletionResult]::new('--no-start', '--no-start', [CompletionResultType]::ParameterName, 'Never start the daemon; fail if it is needed and not running')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('enroll', 'enroll', [CompletionResultType]::ParameterValue, 'Show a new secret for an authenticator app, and require its codes from then on')
            [CompletionResult]::new('remove', 'remove', [CompletionResultType]::ParameterValue, 'Remove the authenticator; asks for the passphrase and a code, or a recovery code')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'portero;totp;enroll' {
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON instead of text')
            [CompletionResult]::new('--no-start', '--no-start', [CompletionResultType]::ParameterName, 'Never start the daemon; fail if it is needed and not running')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'portero;totp;remove' {
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON instead of text')
            [CompletionResult]::new('--no-start', '--no-start', [CompletionResultType]::ParameterName, 'Never start the daemon; fail if it is needed and not running')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'portero;totp;help' {
            [CompletionResult]::new('enroll', 'enroll', [CompletionResultType]::ParameterValue, 'Show a new secret for an authenticator app, and require its codes from then on')
            [CompletionResult]::new('remove', 'remove', [CompletionResultType]::ParameterValue, 'Remove the authenticator; asks for the passphrase and a code, or a recovery code')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'portero;totp;help;enroll' {
            break
        }
        'portero;totp;help;remove' {
            break
        }
        'portero;totp;help;help' {
            break
        }
        'portero;telegram' {
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON instead of text')
            [CompletionResult]::new('--no-start', '--no-start', [CompletionResultType]::ParameterName, 'Never start the daemon; fail if it is needed and not running')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('pair', 'pair', [CompletionResultType]::ParameterValue, 'Show a code that pairs the bot with you; it is valid for five minutes and five tries')
            [CompletionResult]::new('unpair', 'unpair', [CompletionResultType]::ParameterValue, 'End the pairing, so that another person can be paired; asks for the passphrase')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'portero;telegram;pair' {
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON instead of text')
            [CompletionResult]::new('--no-start', '--no-start', [CompletionResultType]::ParameterName, 'Never start the daemon; fail if it is needed and not running')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'portero;telegram;unpair' {
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON instead of text')
            [CompletionResult]::new('--no-start', '--no-start', [CompletionResultType]::ParameterName, 'Never start the daemon; fail if it is needed and not running')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'portero;telegram;help' {
            [CompletionResult]::new('pair', 'pair', [CompletionResultType]::ParameterValue, 'Show a code that pairs the bot with you; it is valid for five minutes and five tries')
            [CompletionResult]::new('unpair', 'unpair', [CompletionResultType]::ParameterValue, 'End the pairing, so that another person can be paired; asks for the passphrase')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'portero;telegram;help;pair' {
            break
        }
        'portero;telegram;help;unpair' {
            break
        }
        'portero;telegram;help;help' {
            break
        }
        'portero;https' {
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON instead of text')
            [CompletionResult]::new('--no-start', '--no-start', [CompletionResultType]::ParameterName, 'Never start the daemon; fail if it is needed and not running')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('cert', 'cert', [CompletionResultType]::ParameterValue, 'Show the certificate''s file, its SHA-256 fingerprint and when it expires')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'portero;https;cert' {
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON instead of text')
            [CompletionResult]::new('--no-start', '--no-start', [CompletionResultType]::ParameterName, 'Never start the daemon; fail if it is needed and not running')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'portero;https;help' {
            [CompletionResult]::new('cert', 'cert', [CompletionResultType]::ParameterValue, 'Show the certificate''s file, its SHA-256 fingerprint and when it expires')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'portero;https;help;cert' {
            break
        }
        'portero;https;help;help' {
            break
        }
        'portero;secret' {
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON instead of text')
            [CompletionResult]::new('--no-start', '--no-start', [CompletionResultType]::ParameterName, 'Never start the daemon; fail if it is needed and not running')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('set', 'set', [CompletionResultType]::ParameterValue, 'Set a secret, or replace it; asks for its value without showing it, and for the passphrase')
            [CompletionResult]::new('list', 'list', [CompletionResultType]::ParameterValue, 'List the secrets that are set, never their values')
            [CompletionResult]::new('clear', 'clear', [CompletionResultType]::ParameterValue, 'Forget secrets at once, and end the servers that use them')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'portero;secret;set' {
            [CompletionResult]::new('--ttl', '--ttl', [CompletionResultType]::ParameterName, 'Forget it after this time, such as 15m or 8h [default: when the daemon ends]')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]')
            [CompletionResult]::new('--keep', '--keep', [CompletionResultType]::ParameterName, 'Keep it, encrypted in Portero''s store, until it is cleared')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON instead of text')
            [CompletionResult]::new('--no-start', '--no-start', [CompletionResultType]::ParameterName, 'Never start the daemon; fail if it is needed and not running')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'portero;secret;list' {
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON instead of text')
            [CompletionResult]::new('--no-start', '--no-start', [CompletionResultType]::ParameterName, 'Never start the daemon; fail if it is needed and not running')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'portero;secret;clear' {
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]')
            [CompletionResult]::new('--all', '--all', [CompletionResultType]::ParameterName, 'Forget every secret')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON instead of text')
            [CompletionResult]::new('--no-start', '--no-start', [CompletionResultType]::ParameterName, 'Never start the daemon; fail if it is needed and not running')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'portero;secret;help' {
            [CompletionResult]::new('set', 'set', [CompletionResultType]::ParameterValue, 'Set a secret, or replace it; asks for its value without showing it, and for the passphrase')
            [CompletionResult]::new('list', 'list', [CompletionResultType]::ParameterValue, 'List the secrets that are set, never their values')
            [CompletionResult]::new('clear', 'clear', [CompletionResultType]::ParameterValue, 'Forget secrets at once, and end the servers that use them')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'portero;secret;help;set' {
            break
        }
        'portero;secret;help;list' {
            break
        }
        'portero;secret;help;clear' {
            break
        }
        'portero;secret;help;help' {
            break
        }
        'portero;token' {
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON instead of text')
            [CompletionResult]::new('--no-start', '--no-start', [CompletionResultType]::ParameterName, 'Never start the daemon; fail if it is needed and not running')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('create', 'create', [CompletionResultType]::ParameterValue, 'Make a token and show it once; asks for the passphrase, or a tap on Telegram')
            [CompletionResult]::new('list', 'list', [CompletionResultType]::ParameterValue, 'List the tokens: what each reaches, and when it was made, ends, and was last used')
            [CompletionResult]::new('revoke', 'revoke', [CompletionResultType]::ParameterValue, 'End a token and its open sessions at once')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'portero;token;create' {
            [CompletionResult]::new('--servers', '--servers', [CompletionResultType]::ParameterName, 'Only these servers, or patterns over servers such as `note*`')
            [CompletionResult]::new('--tools', '--tools', [CompletionResultType]::ParameterName, 'Only these tools, or patterns over tools such as `github/list_*`')
            [CompletionResult]::new('--expires', '--expires', [CompletionResultType]::ParameterName, 'How long it is valid, such as 12h or 30d [default: until it is revoked]')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]')
            [CompletionResult]::new('--telegram', '--telegram', [CompletionResultType]::ParameterName, 'Confirm on Telegram instead of with the passphrase: tap the number that the terminal shows')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON instead of text')
            [CompletionResult]::new('--no-start', '--no-start', [CompletionResultType]::ParameterName, 'Never start the daemon; fail if it is needed and not running')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'portero;token;list' {
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON instead of text')
            [CompletionResult]::new('--no-start', '--no-start', [CompletionResultType]::ParameterName, 'Never start the daemon; fail if it is needed and not running')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'portero;token;revoke' {
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON instead of text')
            [CompletionResult]::new('--no-start', '--no-start', [CompletionResultType]::ParameterName, 'Never start the daemon; fail if it is needed and not running')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'portero;token;help' {
            [CompletionResult]::new('create', 'create', [CompletionResultType]::ParameterValue, 'Make a token and show it once; asks for the passphrase, or a tap on Telegram')
            [CompletionResult]::new('list', 'list', [CompletionResultType]::ParameterValue, 'List the tokens: what each reaches, and when it was made, ends, and was last used')
            [CompletionResult]::new('revoke', 'revoke', [CompletionResultType]::ParameterValue, 'End a token and its open sessions at once')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'portero;token;help;create' {
            break
        }
        'portero;token;help;list' {
            break
        }
        'portero;token;help;revoke' {
            break
        }
        'portero;token;help;help' {
            break
        }
        'portero;mcp' {
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON instead of text')
            [CompletionResult]::new('--no-start', '--no-start', [CompletionResultType]::ParameterName, 'Never start the daemon; fail if it is needed and not running')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'portero;connect' {
            [CompletionResult]::new('--token-file', '--token-file', [CompletionResultType]::ParameterName, 'A file with the token, which no other user can read [default: the variable PORTERO_TOKEN]')
            [CompletionResult]::new('--header-file', '--header-file', [CompletionResultType]::ParameterName, 'A file with further headers, `Name: value` on each line, which no other user can read')
            [CompletionResult]::new('--ca-file', '--ca-file', [CompletionResultType]::ParameterName, 'A file with further certificate authorities in PEM, such as a self-signed certificate')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON instead of text')
            [CompletionResult]::new('--no-start', '--no-start', [CompletionResultType]::ParameterName, 'Never start the daemon; fail if it is needed and not running')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'portero;try' {
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]')
            [CompletionResult]::new('--yes', '--yes', [CompletionResultType]::ParameterName, 'Answer every question with yes, for unattended runs')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON instead of text')
            [CompletionResult]::new('--no-start', '--no-start', [CompletionResultType]::ParameterName, 'Never start the daemon; fail if it is needed and not running')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'portero;sample-server' {
            [CompletionResult]::new('--record', '--record', [CompletionResultType]::ParameterName, 'Append each call that arrives to this file, one JSON object a line')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON instead of text')
            [CompletionResult]::new('--no-start', '--no-start', [CompletionResultType]::ParameterName, 'Never start the daemon; fail if it is needed and not running')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'portero;generate' {
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'The configuration directory [default: $PORTERO_CONFIG_DIR, else the platform''s]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON instead of text')
            [CompletionResult]::new('--no-start', '--no-start', [CompletionResultType]::ParameterName, 'Never start the daemon; fail if it is needed and not running')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'portero;help' {
            [CompletionResult]::new('status', 'status', [CompletionResultType]::ParameterValue, 'Show the daemon, its servers, sessions and rules, and how many calls wait for you')
            [CompletionResult]::new('tasks', 'tasks', [CompletionResultType]::ParameterValue, 'List tasks: the calls that wait for you, or did')
            [CompletionResult]::new('task', 'task', [CompletionResultType]::ParameterValue, 'Show one task in full: the call, its arguments, its result')
            [CompletionResult]::new('pending', 'pending', [CompletionResultType]::ParameterValue, 'List the calls that wait for you')
            [CompletionResult]::new('approve', 'approve', [CompletionResultType]::ParameterValue, 'Approve waiting calls and show how they end; asks for the passphrase, or a tap on Telegram')
            [CompletionResult]::new('reject', 'reject', [CompletionResultType]::ParameterValue, 'Reject waiting calls')
            [CompletionResult]::new('again', 'again', [CompletionResultType]::ParameterValue, 'Submit an ended call again; it waits for your approval like any other')
            [CompletionResult]::new('grant', 'grant', [CompletionResultType]::ParameterValue, 'Let tools run unasked for a while; asks for the passphrase, or a tap on Telegram')
            [CompletionResult]::new('revoke', 'revoke', [CompletionResultType]::ParameterValue, 'End grants at once')
            [CompletionResult]::new('allow', 'allow', [CompletionResultType]::ParameterValue, 'Add a rule that allows tools; asks for the passphrase, or a tap on Telegram')
            [CompletionResult]::new('ask', 'ask', [CompletionResultType]::ParameterValue, 'Add a rule that requires approval, in every session at once')
            [CompletionResult]::new('deny', 'deny', [CompletionResultType]::ParameterValue, 'Add a rule that denies tools, in every session at once')
            [CompletionResult]::new('pause', 'pause', [CompletionResultType]::ParameterValue, 'Stop all calls in every session at once, until `portero resume`')
            [CompletionResult]::new('resume', 'resume', [CompletionResultType]::ParameterValue, 'End a pause; asks for the passphrase, or a tap on Telegram')
            [CompletionResult]::new('rules', 'rules', [CompletionResultType]::ParameterValue, 'List the rules and grants in force')
            [CompletionResult]::new('unrule', 'unrule', [CompletionResultType]::ParameterValue, 'Remove a rule; asks for the passphrase, or a tap on Telegram, if that permits more')
            [CompletionResult]::new('pins', 'pins', [CompletionResultType]::ParameterValue, 'Show which definitions of servers are accepted, and accept changed ones')
            [CompletionResult]::new('login', 'login', [CompletionResultType]::ParameterValue, 'Sign in at a server over HTTP that takes OAuth; asks for the passphrase, or a tap on Telegram')
            [CompletionResult]::new('logout', 'logout', [CompletionResultType]::ParameterValue, 'Sign out of a server: its tokens are revoked and forgotten')
            [CompletionResult]::new('logs', 'logs', [CompletionResultType]::ParameterValue, 'Read the audit log')
            [CompletionResult]::new('why', 'why', [CompletionResultType]::ParameterValue, 'Explain what policy decides for a tool, and why')
            [CompletionResult]::new('policy', 'policy', [CompletionResultType]::ParameterValue, 'Test the configured policy before an agent meets it')
            [CompletionResult]::new('anonymize', 'anonymize', [CompletionResultType]::ParameterValue, 'Replace the values in a text by the configured rules, and show what an agent would see')
            [CompletionResult]::new('replacements', 'replacements', [CompletionResultType]::ParameterValue, 'List the replacements in force, or propose fakes for new ones')
            [CompletionResult]::new('check', 'check', [CompletionResultType]::ParameterValue, 'Check the configuration, and print every problem in it')
            [CompletionResult]::new('config', 'config', [CompletionResultType]::ParameterValue, 'Show or confirm the configuration changes that wait for you')
            [CompletionResult]::new('doctor', 'doctor', [CompletionResultType]::ParameterValue, 'Start each server, list what it offers, and report problems')
            [CompletionResult]::new('daemon', 'daemon', [CompletionResultType]::ParameterValue, 'Start, stop or check the daemon')
            [CompletionResult]::new('passphrase', 'passphrase', [CompletionResultType]::ParameterValue, 'Manage the approval passphrase')
            [CompletionResult]::new('totp', 'totp', [CompletionResultType]::ParameterValue, 'Manage an authenticator app; wide acts need its code beside the passphrase')
            [CompletionResult]::new('telegram', 'telegram', [CompletionResultType]::ParameterValue, 'Manage who decides on Telegram')
            [CompletionResult]::new('https', 'https', [CompletionResultType]::ParameterValue, 'Show the certificate that agents on other machines are to trust')
            [CompletionResult]::new('secret', 'secret', [CompletionResultType]::ParameterValue, 'Set the secrets that servers get by name; no command shows one')
            [CompletionResult]::new('token', 'token', [CompletionResultType]::ParameterValue, 'Manage the access tokens, with which agents on other machines ask over HTTPS')
            [CompletionResult]::new('mcp', 'mcp', [CompletionResultType]::ParameterValue, 'Serve an agent on standard input and output; this is what Claude Code launches')
            [CompletionResult]::new('connect', 'connect', [CompletionResultType]::ParameterValue, 'Serve an agent on standard input and output by a Portero elsewhere, or by any MCP server over HTTP')
            [CompletionResult]::new('try', 'try', [CompletionResultType]::ParameterValue, 'See Portero at work in a temporary directory, without any setup')
            [CompletionResult]::new('sample-server', 'sample-server', [CompletionResultType]::ParameterValue, 'A small mail and notes server, for `portero try` and the tests')
            [CompletionResult]::new('generate', 'generate', [CompletionResultType]::ParameterValue, 'Write completions and man pages')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'portero;help;status' {
            break
        }
        'portero;help;tasks' {
            break
        }
        'portero;help;task' {
            break
        }
        'portero;help;pending' {
            break
        }
        'portero;help;approve' {
            break
        }
        'portero;help;reject' {
            break
        }
        'portero;help;again' {
            break
        }
        'portero;help;grant' {
            break
        }
        'portero;help;revoke' {
            break
        }
        'portero;help;allow' {
            break
        }
        'portero;help;ask' {
            break
        }
        'portero;help;deny' {
            break
        }
        'portero;help;pause' {
            break
        }
        'portero;help;resume' {
            break
        }
        'portero;help;rules' {
            break
        }
        'portero;help;unrule' {
            break
        }
        'portero;help;pins' {
            [CompletionResult]::new('diff', 'diff', [CompletionResultType]::ParameterValue, 'Show how a server''s definitions differ from the accepted ones')
            [CompletionResult]::new('accept', 'accept', [CompletionResultType]::ParameterValue, 'Accept what a server defines now; asks for the passphrase, or a tap on Telegram')
            break
        }
        'portero;help;pins;diff' {
            break
        }
        'portero;help;pins;accept' {
            break
        }
        'portero;help;login' {
            break
        }
        'portero;help;logout' {
            break
        }
        'portero;help;logs' {
            [CompletionResult]::new('verify', 'verify', [CompletionResultType]::ParameterValue, 'Check the hash chain for removed, changed, reordered or cut-off records')
            break
        }
        'portero;help;logs;verify' {
            break
        }
        'portero;help;why' {
            break
        }
        'portero;help;policy' {
            [CompletionResult]::new('test', 'test', [CompletionResultType]::ParameterValue, 'Decide each case of a file, and exit with 1 if a decision is not the expected one')
            [CompletionResult]::new('replay', 'replay', [CompletionResultType]::ParameterValue, 'Show which calls in the audit the present files would decide differently')
            break
        }
        'portero;help;policy;test' {
            break
        }
        'portero;help;policy;replay' {
            break
        }
        'portero;help;anonymize' {
            break
        }
        'portero;help;replacements' {
            [CompletionResult]::new('list', 'list', [CompletionResultType]::ParameterValue, 'List the replacements in force, by their fakes')
            [CompletionResult]::new('suggest', 'suggest', [CompletionResultType]::ParameterValue, 'Propose fakes: uncommon names, and addresses and numbers that belong to nobody')
            break
        }
        'portero;help;replacements;list' {
            break
        }
        'portero;help;replacements;suggest' {
            break
        }
        'portero;help;check' {
            break
        }
        'portero;help;config' {
            [CompletionResult]::new('diff', 'diff', [CompletionResultType]::ParameterValue, 'Show how the files differ from what you confirmed')
            [CompletionResult]::new('confirm', 'confirm', [CompletionResultType]::ParameterValue, 'Confirm the files as they are now; asks for the passphrase, or a tap on Telegram')
            break
        }
        'portero;help;config;diff' {
            break
        }
        'portero;help;config;confirm' {
            break
        }
        'portero;help;doctor' {
            break
        }
        'portero;help;daemon' {
            [CompletionResult]::new('start', 'start', [CompletionResultType]::ParameterValue, 'Start it, and return once it listens')
            [CompletionResult]::new('stop', 'stop', [CompletionResultType]::ParameterValue, 'Stop it, and return once it has ended')
            [CompletionResult]::new('status', 'status', [CompletionResultType]::ParameterValue, 'Tell whether it runs')
            break
        }
        'portero;help;daemon;start' {
            break
        }
        'portero;help;daemon;stop' {
            break
        }
        'portero;help;daemon;status' {
            break
        }
        'portero;help;passphrase' {
            [CompletionResult]::new('set', 'set', [CompletionResultType]::ParameterValue, 'Set the passphrase, or change it with the old one')
            break
        }
        'portero;help;passphrase;set' {
            break
        }
        'portero;help;totp' {
            [CompletionResult]::new('enroll', 'enroll', [CompletionResultType]::ParameterValue, 'Show a new secret for an authenticator app, and require its codes from then on')
            [CompletionResult]::new('remove', 'remove', [CompletionResultType]::ParameterValue, 'Remove the authenticator; asks for the passphrase and a code, or a recovery code')
            break
        }
        'portero;help;totp;enroll' {
            break
        }
        'portero;help;totp;remove' {
            break
        }
        'portero;help;telegram' {
            [CompletionResult]::new('pair', 'pair', [CompletionResultType]::ParameterValue, 'Show a code that pairs the bot with you; it is valid for five minutes and five tries')
            [CompletionResult]::new('unpair', 'unpair', [CompletionResultType]::ParameterValue, 'End the pairing, so that another person can be paired; asks for the passphrase')
            break
        }
        'portero;help;telegram;pair' {
            break
        }
        'portero;help;telegram;unpair' {
            break
        }
        'portero;help;https' {
            [CompletionResult]::new('cert', 'cert', [CompletionResultType]::ParameterValue, 'Show the certificate''s file, its SHA-256 fingerprint and when it expires')
            break
        }
        'portero;help;https;cert' {
            break
        }
        'portero;help;secret' {
            [CompletionResult]::new('set', 'set', [CompletionResultType]::ParameterValue, 'Set a secret, or replace it; asks for its value without showing it, and for the passphrase')
            [CompletionResult]::new('list', 'list', [CompletionResultType]::ParameterValue, 'List the secrets that are set, never their values')
            [CompletionResult]::new('clear', 'clear', [CompletionResultType]::ParameterValue, 'Forget secrets at once, and end the servers that use them')
            break
        }
        'portero;help;secret;set' {
            break
        }
        'portero;help;secret;list' {
            break
        }
        'portero;help;secret;clear' {
            break
        }
        'portero;help;token' {
            [CompletionResult]::new('create', 'create', [CompletionResultType]::ParameterValue, 'Make a token and show it once; asks for the passphrase, or a tap on Telegram')
            [CompletionResult]::new('list', 'list', [CompletionResultType]::ParameterValue, 'List the tokens: what each reaches, and when it was made, ends, and was last used')
            [CompletionResult]::new('revoke', 'revoke', [CompletionResultType]::ParameterValue, 'End a token and its open sessions at once')
            break
        }
        'portero;help;token;create' {
            break
        }
        'portero;help;token;list' {
            break
        }
        'portero;help;token;revoke' {
            break
        }
        'portero;help;mcp' {
            break
        }
        'portero;help;connect' {
            break
        }
        'portero;help;try' {
            break
        }
        'portero;help;sample-server' {
            break
        }
        'portero;help;generate' {
            break
        }
        'portero;help;help' {
            break
        }
    })

    $completions.Where{ $_.CompletionText -like "$wordToComplete*" } |
        Sort-Object -Property ListItemText
}
