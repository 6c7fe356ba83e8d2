// Makes chain.json from the record's golden envelopes by Node's own hash, following the crate's documentation.
//   node generate.mjs > chain.json
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'

const golden = JSON.parse(readFileSync(new URL('../../record/golden/envelopes.json', import.meta.url)))
const sha256 = (...parts) => createHash('sha256').update(Buffer.concat(parts)).digest()
const u64 = number => { const bytes = Buffer.alloc(8); bytes.writeBigUInt64BE(BigInt(number)); return bytes }
const domain = Buffer.from('lichen/log/v1\0')
const campaign = Buffer.concat([Buffer.from([1, 0x55, 0x12, 0x20]), sha256(Buffer.from('manifest'))])

let hash = sha256(domain, campaign)
const first = hash.toString('hex')
const entries = golden.vectors.filter(vector => vector.domain === 'entry' && !vector.high)
const records = entries.map((vector, index) => {
  const time = 1764000000000 + Math.floor(index / 2) * 1500
  const entry = Buffer.from(vector.envelope, 'hex')
  hash = sha256(domain, hash, u64(index), u64(time), sha256(entry))
  return { index, time, entry: vector.envelope, hash: hash.toString('hex') }
})
console.log(JSON.stringify({ first, records }, null, 1))
