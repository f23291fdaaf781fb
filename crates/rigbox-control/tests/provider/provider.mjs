// A real provider of OpenID Connect (oidc-provider, certified) on a port of its own, for tests.
// Says its issuer on standard output; ends when standard input does. Besides what the provider does,
// POST /test/person sets who somebody is, and POST /test/rotate gives it new keys.
//
// usage: node provider.mjs FOLDER-WITH-NODE_MODULES '{"thin": false}'

import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import { pathToFileURL } from 'node:url';

const [folder, options] = process.argv.slice(2);
const { Provider } = await import(pathToFileURL(`${folder}/node_modules/oidc-provider/lib/index.js`));
const { thin } = JSON.parse(options);

const people = new Map();

function keys() {
  const made = [
    generateKeyPairSync('rsa', { modulusLength: 2048 }),
    generateKeyPairSync('ec', { namedCurve: 'P-256' }),
    generateKeyPairSync('ed25519'),
  ];
  return { keys: made.map((pair) => ({ ...pair.privateKey.export({ format: 'jwk' }), kid: randomUUID(), use: 'sig' })) };
}

function client(name, alg, method) {
  return {
    client_id: `rigbox-${name}`,
    client_secret: `secret of ${name}: +/&`,
    token_endpoint_auth_method: method,
    id_token_signed_response_alg: alg,
    // A native client's port on the loopback address is free (RFC 8252 7.3).
    application_type: 'native',
    redirect_uris: [`http://127.0.0.1/auth/oidc/${name}/callback`],
  };
}

function make(issuer) {
  const provider = new Provider(issuer, {
    clients: [
      client('rs', 'RS256', 'client_secret_basic'),
      client('es', 'ES256', 'client_secret_post'),
      client('ed', 'EdDSA', 'client_secret_basic'),
    ],
    jwks: keys(),
    cookies: { keys: ['of a test'] },
    claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name'] },
    // By the standard an ID token beside a code has no more claims than it must.
    conformIdTokenClaims: thin,
    enabledJWA: { idTokenSigningAlgValues: ['RS256', 'ES256', 'EdDSA'] },
    pkce: { required: () => true },
    findAccount: (_, sub) => ({ accountId: sub, claims: () => ({ sub, ...people.get(sub) }) }),
  });
  return provider.callback();
}

async function document(request) {
  const parts = [];
  for await (const part of request) parts.push(part);
  return JSON.parse(Buffer.concat(parts).toString());
}

let issuer;
let serve;

const server = createServer(async (request, response) => {
  if (request.url === '/test/person') {
    const { sub, ...claims } = await document(request);
    people.set(sub, claims);
    response.end();
  } else if (request.url === '/test/rotate') {
    serve = make(issuer);
    response.end();
  } else {
    serve(request, response);
  }
});

server.listen(0, '127.0.0.1', () => {
  issuer = `http://127.0.0.1:${server.address().port}`;
  serve = make(issuer);
  process.stdout.write(`${issuer}\n`);
});
process.stdin.resume();
process.stdin.on('end', () => process.exit(0));
