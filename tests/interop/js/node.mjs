// One js-libp2p node, driven by lines of JSON: a configuration, then commands, on standard input; answers and
// events on standard output. tests/interop/libp2p_peers.py drives it and says what the lines mean.

import { createInterface } from 'node:readline'
import { setTimeout } from 'node:timers/promises'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { gossipsub } from '@libp2p/gossipsub'
import { identify, identifyPush } from '@libp2p/identify'
import { kadDHT, passthroughMapper } from '@libp2p/kad-dht'
import { mdns } from '@libp2p/mdns'
import { noise } from '@libp2p/noise'
import { peerIdFromString } from '@libp2p/peer-id'
import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import { CID } from 'multiformats/cid'
import { sha256 } from 'multiformats/hashes/sha2'
import { openRecord, select, signedRecord, validate } from './records.mjs'
import { echo, fetchBulk, pings, sendBulk, serveStreams } from './streams.mjs'

// The code of raw bytes among content types: what a key stands for does not matter here.
const RAW = 0x55
const DIAL_MILLISECONDS = 10000

const say = (line) => process.stdout.write(JSON.stringify(line) + '\n')

// bare: for measurements, with nothing that runs by itself.
const services = (config) => ({
  ...(!config.bare && { identify: identify(), identifyPush: identifyPush() }),
  ping: ping({ maxOutboundStreams: 2 }),
  ...(config.topics && { pubsub: gossipsub({ allowPublishToZeroTopicPeers: true, emitSelf: false }) }),
  ...(config.kad && {
    dht: kadDHT({
      protocol: config.kad,
      clientMode: false,
      peerInfoMapper: passthroughMapper,
      validators: { swarmnode: validate },
      selectors: { swarmnode: select },
      allowQueryWithZeroPeers: true
    })
  })
})

// Told by mDNS itself: a node's own event of discovery also comes of connections.
const findByMdns = (config) => (components) => {
  const search = mdns({ serviceTag: config.service ?? '_p2p._udp.local', interval: 1000 })(components)
  search.addEventListener('peer', ({ detail }) => {
    say({ event: 'found', peer: detail.id.toString(), addresses: detail.multiaddrs.map(String) })
  })
  return search
}

const createNode = async (config, privateKey) => createLibp2p({
  privateKey,
  addresses: { listen: [config.listen ?? '/ip4/127.0.0.1/tcp/0'] },
  transports: [tcp()],
  connectionEncrypters: [noise()],
  streamMuxers: [yamux()],
  peerDiscovery: config.mdns ? [findByMdns(config)] : [],
  connectionManager: { dialTimeout: DIAL_MILLISECONDS, inboundConnectionThreshold: 1000 },
  connectionMonitor: { enabled: !config.bare },
  services: services(config)
})

/** What is known of peers by identify, by peer id. */
const watch = (node) => {
  const identified = new Map()
  node.addEventListener('peer:identify', ({ detail }) => {
    identified.set(detail.peerId.toString(), {
      agent: detail.agentVersion,
      version: detail.protocolVersion,
      protocols: detail.protocols,
      addresses: detail.listenAddrs.map(String),
      observed: detail.observedAddr?.toString() ?? null,
      record: detail.signedPeerRecord == null
        ? null
        : {
            sequence: String(detail.signedPeerRecord.seq),
            addresses: detail.signedPeerRecord.addresses.map(String)
          }
    })
  })
  node.services.pubsub?.addEventListener('message', ({ detail }) => {
    const data = Buffer.from(detail.data).toString('hex')
    say({ event: 'message', topic: detail.topic, from: detail.from.toString(), data })
  })
  return identified
}

const last = async (events, name) => {
  let found = null
  for await (const event of events) if (event.name === name) found = event
  return found
}

const keyOf = async (name) => CID.createV1(RAW, await sha256.digest(Buffer.from(name)))

const isPinging = (connection) => connection.streams.some(
  (stream) => stream.direction === 'outbound' && stream.protocol === '/ipfs/ping/1.0.0'
)

const dhtCommands = (node, privateKey) => ({
  put: async ({ key, data }) => {
    const name = Buffer.from(key)
    const value = await signedRecord(privateKey, name, Buffer.from(data, 'hex'))
    const stored = []
    for await (const event of node.services.dht.put(name, value)) {
      if (event.name === 'PEER_RESPONSE' && event.messageName === 'PUT_VALUE') stored.push(event.from.toString())
    }
    return stored
  },
  get: async ({ key }) => {
    const found = await last(node.services.dht.get(Buffer.from(key)), 'VALUE')
    return found === null ? null : openRecord(found.value).payload.toString('hex')
  },
  provide: async ({ key }) => {
    const told = []
    for await (const event of node.services.dht.provide(await keyOf(key))) {
      if (event.name === 'PEER_RESPONSE' && event.messageName === 'ADD_PROVIDER') told.push(event.from.toString())
    }
    return told
  },
  providers: async ({ key }) => {
    const found = new Set()
    for await (const event of node.services.dht.findProviders(await keyOf(key))) {
      if (event.name === 'PROVIDER') event.providers.forEach((one) => found.add(one.id.toString()))
    }
    return [...found]
  },
  find: async ({ peer }) => {
    const found = await last(node.services.dht.findPeer(peerIdFromString(peer)), 'FINAL_PEER')
    return found === null ? null : found.peer.multiaddrs.map(String)
  },
  table: async () => node.services.dht.routingTable.size
})

const commands = (node, identified, privateKey) => {
  const connectionTo = async (peer) => node.getConnections(peerIdFromString(peer))[0] ?? Promise.reject(new Error('not connected'))
  return {
    dial: async ({ address }) => (await node.dial(multiaddr(address))).remotePeer.toString(),
    hangUp: async ({ peer }) => { await node.hangUp(peerIdFromString(peer)) },
    peers: async () => node.getPeers().map(String),
    identified: async ({ peer }) => identified.get(peer) ?? null,
    ping: async ({ peer, count }) => {
      const times = []
      for (let i = 0; i < (count ?? 1); i++) {
        // Its DHT pings too, and peers take two streams of pings at a time.
        while (isPinging(await connectionTo(peer))) await setTimeout(1)
        const begun = performance.now()
        await node.services.ping.ping(peerIdFromString(peer))
        times.push((performance.now() - begun) / 1000)
      }
      return times
    },
    echo: async ({ peer, data }) => (await echo(await connectionTo(peer), Buffer.from(data, 'hex'))).toString('hex'),
    send: async ({ peer, bytes, plain }) => sendBulk(await connectionTo(peer), bytes, plain),
    fetch: async ({ peer, bytes }) => fetchBulk(await connectionTo(peer), bytes),
    // Round trips on one open stream, where `ping` opens one for each.
    pings: async ({ peer, count }) => pings(await connectionTo(peer), count),
    // Connect, over and over: [until the peer is proven, until it has answered a ping], seconds.
    handshakes: async ({ address, count }) => {
      const times = []
      for (let i = 0; i < count; i++) {
        const begun = performance.now()
        const connection = await node.dial(multiaddr(address), { force: true })
        const proven = performance.now()
        await pings(connection, 1)
        times.push([(proven - begun) / 1000, (performance.now() - begun) / 1000])
        await connection.close()
      }
      return times
    },
    subscribe: async ({ topic }) => { node.services.pubsub.subscribe(topic) },
    subscribers: async ({ topic }) => node.services.pubsub.getSubscribers(topic).map(String),
    mesh: async ({ topic }) => node.services.pubsub.getMeshPeers(topic),
    publish: async ({ topic, data }) => {
      const { recipients } = await node.services.pubsub.publish(topic, Buffer.from(data, 'hex'))
      return recipients.map(String)
    },
    ...(node.services.dht === undefined ? {} : dhtCommands(node, privateKey))
  }
}

const main = async () => {
  const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]()
  const config = JSON.parse((await lines.next()).value)
  const privateKey = await generateKeyPair('Ed25519')
  const node = await createNode(config, privateKey)
  const table = commands(node, watch(node), privateKey)
  await serveStreams(node)
  for (const topic of config.topics ?? []) node.services.pubsub.subscribe(topic)
  say({ event: 'ready', peer: node.peerId.toString(), addresses: node.getMultiaddrs().map(String) })
  for await (const line of lines) {
    const { id, do: name, ...values } = JSON.parse(line)
    if (name === 'stop') break
    Promise.resolve(table[name](values)).then(
      (result) => say({ id, result: result ?? null }),
      (error) => say({ id, error: `${error.name}: ${error.message}` })
    )
  }
  await node.stop()
  process.exit(0)
}

main()
