// Fetches blocks by id through Helia, from a gateway that it does not trust, and prints what it got: a line of JSON for each
// id, in the order given. `node fetch.js raw|car GATEWAY [--changing] ID...`; with --changing, one bit of what the gateway
// says is changed on the way.
import './promise.js'
import { createServer } from 'node:http'
import { trustlessGateway } from '@helia/block-brokers'
import { Helia } from '@helia/utils'
import { CarReader } from '@ipld/car'
import { defaultLogger } from '@libp2p/logger'
import { uriToMultiaddr } from '@multiformats/uri-to-multiaddr'
import { MemoryBlockstore } from 'blockstore-core'
import { MemoryDatastore } from 'datastore-core'
import { CID } from 'multiformats/cid'
import { sha256 } from 'multiformats/hashes/sha2'

const [form, gateway, ...rest] = process.argv.slice(2)
const ids = rest.filter((word) => word !== '--changing')
const through = rest.includes('--changing') ? await changing(gateway) : { url: gateway, close() {} }
const read = form === 'car' ? archived : await block(through.url)
for (const id of ids) {
  try {
    const bytes = await read(CID.parse(id))
    console.log(JSON.stringify({ id, length: bytes.length, sum: sum(await sha256.encode(bytes)) }))
  } catch (error) {
    console.log(JSON.stringify({ id, refused: words(error) }))
  }
}
through.close()
process.exit(0)

// Reads blocks as Helia does, which has nothing but this gateway.
async function block(url) {
  const only = { name: 'only', async * findProviders() { yield { multiaddrs: [uriToMultiaddr(url)], routing: 'only' } } }
  const helia = new Helia({
    blockBrokers: [trustlessGateway({ allowInsecure: true, allowLocal: true })],
    blockstore: new MemoryBlockstore(),
    datastore: new MemoryDatastore(),
    hashers: [],
    codecs: [],
    logger: defaultLogger(),
    routers: [only]
  })
  await helia.start()
  return async (cid) => {
    const parts = []
    for await (const part of helia.blockstore.get(cid, { signal: AbortSignal.timeout(20_000) })) parts.push(part)
    return Buffer.concat(parts)
  }
}

// Reads an archive by the reference decoder, which leaves the check of the bytes to whoever calls it.
async function archived(cid) {
  const answer = await fetch(new URL(`/ipfs/${cid}?format=car`, through.url))
  if (!answer.ok) throw new Error(`the answer has status ${answer.status}`)
  const reader = await CarReader.fromBytes(new Uint8Array(await answer.arrayBuffer()))
  const roots = await reader.getRoots()
  const blocks = []
  for await (const found of reader.blocks()) blocks.push(found)
  if (roots.length !== 1 || !roots[0].equals(cid)) throw new Error(`the roots are ${roots}`)
  if (blocks.length !== 1 || !blocks[0].cid.equals(cid)) throw new Error(`there are ${blocks.length} blocks`)
  const { bytes } = blocks[0]
  const digest = await sha256.digest(bytes)
  if (sum(digest.bytes) !== sum(cid.multihash.bytes)) throw new Error('the bytes are not those of the id')
  return bytes
}

// A gateway that passes on what another one says, with one bit changed in the last byte.
async function changing(other) {
  const server = createServer(async (request, answer) => {
    const said = await fetch(new URL(request.url, other))
    const bytes = new Uint8Array(await said.arrayBuffer())
    bytes[bytes.length - 1] ^= 1
    answer.writeHead(said.status, { 'content-type': said.headers.get('content-type') })
    answer.end(bytes)
  })
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  return { url: `http://127.0.0.1:${server.address().port}`, close: () => server.close() }
}

function words(error) {
  return [error.message, ...(error.errors ?? []).map(words)].join('; ')
}

function sum(bytes) {
  return Buffer.from(bytes).toString('hex')
}
