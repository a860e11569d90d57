// An OAuth issuer (oidc-provider) whose login page takes any name, for a protected MCP server on this machine.
//
// Usage: issuer.mjs PORT [jwt AUDIENCE]
//
// With `jwt` its access tokens are signed, for this audience. Otherwise they are opaque, and only /holder knows them.
//
// GET /holder with a bearer token says who holds it, as long as it is neither expired nor revoked.
// GET /expire ends all access tokens, as their time would.
// GET /events lists what happened, for the tests.

import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const require = createRequire(process.env.PEERS + "/");
const { default: Provider } = await import(pathToFileURL(require.resolve("oidc-provider")).href);

const port = Number(process.argv[2]);
const jwtAudience = process.argv[3] === "jwt" ? process.argv[4] : undefined;
const issuer = `http://127.0.0.1:${port}`;
const events = [];
const accessTokens = [];

const provider = new Provider(issuer, {
  claims: { openid: ["sub"] },
  scopes: ["openid", "offline_access", "deposit"],
  features: {
    registration: { enabled: true },
    revocation: { enabled: true },
    deviceFlow: { enabled: true },
    resourceIndicators: {
      enabled: true,
      useGrantedResource: () => true,
      getResourceServerInfo: (_, resource) => ({
        scope: "deposit",
        audience: jwtAudience ?? resource,
        accessTokenFormat: jwtAudience ? "jwt" : "opaque",
        jwt: { sign: { alg: "RS256" } },
        accessTokenTTL: 3600,
      }),
    },
  },
  issueRefreshToken: () => true,
  rotateRefreshToken: true,
  clientAuthMethods: ["none", "client_secret_basic", "client_secret_post"],
  pkce: { required: () => true },
  ttl: { Session: 3600, Grant: 3600, Interaction: 3600, RefreshToken: 3600 },
});

provider.on("access_token.saved", (token) => accessTokens.push(token));
provider.on("grant.success", (ctx) => events.push(`token by ${ctx.oidc.params.grant_type}`));
provider.on("grant.revoked", () => events.push("grant revoked"));
provider.on("refresh_token.destroyed", () => events.push("refresh token revoked"));
provider.on("registration_create.success", () => events.push("client registered"));

provider.use(async (ctx, next) => {
  if (ctx.path === "/holder") {
    const token = (ctx.get("authorization").match(/^Bearer (\S+)$/) ?? [])[1];
    const found = token && (await provider.AccessToken.find(token));
    ctx.status = found?.isValid ? 200 : 401;
    ctx.body = found?.isValid ? found.accountId : "";
    return;
  }
  if (ctx.path === "/expire") {
    await Promise.all(accessTokens.splice(0).map((token) => token.destroy()));
    ctx.status = 204;
    return;
  }
  if (ctx.path === "/events") {
    ctx.body = events;
    return;
  }
  await next();
});

provider.listen(port, "127.0.0.1");
