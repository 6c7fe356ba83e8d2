// Writes log.vkey, witness.vkey and checkpoint.txt: the checkpoint of a small tree, signed by a log's key and by a
// witness's, computed from the specifications with node's cryptography and without any of our code.
//
//   node notes.mjs

import { createECDH, createHash, createPrivateKey, createPublicKey, sign } from "node:crypto";
import { writeFileSync } from "node:fs";

const sha256 = (...parts) => createHash("sha256").update(Buffer.concat(parts)).digest();

function ed25519(seed) {
  const der = Buffer.concat([Buffer.from("302e020100300506032b657004220420", "hex"), Buffer.alloc(32, seed)]);
  const key = createPrivateKey({ key: der, format: "der", type: "pkcs8" });
  const spki = createPublicKey(key).export({ format: "der", type: "spki" });
  return { sign: (message) => sign(null, message, key), public: spki.subarray(-32) };
}

function base32(bytes) {
  const bits = [...bytes].map((byte) => byte.toString(2).padStart(8, "0")).join("");
  const groups = bits.match(/.{1,5}/g).map((group) => parseInt(group.padEnd(5, "0"), 2));
  return groups.map((group) => "abcdefghijklmnopqrstuvwxyz234567"[group]).join("");
}

function base58(bytes) {
  const letters = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
  let [number, text] = [BigInt("0x" + bytes.toString("hex")), ""];
  for (; number > 0n; number /= 58n) text = letters[Number(number % 58n)] + text;
  return text;
}

const ecdh = createECDH("prime256v1");
ecdh.setPrivateKey(Buffer.alloc(32, 1));
const coordinator = ecdh.getPublicKey(null, "compressed");
const account = "did:key:z" + base58(Buffer.concat([Buffer.from([0x80, 0x24]), coordinator]));
const campaign = "b" + base32(Buffer.concat([Buffer.from([1, 0x55, 0x12, 32]), sha256(Buffer.from("a campaign"))]));
const origin = `lichen/${campaign}/${account}`;

function root(leaves) {
  if (leaves.length === 1) return leaves[0];
  let split = 1;
  while (2 * split < leaves.length) split *= 2;
  return sha256(Buffer.from([1]), root(leaves.slice(0, split)), root(leaves.slice(split)));
}

const leaves = Array.from({ length: 7 }, () => sha256(Buffer.from([0]), Buffer.from("leaf")));
const text = `${origin}\n7\n${root(leaves).toString("base64")}\n`;

const id = (name, kind, key) => sha256(Buffer.from(`${name}\n`), Buffer.from([kind]), key).subarray(0, 4);
const vkey = (name, kind, key) =>
  `${name}+${id(name, kind, key).toString("hex")}+${Buffer.concat([Buffer.from([kind]), key]).toString("base64")}\n`;
const line = (name, kind, key, ...signature) =>
  `\u2014 ${name} ${Buffer.concat([id(name, kind, key), ...signature]).toString("base64")}\n`;

const [log, witness, name, seconds] = [ed25519(2), ed25519(3), "witness.example/w1", 1764000000];
const time = Buffer.alloc(8);
time.writeBigUInt64BE(BigInt(seconds));
const cosigned = Buffer.from(`cosignature/v1\ntime ${seconds}\n${text}`);
const here = (file) => new URL(file, import.meta.url);
writeFileSync(here("log.vkey"), vkey(origin, 1, log.public));
writeFileSync(here("witness.vkey"), vkey(name, 4, witness.public));
writeFileSync(
  here("checkpoint.txt"),
  `${text}\n${line(origin, 1, log.public, log.sign(Buffer.from(text)))}` +
    line(name, 4, witness.public, time, witness.sign(cosigned)),
);
