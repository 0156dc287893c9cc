// What the node serves and opens besides libp2p's own protocols: echo, and bulk data with a checksum.
//
// Bulk data are blocks of 64 KiB that begin with their number, so that a block lost, doubled or out of its
// place changes the checksum. The same pattern is written by node.py and our_node.py.

import { createHash } from 'node:crypto'

export const BLOCK_BYTES = 65536
const PING_BYTES = 32

export const ECHO = '/echo/1'
// Takes everything, then answers {"bytes", "sha256"}; COUNT computes no checksum, for measurements.
export const SINK = '/sink/1'
export const COUNT = '/count/1'
// Takes 8 bytes, a number N (big-endian); answers N bytes.
export const SOURCE = '/source/1'

const patternBase = () => {
  const base = Buffer.alloc(BLOCK_BYTES)
  for (let i = 8; i < BLOCK_BYTES; i++) base[i] = (i * 131 + (i >> 8) * 31) & 255
  return base
}

const parts = (data) => data instanceof Uint8Array ? [data] : [...data]

/**
 * Hand everything that comes to `take`; a promise of the end. (`for await` over a stream waits for ever when
 * the peer had ended before it began.)
 */
const readEach = (stream, take) => new Promise((resolve, reject) => {
  stream.addEventListener('end', resolve)
  stream.addEventListener('close', ({ error }) => error == null ? resolve() : reject(error))
  stream.addEventListener('message', ({ data }) => parts(data).forEach(take))
  if (stream.readableEnded) resolve()
})

/** Write `total` bytes and close for writing: the pattern, or for measurements the same block again and again. */
const writeBulk = async (stream, total, numbered, hash = null) => {
  const base = patternBase()
  for (let done = 0, number = 0; done < total; number++) {
    const block = numbered ? Buffer.from(base) : base
    if (numbered) block.writeBigUInt64BE(BigInt(number))
    const piece = block.subarray(0, Math.min(BLOCK_BYTES, total - done))
    hash?.update(piece)
    done += piece.length
    if (!stream.send(piece)) await stream.onDrain()
  }
  await stream.close()
}

/** Everything that comes: {bytes, sha256}. */
const readAll = async (stream, hashed) => {
  const hash = hashed ? createHash('sha256') : null
  let bytes = 0
  await readEach(stream, (part) => {
    bytes += part.length
    hash?.update(part)
  })
  return { bytes, sha256: hash?.digest('hex') ?? null }
}

const readText = async (stream) => {
  const pieces = []
  await readEach(stream, (part) => pieces.push(Buffer.from(part)))
  return Buffer.concat(pieces)
}

const seconds = () => performance.now() / 1000

/** Serve the four protocols on a node. */
export const serveStreams = async (node) => {
  await node.handle(ECHO, async (stream) => {
    await readEach(stream, (part) => stream.send(part))
    await stream.close()
  })
  for (const [protocol, hashed] of [[SINK, true], [COUNT, false]]) {
    await node.handle(protocol, async (stream) => {
      const seen = await readAll(stream, hashed)
      stream.send(Buffer.from(JSON.stringify(seen)))
      await stream.close()
    })
  }
  await node.handle(SOURCE, async (stream) => {
    const asked = await readText(stream)
    await writeBulk(stream, Number(asked.readBigUInt64BE()), true)
  })
}

/** Send bytes to /echo/1; what comes back. */
export const echo = async (connection, data) => {
  const stream = await connection.newStream(ECHO)
  stream.send(data)
  await stream.close()
  return readText(stream)
}

/** Send `total` bytes: {seconds, sha256, answer}. plain: without checksums. */
export const sendBulk = async (connection, total, plain) => {
  const stream = await connection.newStream(plain ? COUNT : SINK)
  const hash = plain ? null : createHash('sha256')
  const begun = seconds()
  await writeBulk(stream, total, !plain, hash)
  const answer = JSON.parse((await readText(stream)).toString())
  return { seconds: seconds() - begun, sha256: hash?.digest('hex') ?? null, answer }
}

/** Ask for `total` bytes: {bytes, sha256}. */
export const fetchBulk = async (connection, total) => {
  const stream = await connection.newStream(SOURCE)
  const asked = Buffer.alloc(8)
  asked.writeBigUInt64BE(BigInt(total))
  stream.send(asked)
  await stream.close()
  return readAll(stream, true)
}

/** `count` round trips of 32 bytes on one stream of the ping protocol, seconds each. */
export const pings = async (connection, count) => {
  const stream = await connection.newStream('/ipfs/ping/1.0.0')
  const data = Buffer.alloc(PING_BYTES)
  const times = []
  let left = 0
  let answered = () => {}
  stream.addEventListener('message', (event) => {
    left -= event.data.byteLength
    if (left === 0) answered()
  })
  for (let i = 0; i < count; i++) {
    const answer = new Promise((resolve) => { answered = resolve })
    const begun = seconds()
    left = PING_BYTES
    stream.send(data)
    await answer
    times.push(seconds() - begun)
  }
  await stream.close()
  return times
}
