// An MCP server on stdio with everything that the suite's server scenarios call, so that they can be played through
// Portero. It speaks 2025-11-25, or 2026-07-28 alone if MCP_ERA is `modern`.
import readline from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';

const MODERN = '2026-07-28';
const isModern = process.env.MCP_ERA === 'modern';
const META = 'io.modelcontextprotocol/';
/** How long the suite wants a tool to work between its notifications, in milliseconds. */
const STEP = 50;

const PNG =
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg==';
const WAV = 'UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQAAAAA=';

const text = (words) => ({ type: 'text', text: words });
const image = { type: 'image', data: PNG, mimeType: 'image/png' };
const embedded = (uri, mimeType, words) => ({ type: 'resource', resource: { uri, mimeType, text: words } });
const content = (...parts) => ({ content: parts });

/** What a call may do besides its answer. */
class Call {
  constructor(id, params) {
    this.id = id;
    this.meta = params._meta ?? {};
    this.arguments = params.arguments ?? {};
  }

  notify(method, params) {
    say({ jsonrpc: '2.0', method, params });
  }

  log(data) {
    const level = isModern ? this.meta[META + 'logLevel'] : legacyLevel;
    if (level && LEVELS.indexOf(level) <= LEVELS.indexOf('info')) {
      this.notify('notifications/message', { level: 'info', logger: 'everything', data });
    }
  }

  progress(progress) {
    const { progressToken } = this.meta;
    if (progressToken !== undefined) {
      this.notify('notifications/progress', { progressToken, progress, total: 100 });
    }
  }
}

const LEVELS = ['debug', 'info', 'notice', 'warning', 'error', 'critical', 'alert', 'emergency'];
let legacyLevel = 'info';

const noArguments = { type: 'object', properties: {}, additionalProperties: false };
const oneText = (name) => ({ type: 'object', properties: { [name]: { type: 'string' } }, required: [name] });

const elicit = async (message, properties, required) => {
  const requestedSchema = { type: 'object', properties, ...(required && { required }) };
  const answer = await ask('elicitation/create', { message, requestedSchema });
  return content(text(`Elicitation completed: action=${answer.action}, content=${JSON.stringify(answer.content)}`));
};
const titled = (names) => names.map((title, at) => ({ const: `value${at + 1}`, title }));
const OPTIONS = ['option1', 'option2', 'option3'];

/** Each tool: its schema, and what it does. */
const TOOLS = {
  test_simple_text: [noArguments, () => content(text('This is a simple text response for testing.'))],
  test_image_content: [noArguments, () => content(image)],
  test_audio_content: [noArguments, () => content({ type: 'audio', data: WAV, mimeType: 'audio/wav' })],
  test_embedded_resource: [
    noArguments,
    () => content(embedded('test://embedded-resource', 'text/plain', 'This is an embedded resource content.')),
  ],
  test_multiple_content_types: [
    noArguments,
    () =>
      content(
        text('Multiple content types test:'),
        image,
        embedded('test://mixed-content-resource', 'application/json', '{"test":"data","value":123}'),
      ),
  ],
  test_tool_with_logging: [
    noArguments,
    async (call) => {
      call.log('Tool execution started');
      await pause(STEP);
      call.log('Tool processing data');
      await pause(STEP);
      call.log('Tool execution completed');
      return content(text('It logged.'));
    },
  ],
  test_logging_tool: [
    noArguments,
    (call) => {
      call.log('It runs');
      return content(text('It logged what it was asked for.'));
    },
  ],
  test_tool_with_progress: [
    noArguments,
    async (call) => {
      for (const done of [0, 50, 100]) {
        call.progress(done);
        await pause(STEP);
      }
      return content(text('It is done.'));
    },
  ],
  test_error_handling: [
    noArguments,
    () => ({ ...content(text('This tool intentionally returns an error for testing')), isError: true }),
  ],
  test_reconnection: [
    noArguments,
    async () => {
      await pause(2 * STEP);
      return content(text('Reconnection test completed successfully.'));
    },
  ],
  test_sampling: [
    oneText('prompt'),
    async (call) => {
      const messages = [{ role: 'user', content: text(call.arguments.prompt) }];
      const answer = await ask('sampling/createMessage', { messages, maxTokens: 100 });
      return content(text(`LLM response: ${answer.content.text}`));
    },
  ],
  test_elicitation: [
    oneText('message'),
    (call) => {
      const field = { type: 'string', description: "User's response" };
      return elicit(call.arguments.message, { username: field, email: field }, ['username', 'email']);
    },
  ],
  test_elicitation_sep1034_defaults: [
    noArguments,
    () =>
      elicit('Please review', {
        name: { type: 'string', default: 'John Doe' },
        age: { type: 'integer', default: 30 },
        score: { type: 'number', default: 95.5 },
        status: { type: 'string', enum: ['active', 'inactive', 'pending'], default: 'active' },
        verified: { type: 'boolean', default: true },
      }),
  ],
  test_elicitation_sep1330_enums: [
    noArguments,
    () => {
      const titles = ['First Option', 'Second Option', 'Third Option'];
      return elicit('Please choose', {
        untitledSingle: { type: 'string', enum: OPTIONS },
        titledSingle: { type: 'string', oneOf: titled(titles) },
        legacyEnum: { type: 'string', enum: ['opt1', 'opt2', 'opt3'], enumNames: titles },
        untitledMulti: { type: 'array', items: { type: 'string', enum: OPTIONS } },
        titledMulti: { type: 'array', items: { anyOf: titled(titles) } },
      });
    },
  ],
  json_schema_2020_12_tool: [
    {
      $schema: 'https://json-schema.org/draft/2020-12/schema',
      type: 'object',
      $defs: {
        address: {
          $anchor: 'addressDef',
          type: 'object',
          properties: { street: { type: 'string' }, city: { type: 'string' } },
        },
      },
      properties: {
        name: { type: 'string' },
        address: { $ref: '#/$defs/address' },
        contactMethod: { type: 'string', enum: ['phone', 'email'] },
        phone: { type: 'string' },
        email: { type: 'string' },
      },
      allOf: [{ anyOf: [{ required: ['phone'] }, { required: ['email'] }] }],
      if: { properties: { contactMethod: { const: 'phone' } }, required: ['contactMethod'] },
      then: { required: ['phone'] },
      else: { required: ['email'] },
      additionalProperties: false,
    },
    (call) => content(text(JSON.stringify(call.arguments))),
  ],
  test_custom_headers: [
    {
      type: 'object',
      properties: { region: { type: 'string', 'x-mcp-header': 'Region' }, query: { type: 'string' } },
    },
    (call) => content(text(JSON.stringify(call.arguments))),
  ],
  test_missing_capability: [
    noArguments,
    (call) => {
      if (!call.meta[META + 'clientCapabilities']?.sampling) {
        throw new Refused(-32021, 'the client must declare sampling', { requiredCapabilities: { sampling: {} } });
      }
      return content(text('It was declared.'));
    },
  ],
  test_streaming_elicitation: [
    noArguments,
    async (call) => {
      call.progress(50);
      await pause(STEP);
      return content(text('It asked for nothing.'));
    },
  ],
  test_trigger_tool_change: [
    noArguments,
    () => {
      hasExtraTool = !hasExtraTool;
      announce('toolsListChanged', 'notifications/tools/list_changed');
      return content(text('The list of tools changed.'));
    },
  ],
  test_trigger_prompt_change: [
    noArguments,
    () => {
      hasExtraPrompt = !hasExtraPrompt;
      announce('promptsListChanged', 'notifications/prompts/list_changed');
      return content(text('The list of prompts changed.'));
    },
  ],
};
let hasExtraTool = false;
let hasExtraPrompt = false;

const user = (...parts) => ({ messages: parts.map((part) => ({ role: 'user', content: part })) });
/** Each prompt: its arguments, and what it says. */
const PROMPTS = {
  test_simple_prompt: [[], () => user(text('This is a simple prompt for testing.'))],
  test_prompt_with_arguments: [
    ['arg1', 'arg2'],
    ({ arg1, arg2 }) => user(text(`Prompt with arguments: arg1='${arg1}', arg2='${arg2}'`)),
  ],
  test_prompt_with_embedded_resource: [
    ['resourceUri'],
    ({ resourceUri }) =>
      user(
        embedded(resourceUri, 'text/plain', 'Embedded resource content for testing.'),
        text('Please process the embedded resource above.'),
      ),
  ],
  test_prompt_with_image: [[], () => user(image, text('Please analyze the image above.'))],
};

const RESOURCES = [
  { uri: 'test://static-text', name: 'Static Text', description: 'A text', mimeType: 'text/plain' },
  { uri: 'test://static-binary', name: 'Static Binary', description: 'A picture', mimeType: 'image/png' },
  { uri: 'test://watched-resource', name: 'Watched', description: 'It changes', mimeType: 'text/plain' },
];

function readResource(uri) {
  const template = /^test:\/\/template\/([^/]+)\/data$/.exec(uri);
  if (template) {
    const body = { id: template[1], templateTest: true, data: `Data for ID: ${template[1]}` };
    return { uri, mimeType: 'application/json', text: JSON.stringify(body) };
  }
  switch (uri) {
    case 'test://static-text':
      return { uri, mimeType: 'text/plain', text: 'This is the content of the static text resource.' };
    case 'test://static-binary':
      return { uri, mimeType: 'image/png', blob: PNG };
    case 'test://watched-resource':
      return { uri, mimeType: 'text/plain', text: 'Watched.' };
    default:
      throw new Refused(isModern ? -32602 : -32002, 'Resource not found', { uri });
  }
}

const capabilities = {
  tools: { listChanged: true },
  prompts: { listChanged: true },
  resources: { subscribe: true, listChanged: true },
  completions: {},
  logging: {},
};
const serverInfo = { name: 'everything', version: '1.0.0' };
const describe = (name, rest) => ({ name, description: `The suite calls ${name}.`, ...rest });

const METHODS = {
  'tools/list': () => {
    const tools = Object.entries(TOOLS).map(([name, [inputSchema]]) => describe(name, { inputSchema }));
    return { tools: hasExtraTool ? [...tools, describe('test_extra', { inputSchema: noArguments })] : tools };
  },
  'tools/call': (params, id) => {
    const tool = TOOLS[params.name];
    if (!tool) throw new Refused(-32602, `Unknown tool: ${params.name}`);
    return tool[1](new Call(id, params));
  },
  'resources/list': () => ({ resources: RESOURCES }),
  'resources/templates/list': () => ({
    resourceTemplates: [
      { uriTemplate: 'test://template/{id}/data', name: 'Template', description: 'One for each id', mimeType: 'application/json' },
    ],
  }),
  'resources/read': (params) => ({ contents: [readResource(params.uri)] }),
  'prompts/list': () => {
    const prompts = Object.entries(PROMPTS).map(([name, [names]]) =>
      describe(name, { arguments: names.map((name) => ({ name, description: `The ${name}.`, required: true })) }),
    );
    return { prompts: hasExtraPrompt ? [...prompts, describe('test_extra')] : prompts };
  },
  'prompts/get': (params) => {
    const prompt = PROMPTS[params.name];
    if (!prompt) throw new Refused(-32602, `Unknown prompt: ${params.name}`);
    return prompt[1](params.arguments ?? {});
  },
  'completion/complete': (params) => {
    const values = ['paris', 'park', 'party', 'test'].filter((value) => value.startsWith(params.argument.value));
    return { completion: { values, total: values.length, hasMore: false } };
  },
};
const LEGACY_METHODS = {
  initialize: () => ({ protocolVersion: '2025-11-25', capabilities, serverInfo }),
  ping: () => ({}),
  'resources/subscribe': () => ({}),
  'resources/unsubscribe': () => ({}),
  'logging/setLevel': (params) => {
    legacyLevel = params.level;
    return {};
  },
};
/** The listeners by the ids of their requests (2026-07-28). */
const listeners = new Map();
const MODERN_METHODS = {
  'server/discover': () => ({ supportedVersions: [MODERN], capabilities }),
  'subscriptions/listen': (params, id) => {
    listeners.set(id, params.notifications ?? {});
    const acknowledged = { notifications: params.notifications ?? {}, _meta: { [META + 'subscriptionId']: id } };
    say({ jsonrpc: '2.0', method: 'notifications/subscriptions/acknowledged', params: acknowledged });
    return new Promise(() => {});
  },
};

class Refused extends Error {
  constructor(code, message, data) {
    super(message);
    this.error = { code, message, ...(data && { data }) };
  }
}

function say(message) {
  process.stdout.write(JSON.stringify(message) + '\n');
}

/** Tells clients that a list changed. */
function announce(kind, method) {
  if (!isModern) return say({ jsonrpc: '2.0', method });
  for (const [id, wanted] of listeners) {
    if (wanted[kind]) say({ jsonrpc: '2.0', method, params: { _meta: { [META + 'subscriptionId']: id } } });
  }
}

/** Asks the client, up to 2025-11-25. */
const asked = new Map();
function ask(method, params) {
  if (isModern) throw new Refused(-32603, `${method} is no request of 2026-07-28`);
  const id = `asked-${asked.size + 1}`;
  say({ jsonrpc: '2.0', id, method, params });
  return new Promise((resolve, reject) => asked.set(id, { resolve, reject }));
}

async function answer({ id, method, params = {} }) {
  const own = isModern ? MODERN_METHODS : LEGACY_METHODS;
  const handler = METHODS[method] ?? own[method];
  try {
    if (!handler) throw new Refused(-32601, `Method not found: ${method}`);
    const result = await handler(params, id);
    if (isModern) {
      result.resultType = 'complete';
      result._meta = { [META + 'serverInfo']: serverInfo };
      if (/\/list$|^resources\/read$|^server\/discover$/.test(method)) {
        Object.assign(result, { ttlMs: 0, cacheScope: 'private' });
      }
    }
    say({ jsonrpc: '2.0', id, result });
  } catch (failed) {
    const error = failed.error ?? { code: -32603, message: String(failed.message) };
    say({ jsonrpc: '2.0', id, error });
  }
}

for await (const line of readline.createInterface({ input: process.stdin })) {
  const message = JSON.parse(line);
  if (message.method === undefined) {
    const waiting = asked.get(message.id);
    if (message.error) waiting?.reject(new Refused(message.error.code, message.error.message, message.error.data));
    else waiting?.resolve(message.result);
  } else if (message.id !== undefined) {
    answer(message);
  } else if (message.method === 'notifications/cancelled') {
    listeners.delete(message.params?.requestId);
  }
}
process.exit(0);
