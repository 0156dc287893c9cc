// What the node serves and opens besides libp2p's own protocols: echo, and bulk data with a checksum.
//
// Bulk data are blocks of 64 KiB that begin with their number, so that a block lost, doubled or out of its
// place changes the checksum. The same pattern is written by node.py and our_node.py.

import { createHash } from 'node:crypto'

export const BLOCK_BYTES = 65536

export const ECHO = '/echo/1'
// Takes everything, then answers {"bytes", "sha256"}; COUNT computes no checksum, for measurements.
export const SINK = '/sink/1'
export const COUNT = '/count/1'
// Takes 8 bytes, a number N (big-endian); answers N bytes.
export const SOURCE = '/source/1'

export const patternBase = () => {
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

/** Write `total` bytes of the pattern and close for writing; the SHA-256 of it, or null. */
const writePattern = async (stream, total, hashed) => {
  const hash = hashed ? createHash('sha256') : null
  const base = patternBase()
  for (let done = 0, number = 0; done < total; number++) {
    const block = Buffer.from(base)
    block.writeBigUInt64BE(BigInt(number))
    const piece = block.subarray(0, Math.min(BLOCK_BYTES, total - done))
    hash?.update(piece)
    done += piece.length
    if (!stream.send(piece)) await stream.onDrain()
  }
  await stream.close()
  return hash?.digest('hex') ?? null
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
    await writePattern(stream, Number(asked.readBigUInt64BE()), false)
  })
}

/** Send bytes to /echo/1; what comes back. */
export const echo = async (connection, data) => {
  const stream = await connection.newStream(ECHO)
  stream.send(data)
  await stream.close()
  return readText(stream)
}

/** Send `total` bytes: {seconds, sha256, answer}. */
export const sendBulk = async (connection, total, hashed) => {
  const stream = await connection.newStream(hashed ? SINK : COUNT)
  const begun = seconds()
  const sha256 = await writePattern(stream, total, hashed)
  const answer = JSON.parse((await readText(stream)).toString())
  return { seconds: seconds() - begun, sha256, answer }
}

/** Ask for `total` bytes: {seconds, bytes, sha256}. */
export const fetchBulk = async (connection, total, hashed) => {
  const stream = await connection.newStream(SOURCE)
  const begun = seconds()
  const asked = Buffer.alloc(8)
  asked.writeBigUInt64BE(BigInt(total))
  stream.send(asked)
  await stream.close()
  return { ...await readAll(stream, hashed), seconds: seconds() - begun }
}
