// A peer that breaks the rules: it signals by hand over a circuit, and speaks on bare data channels.
import { noise } from '@chainsafe/libp2p-noise'
import { yamux } from '@chainsafe/libp2p-yamux'
import { circuitRelayTransport } from '@libp2p/circuit-relay-v2'
import { identify } from '@libp2p/identify'
import { webSockets } from '@libp2p/websockets'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'

const SIGNALLING = '/webrtc-signaling/0.0.1'
const PEER = '/lichen/peer/1.0.0'
const [OFFER, ANSWER, CANDIDATE] = [0, 1, 2]
const FLAGS = ['fin', 'stop', 'reset', 'ack']

let node, relay, pc, init
// What the victim opened: it is read, and answered as far as a test says.
const incoming = []

async function start (address) {
  relay = address
  node = await createLibp2p({
    transports: [webSockets(), circuitRelayTransport()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    connectionGater: { denyDialMultiaddr: () => false },
    services: { identify: identify() }
  })
  await node.dial(multiaddr(relay))
  return node.peerId.toString()
}

// A signalling stream to the victim: `say` sends, `heard` has what came, `end` is how it ended.
async function signalling (victim) {
  const known = node.getConnections().find(one => one.remotePeer.toString() === victim)
  const circuit = known ?? await node.dial(multiaddr(`${relay}/p2p-circuit/p2p/${victim}`))
  const stream = await circuit.newStream(SIGNALLING, { runOnLimitedConnection: true })
  const signals = { heard: [], end: null, say: (type, data) => stream.send(signal(type, data)) }
  signals.read = read(stream, signals).then(() => { signals.end = stream.status }, error => { signals.end = error.name })
  return signals
}

async function read (stream, signals) {
  let rest = new Uint8Array()
  for await (const part of stream) {
    rest = joined([rest, part.subarray()])
    for (let length = whole(rest); length !== null; length = whole(rest)) {
      signals.heard.push(parsed(rest.subarray(0, length)))
      signals.onheard?.(signals.heard.at(-1))
      rest = rest.subarray(length)
    }
  }
}

// Connects as the rules want it.
async function connect (victim) {
  const signals = await signalling(victim)
  pc = new RTCPeerConnection()
  init = pc.createDataChannel('init')
  pc.ondatachannel = ({ channel }) => {
    channel.binaryType = 'arraybuffer'
    incoming.push(listen(channel))
  }
  pc.onicecandidate = ({ candidate }) => {
    if (candidate?.candidate) signals.say(CANDIDATE, JSON.stringify(candidate.toJSON()))
  }
  let described = Promise.resolve()
  signals.onheard = ({ type, data }) => {
    described = described.then(() => type === ANSWER
      ? pc.setRemoteDescription({ type: 'answer', sdp: data })
      : pc.addIceCandidate(JSON.parse(data)))
  }
  const offer = await pc.createOffer()
  signals.say(OFFER, offer.sdp)
  await pc.setLocalDescription(offer)
  await new Promise(resolve => {
    pc.onconnectionstatechange = () => pc.connectionState === 'connected' && resolve()
  })
  if (init.readyState !== 'open') await new Promise(resolve => { init.onopen = resolve })
  init.close()
  return pc.connectionState
}

// Collects what comes on a channel.
function listen (channel) {
  const stream = { channel, bytes: new Uint8Array(), flags: [], isClosed: false }
  let rest = new Uint8Array()
  channel.onmessage = ({ data }) => {
    rest = joined([rest, new Uint8Array(data)])
    for (let length = whole(rest); length !== null; length = whole(rest)) {
      const { type, data } = parsed(rest.subarray(0, length), true)
      if (type !== null) stream.flags.push(FLAGS[type])
      if (data !== null) stream.bytes = joined([stream.bytes, data])
      rest = rest.subarray(length)
      stream.onbytes?.()
    }
  }
  channel.onclose = () => { stream.isClosed = true }
  stream.until = holds => new Promise((resolve, reject) => {
    const look = () => {
      if (holds()) resolve(stream)
      else if (stream.isClosed) reject(new Error(`the victim closed the stream, flags ${stream.flags}`))
      else setTimeout(look, 5)
    }
    look()
  })
  return stream
}

async function bare () {
  const channel = pc.createDataChannel('')
  channel.binaryType = 'arraybuffer'
  const stream = listen(channel)
  if (channel.readyState !== 'open') await new Promise(resolve => { channel.onopen = resolve })
  return stream
}

// A frame of no bytes before, between and after the others changes nothing: the answer comes.
async function emptyFrames (frames, size) {
  const stream = await bare()
  const nothing = new Uint8Array([0])
  const question = joined([new Uint8Array([0, 0, 0, 8]), big(frames), big(size)])
  for (const part of [text('/multistream/1.0.0'), text(PEER), question]) {
    stream.channel.send(nothing)
    stream.channel.send(frame(null, part))
  }
  // A whole message of them.
  stream.channel.send(new Uint8Array(16 * 1024))
  stream.channel.send(frame(0))
  const agreed = text('/multistream/1.0.0').length + text(PEER).length
  await stream.until(() => stream.bytes.length >= agreed + frames * (4 + size))
  return stream.bytes.length - agreed
}

// A question in a frame of one byte too many: how the victim answers.
async function longFrame () {
  const stream = await bare()
  const question = joined([text('/multistream/1.0.0'), text(PEER), new Uint8Array([0, 0, 0, 8]), big(1), big(1)])
  const payload = new Uint8Array(16 * 1024 + 1 - 2 - 3)
  payload.set(question)
  const long = frame(null, payload)
  if (long.length !== 16 * 1024 + 1) throw new Error(`a frame of ${long.length} bytes`)
  stream.channel.send(long)
  await stream.until(() => stream.flags.length > 0)
  return stream.flags[0]
}

// Opens so many streams as fast as the browser lets us, until the victim hangs up; returns how many it took.
async function openStreams (count) {
  const gone = () => pc.sctp.state === 'closed'
  let opened = 0
  while (opened < count && !gone()) {
    const round = []
    try {
      while (round.length < 500 && opened < count) {
        round.push(pc.createDataChannel(''))
        opened += 1
      }
    } catch { /* The browser has no more channels for now. */ }
    await new Promise(resolve => setTimeout(resolve, 0))
    for (const channel of round) channel.close()
  }
  return opened
}

// Asks on so many streams at once and never takes an end for an answer: what became of them.
async function ask (streams) {
  const question = joined([new Uint8Array([0, 0, 0, 1]), new Uint8Array([7])])
  let opened = 0
  for (; opened < streams && pc.sctp.state !== 'closed'; opened += 1) {
    const stream = await Promise.race([bare(), new Promise(resolve => setTimeout(resolve, 1000, null))])
    if (stream === null || stream.channel.readyState !== 'open') continue
    stream.channel.send(frame(null, joined([text('/multistream/1.0.0'), text(PEER), question])))
  }
  return opened
}

// Signalling that leads to nothing: how each stream ends.
async function outOfTurn (victim, wrongs) {
  const ends = []
  for (const wrong of wrongs) {
    const signals = await signalling(victim)
    for (const type of wrong) signals.say(type, type === CANDIDATE ? '{"candidate":""}' : await description())
    await signals.read
    ends.push(signals.end)
  }
  return ends
}

// Opens so many signalling streams and says nothing on them.
async function silence (victim, count) {
  globalThis.silent = await Promise.all(Array.from({ length: count }, () => signalling(victim)))
  return count
}

// Hands the victim the offer of a connection that is somebody else's, as if it were ours.
async function foreignOffer (victim) {
  const signals = await signalling(victim)
  signals.say(OFFER, await description())
  await new Promise(resolve => { signals.onheard = resolve })
  return signals.heard[0].type === ANSWER
}

// Begins to connect and goes no further.
async function offer (victim) {
  const signals = await signalling(victim)
  return signals.say(OFFER, await description())
}

// Answers whatever the victim opens: identify with lies, the rest as it should be.
function lie (name, addresses, protocols) {
  // A name is its public key: behind the parts' code and length, and the hash's.
  const publicKey = multiaddr(`/p2p/${name}`).bytes.subarray(5)
  const fields = [
    ...protocols.map(name => field(3, new TextEncoder().encode(name))),
    ...addresses.map(address => field(2, multiaddr(address).bytes)),
    field(1, publicKey), field(5, new TextEncoder().encode('a liar'))
  ]
  const lies = joined(fields)
  globalThis.lies = 0
  const answer = stream => {
    stream.onbytes = () => {
      const heard = new TextDecoder().decode(stream.bytes)
      if (!heard.includes('/ipfs/id/1.0.0') || stream.answered) return
      stream.answered = true
      stream.channel.send(frame(null, joined([text('/multistream/1.0.0'), text('/ipfs/id/1.0.0'), prefix(lies.length), lies])))
      stream.channel.send(frame(0))
      globalThis.lies += 1
    }
    stream.onbytes()
  }
  incoming.forEach(answer)
  incoming.push = (...streams) => { streams.forEach(answer); return Array.prototype.push.apply(incoming, streams) }
}

// The description of a connection that goes nowhere.
async function description () {
  const other = new RTCPeerConnection()
  other.createDataChannel('init')
  const { sdp } = await other.createOffer()
  other.close()
  return sdp
}

function signal (type, data) {
  const bytes = new TextEncoder().encode(data)
  const body = joined([new Uint8Array([0x08, type]), field(2, bytes)])
  return joined([prefix(body.length), body])
}

function frame (flag, bytes = null) {
  const parts = []
  if (flag !== null) parts.push(new Uint8Array([0x08, flag]))
  if (bytes !== null) parts.push(field(2, bytes))
  const body = joined(parts)
  return joined([prefix(body.length), body])
}

function field (number, bytes) {
  return joined([new Uint8Array([number << 3 | 2]), prefix(bytes.length), bytes])
}

// A line of multistream-select.
function text (line) {
  const bytes = new TextEncoder().encode(`${line}\n`)
  return joined([prefix(bytes.length), bytes])
}

function prefix (number) {
  const bytes = []
  for (; number > 127; number >>>= 7) bytes.push(number & 127 | 128)
  return new Uint8Array([...bytes, number])
}

function varint (bytes, at) {
  for (let value = 0, shift = 0; at < bytes.length; at += 1, shift += 7) {
    value |= (bytes[at] & 127) << shift
    if (bytes[at] < 128) return [value, at + 1]
  }
  return null
}

// How long the first whole message is, its prefix included.
function whole (bytes) {
  const found = varint(bytes, 0)
  if (found === null) return null
  const [length, at] = found
  return bytes.length >= at + length ? at + length : null
}

// A number and bytes, as both signals and frames have them.
function parsed (message, raw = false) {
  let [, at] = varint(message, 0)
  let [type, data] = [null, null]
  while (at < message.length) {
    const tag = message[at]
    const [value, next] = varint(message, at + 1)
    at = next
    if (tag === 0x08) { type = value; continue }
    data = message.slice(at, at + value)
    at += value
  }
  return { type, data: raw || data === null ? data : new TextDecoder().decode(data) }
}

function joined (parts) {
  const all = new Uint8Array(parts.reduce((length, part) => length + part.length, 0))
  parts.reduce((at, part) => { all.set(part, at); return at + part.length }, 0)
  return all
}

function big (number) {
  const bytes = new Uint8Array(4)
  new DataView(bytes.buffer).setUint32(0, number)
  return bytes
}

globalThis.hostile = {
  start, connect, emptyFrames, longFrame, openStreams, ask, outOfTurn, silence, foreignOffer, offer, lie,
  state: () => pc.connectionState === 'connected' && pc.sctp.state === 'connected' ? 'connected' : 'closed',
  talking: () => globalThis.silent.filter(one => one.end === null).length
}
