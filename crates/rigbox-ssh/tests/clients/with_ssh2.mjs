// Uses a workspace through the gateway with ssh2, as a program would. Ends with the word ok.
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import { once } from 'node:events';

const [modules, port, key, hostKey, echo, folder] = process.argv.slice(2);
const { Client } = createRequire(`${modules}/`)('ssh2');

const connect = async (options) => {
  const client = new Client();
  client.connect({
    host: '127.0.0.1', port: Number(port), username: process.env.WORKSPACE ?? 'work', privateKey: fs.readFileSync(key),
    hostVerifier: (shown) => shown.toString('base64') === hostKey, ...options,
  });
  await once(client, 'ready');
  return client;
};

const call = (client, method, ...rest) => new Promise((resolve, reject) => {
  client[method](...rest, (error, result) => (error ? reject(error) : resolve(result)));
});

const all = async (stream) => {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
};

// What it says may come with the answer: whoever listens later misses it.
const run = (client, command, input = '', options = {}) => new Promise((resolve, reject) => {
  client.exec(command, options, (error, stream) => {
    if (error) return reject(error);
    const ended = once(stream, 'exit');
    stream.stderr.resume();
    stream.end(input);
    return Promise.all([all(stream), ended]).then(([out, exit]) => resolve([out, ...exit]), reject);
  });
});

const data = crypto.randomBytes(4_000_000);
for (const cipher of ['aes256-gcm@openssh.com', 'aes128-gcm@openssh.com', 'chacha20-poly1305@openssh.com']) {
  const client = await connect({ algorithms: { cipher: [cipher] } });
  assert(data.equals((await run(client, 'cat', data))[0]));
  client.end();
}

const client = await connect();
assert.deepEqual((await run(client, 'echo out; exit 3')).slice(0, 2), [Buffer.from('out\n'), 3]);
assert.equal((await run(client, 'kill -TERM $$'))[2], 'SIGTERM');
const size = await run(client, 'stty size', '', { pty: { rows: 33, cols: 91 } });
assert.match(size[0].toString(), /33 91/);

const sftp = await call(client, 'sftp');
await call(sftp, 'writeFile', `${folder}/ssh2`, data);
assert(data.equals(await call(sftp, 'readFile', `${folder}/ssh2`)));

const forward = await call(client, 'forwardOut', '127.0.0.1', 1, 'localhost', Number(echo));
forward.end('there and back');
assert.equal((await all(forward)).toString(), 'there and back');

client.on('tcp connection', (_, accept) => {
  const stream = accept();
  stream.once('data', (data) => stream.end(data));
});
const remote = await call(client, 'forwardIn', '127.0.0.1', 0);
const there = `exec 3<>/dev/tcp/127.0.0.1/${remote}; printf 'from the workspace' >&3; cat <&3`;
assert.equal((await run(client, `bash -c "${there}"`))[0].toString(), 'from the workspace');

const numbers = [...Array(9).keys()];
const said = await Promise.all(numbers.map((number) => run(client, `echo ${number}`)));
assert.deepEqual(said.map(([out]) => out.toString()), numbers.map((number) => `${number}\n`));
client.end();
await once(client, 'close');

const stranger = crypto.generateKeyPairSync('rsa', {
  modulusLength: 2048,
  privateKeyEncoding: { type: 'pkcs1', format: 'pem' },
  publicKeyEncoding: { type: 'pkcs1', format: 'pem' },
});
await assert.rejects(connect({ privateKey: stranger.privateKey }), /authentication methods failed/);
console.log('ok');
