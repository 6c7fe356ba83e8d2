// Makes envelopes.json by other people's code: JavaScript's DAG-CBOR and content ids, Node's WebCrypto.
//   npm install @ipld/dag-cbor@10.0.2 multiformats@14.0.5 && node generate.mjs envelopes.json > new.json
// ECDSA in WebCrypto is randomised, so each run gives other signatures; the committed file is the reference. The key and
// the vectors of the file that is named are kept, so that what was written once stays readable.
import { readFileSync } from 'node:fs'
import { encode } from '@ipld/dag-cbor'
import { CID } from 'multiformats/cid'
import { base58btc } from 'multiformats/bases/base58'
import { sha256 } from 'multiformats/hashes/sha2'
import * as raw from 'multiformats/codecs/raw'

const { subtle } = globalThis.crypto
const ORDER = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n
const hex = bytes => Buffer.from(bytes).toString('hex')
const cidOf = async (code, bytes) => CID.create(1, code, await sha256.digest(bytes))
const text = string => new TextEncoder().encode(string)
const number = bytes => BigInt('0x' + hex(bytes))

const algorithm = { name: 'ECDSA', namedCurve: 'P-256' }
const known = process.argv[2] ? JSON.parse(readFileSync(process.argv[2])) : undefined
const pair = known ? await kept(known) : await subtle.generateKey(algorithm, true, ['sign', 'verify'])
const point = new Uint8Array(await subtle.exportKey('raw', pair.publicKey))
const secret = Buffer.from((await subtle.exportKey('jwk', pair.privateKey)).d, 'base64url')
const account = Uint8Array.of(2 + (point[64] & 1), ...point.slice(1, 33))
const did = 'did:key:' + base58btc.encode(Uint8Array.of(0x80, 0x24, ...account))

const manifest = await cidOf(raw.code, text('manifest'))
const base = await cidOf(raw.code, text('base'))
const update = await cidOf(raw.code, text('update'))
const result = await cidOf(raw.code, text('result'))
const state = await cidOf(raw.code, text('state'))
const campaign = manifest
const hash = new Uint8Array(32).map((_, i) => i)

const messages = [
  ['entry', 'published', { published: { campaign, manifest, base } }],
  ['entry', 'joined', { joined: { campaign, sequence: 1 } }],
  ['entry', 'left', { left: { campaign, sequence: 4294967296 } }],
  ['entry', 'round-opened', { 'round-opened': { campaign, round: 1, base } }],
  ['entry', 'contribution', { contribution: { campaign, round: 23, base, update, samples: 480, metrics: { loss: 0.6931471805599453, accuracy: 0.8125, steps: 60 } } }],
  ['entry', 'contribution-by-cpu', { contribution: { campaign, round: 23, base, update, samples: 480, metrics: { loss: 0.6931471805599453, accuracy: 0.8125, steps: 60 }, engine: { kind: 'cpu', version: 1 } } }],
  ['entry', 'contribution-by-gpu', { contribution: { campaign, round: 23, base, update, samples: 480, metrics: { loss: 0.6931471805599453, accuracy: 0.8125, steps: 60 }, engine: { kind: 'gpu', version: 300 } } }],
  ['entry', 'contribution-with-trace', { contribution: { campaign, round: 23, base, update, samples: 480, metrics: { loss: 0.6931471805599453, accuracy: 0.8125, steps: 60 }, engine: { kind: 'cpu', version: 1 }, trace: state } }],
  ['entry', 'round-closed', { 'round-closed': { campaign, round: 24 } }],
  ['entry', 'checkpointed', { checkpointed: { campaign, round: 255, base, result } }],
  ['entry', 'checkpointed-without', { checkpointed: { campaign, round: 255, base, result, excluded: 2 } }],
  ['entry', 'checkpointed-with-state', { checkpointed: { campaign, round: 255, base, result, state } }],
  ['entry', 'checkpointed-with-difference', { checkpointed: { campaign, round: 255, base, result, difference: update } }],
  ['entry', 'unavailable', { unavailable: { campaign, round: 256, update } }],
  ['entry', 'departed', { departed: { campaign, round: 65536, account } }],
  ['entry', 'round-overdue', { 'round-overdue': { campaign, round: 25 } }],
  ['entry', 'finished', { finished: { campaign, round: 65537 } }],
  ['entry', 'snapshot', { snapshot: { campaign, state } }],
  ['entry', 'audit', { audit: { campaign, round: 22, contributor: account, found: update } }],
  ['entry', 'audit-with-evidence', { audit: { campaign, round: 22, contributor: account, found: update, evidence: { piece: 300, before: state, after: result } } }],
  ['entry', 'audit-with-evidence-from-the-base', { audit: { campaign, round: 22, contributor: account, found: update, evidence: { piece: 0, after: result } } }],
  ['entry', 'decided-pause', { decided: { campaign, sequence: 1, decision: 'pause' } }],
  ['entry', 'decided-resume', { decided: { campaign, sequence: 24, decision: 'resume' } }],
  ['entry', 'decided-finish', { decided: { campaign, sequence: 256, decision: 'finish' } }],
  ['entry', 'decided-retire', { decided: { campaign, sequence: 4294967296, decision: 'retire' } }],
  ['entry', 'decided-change', { decided: { campaign, sequence: 2, decision: { change: { 'deadline-ms': 90000, 'target-accuracy': 0.96875, 'learning-rate': 0.002 } } } }],
  ['entry', 'decided-change-of-one', { decided: { campaign, sequence: 3, decision: { change: { 'learning-rate': 0.001 } } } }],
  ['session', 'session', { peer: Uint8Array.of(0x00, 0x24, 0x08, 0x01, 0x12, 0x20, ...hash), issued: 1764000000000 }],
  ['head', 'head', { campaign, length: 3, hash }],
  ['receipt', 'receipt', { entry: await cidOf(0x71, text('entry')), head: { campaign, length: 3, hash } }]
]

const vectors = []
for (const [domain, name, message] of messages) {
  for (const high of [false, true]) {
    const old = known?.vectors.find(vector => vector.name === name && vector.high === high)
    if (old) {
      vectors.push(old)
      continue
    }
    const payload = encode(message)
    const signed = Buffer.concat([text(`lichen/${domain}/v1\0`), account, payload])
    let signature
    do {
      signature = new Uint8Array(await subtle.sign({ name: 'ECDSA', hash: 'SHA-256' }, pair.privateKey, signed))
    } while ((number(signature.slice(32)) > ORDER / 2n) !== high)
    const lower = Uint8Array.from(signature)
    if (high) lower.set(Buffer.from((ORDER - number(signature.slice(32))).toString(16).padStart(64, '0'), 'hex'), 32)
    const envelope = encode({ account, payload, signature: lower })
    vectors.push({
      name, domain, high,
      payload: hex(payload),
      signed: hex(signed),
      signature: hex(signature),
      envelope: hex(envelope),
      id: (await cidOf(0x71, envelope)).toString()
    })
  }
}
async function kept ({ secret, point }) {
  const url = bytes => Buffer.from(bytes).toString('base64url')
  const sec1 = Buffer.from(point, 'hex')
  const open = { kty: 'EC', crv: 'P-256', x: url(sec1.subarray(1, 33)), y: url(sec1.subarray(33)) }
  const key = { ...open, d: url(Buffer.from(secret, 'hex')) }
  return {
    publicKey: await subtle.importKey('jwk', open, algorithm, true, ['verify']),
    privateKey: await subtle.importKey('jwk', key, algorithm, true, ['sign'])
  }
}

const cids = { manifest, base, update, result }
console.log(JSON.stringify({
  secret: hex(secret), point: hex(point), account: did,
  cids: Object.fromEntries(Object.entries(cids).map(([name, cid]) => [name, cid.toString()])),
  vectors
}, null, 1))
