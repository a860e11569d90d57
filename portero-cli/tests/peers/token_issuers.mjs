// A real issuer on loopback, driven by lines on stdin: prints one JSON line for each.
// argv: node_modules, "oidc-provider" or "oauth2-mock-server".
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { createServer } from "node:http";
import { pathToFileURL } from "node:url";
import { generateKeyPairSync } from "node:crypto";
import path from "node:path";

const [modules, kind] = process.argv.slice(2);
const require = createRequire(path.join(modules, "x.js"));
const load = (name) => import(pathToFileURL(require.resolve(name)).href);
const say = (value) => process.stdout.write(JSON.stringify(value) + "\n");
const audience = "portero";

// How often the keys were asked for.
let fetches = 0;
let issuer;
let answer;

if (kind === "oidc-provider") {
  const { default: Provider } = await load("oidc-provider");
  const jwk = (kid) => {
    const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
    return { ...privateKey.export({ format: "jwk" }), kid, use: "sig", alg: "RS256" };
  };
  const provider = (issuer, keys) => {
    const made = new Provider(issuer, {
      jwks: { keys },
      clients: [{
        client_id: "agent", client_secret: "not-a-secret", grant_types: ["client_credentials"],
        redirect_uris: [], response_types: [], scope: "notes:use",
      }],
      scopes: ["notes:use"],
      features: {
        clientCredentials: { enabled: true },
        devInteractions: { enabled: false },
        resourceIndicators: {
          enabled: true,
          defaultResource: () => "urn:portero",
          getResourceServerInfo: () => ({
            scope: "notes:use", audience, accessTokenFormat: "jwt", accessTokenTTL: 300,
            jwt: { sign: { alg: "RS256" } },
          }),
        },
      },
    });
    return made.callback();
  };
  let keys = [jwk("first")];
  let handle;
  const server = createServer((request, response) => {
    if (request.url === "/jwks") fetches += 1;
    handle(request, response);
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  issuer = `http://127.0.0.1:${server.address().port}`;
  handle = provider(issuer, keys);
  answer = async ({ command, scope }) => {
    if (command === "rotate") {
      keys = [jwk("second")];
      handle = provider(issuer, keys);
      return {};
    }
    const response = await fetch(`${issuer}/token`, {
      method: "POST",
      headers: {
        authorization: `Basic ${Buffer.from("agent:not-a-secret").toString("base64")}`,
        "content-type": "application/x-www-form-urlencoded",
      },
      body: new URLSearchParams({ grant_type: "client_credentials", ...(scope ? { scope } : {}) }),
    });
    const body = await response.json();
    if (!body.access_token) throw new Error(JSON.stringify(body));
    return { token: body.access_token };
  };
} else {
  const { OAuth2Server } = await load("oauth2-mock-server");
  const server = new OAuth2Server();
  await server.issuer.keys.generate("RS256", { kid: "first" });
  await server.start(0, "127.0.0.1");
  issuer = `http://127.0.0.1:${server.address().port}`;
  server.issuer.url = issuer;
  answer = async ({ command, claims, kid, header }) => {
    if (command === "rotate") {
      await server.issuer.keys.generate("RS256", { kid: "second" });
      return {};
    }
    const token = await server.issuer.buildToken({
      kid,
      scopesOrTransform: (head, payload) => {
        Object.assign(head, header);
        Object.assign(payload, { aud: audience, sub: "jane", scope: "notes:use" }, claims);
      },
    });
    return { token };
  };
}

say({ issuer });
for await (const line of createInterface({ input: process.stdin })) {
  try {
    say(JSON.parse(line).command === "fetches" ? { fetches } : await answer(JSON.parse(line)));
  } catch (error) {
    say({ error: String(error) });
  }
}
