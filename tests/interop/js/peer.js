// A js-libp2p peer for a browser window, controlled through `globalThis.peer`. The Rust peer offers the same calls.
import { noise } from '@chainsafe/libp2p-noise'
import { yamux } from '@chainsafe/libp2p-yamux'
import { circuitRelayTransport } from '@libp2p/circuit-relay-v2'
import { identify } from '@libp2p/identify'
import { ping } from '@libp2p/ping'
import { webRTC } from '@libp2p/webrtc'
import { webSockets } from '@libp2p/websockets'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'

const ECHO = '/lichen-interop/echo/1'
const DIGEST = '/lichen-interop/digest/1'
const HANGUP = '/lichen-interop/hangup/1'
const RESET = '/lichen-interop/reset/1'

let node

async function start (relay) {
  node = await createLibp2p({
    addresses: { listen: ['/p2p-circuit', '/webrtc'] },
    transports: [webSockets(), circuitRelayTransport(), webRTC({ rtcConfiguration: { iceServers: [] } })],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    connectionGater: { denyDialMultiaddr: () => false },
    services: { identify: identify(), ping: ping() }
  })
  await node.handle(ECHO, echo, { maxInboundStreams: 100 })
  await node.handle(DIGEST, digest)
  await node.handle(HANGUP, hangup)
  await node.handle(RESET, reset)
  await node.dial(multiaddr(relay))
  return node.peerId.toString()
}

// The address others dial, once the relay has given a reservation; null before.
function address () {
  const found = node.getMultiaddrs().find(candidate => candidate.toString().includes('/p2p-circuit/webrtc'))
  return found?.toString() ?? null
}

async function connect (remote) {
  const began = performance.now()
  await node.dial(multiaddr(remote))
  return performance.now() - began
}

// The connections to a peer, by their remote address; a direct one contains /webrtc.
function connections (id) {
  return node.getConnections().filter(connection => connection.remotePeer.toString() === id)
    .map(connection => connection.remoteAddr.toString())
}

function direct (id) {
  const connection = node.getConnections().find(candidate =>
    candidate.remotePeer.toString() === id && candidate.remoteAddr.toString().includes('/webrtc'))
  if (connection == null) throw new Error(`no direct connection to ${id}`)
  return connection
}

async function protocols (id) {
  return (await node.services.identify.identify(direct(id))).protocols
}

async function pingOnce (id) {
  return node.services.ping.ping(direct(id).remotePeer)
}

async function echoes (id, streams, bytes) {
  const one = async index => {
    const stream = await direct(id).newStream(ECHO)
    const sent = new Uint8Array(bytes).fill(index)
    const heard = collect(stream)
    await write(stream, sent)
    await stream.close()
    return equal(await heard, sent)
  }
  const outcomes = await Promise.all(Array.from({ length: streams }, (_, index) => one(index)))
  return outcomes.filter(same => same).length
}

async function digests (id, bytes) {
  const stream = await direct(id).newStream(DIGEST)
  const sent = pattern(bytes)
  const heard = collect(stream)
  await write(stream, sent)
  await stream.close()
  return new TextDecoder().decode(await heard) === await sha256(sent)
}

// The remote ends first; our half still carries bytes, of which the remote reports the count on a second stream.
async function hangups (id) {
  const stream = await direct(id).newStream(HANGUP)
  await write(stream, new Uint8Array([1]))
  const heard = new TextDecoder().decode(await collect(stream))
  await write(stream, new Uint8Array(5000))
  await stream.close()
  return heard
}

async function resets (id) {
  const stream = await direct(id).newStream(RESET)
  try {
    await write(stream, new Uint8Array([1]))
    await collect(stream)
    return stream.status === 'reset' ? 'reset' : `ended as ${stream.status}`
  } catch {
    return 'reset'
  }
}

async function echo (stream) {
  const heard = await collect(stream)
  await write(stream, heard)
  await stream.close()
}

async function digest (stream) {
  const heard = await collect(stream)
  await write(stream, new TextEncoder().encode(await sha256(heard)))
  await stream.close()
}

let hungUp = 0
async function hangup (stream) {
  const rest = collect(stream)
  await write(stream, new TextEncoder().encode('bye'))
  await stream.close()
  hungUp = (await rest).length
}

async function reset (stream) {
  for await (const _ of stream) {
    stream.abort(new Error('as the test wants'))
    return
  }
}

async function collect (stream) {
  const parts = []
  for await (const part of stream) parts.push(part.subarray())
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0))
  let offset = 0
  for (const part of parts) {
    whole.set(part, offset)
    offset += part.length
  }
  return whole
}

async function write (stream, bytes) {
  for (let offset = 0; offset < bytes.length; offset += 65536) {
    if (!stream.send(bytes.subarray(offset, offset + 65536))) await stream.onDrain()
  }
}

function pattern (length) {
  return Uint8Array.from({ length }, (_, index) => Math.imul(index, 2654435761) >>> 24)
}

function equal (a, b) {
  return a.length === b.length && a.every((byte, index) => byte === b[index])
}

async function sha256 (bytes) {
  const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes))
  return Array.from(hash, byte => byte.toString(16).padStart(2, '0')).join('')
}

globalThis.peer = {
  start, address, connect, connections, protocols, ping: pingOnce, echoes, digests, hangups, resets,
  hungUp: () => hungUp
}
