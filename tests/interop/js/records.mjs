// Values in the DHT under /swarmnode/...:
//
//     [32 B Ed25519 public key][64 B signature][8 B Unix seconds, big-endian][payload]
//
// The signature covers "swarmnode-dht:", the key with its length before it as a varint, stamp and payload.

import { publicKeyFromRaw } from '@libp2p/crypto/keys'

const PUBLIC_KEY_BYTES = 32
const HEAD_BYTES = PUBLIC_KEY_BYTES + 64
const STAMP_BYTES = 8
const DOMAIN = Buffer.from('swarmnode-dht:')

const varint = (number) => {
  const bytes = []
  for (; number > 127; number >>>= 7) bytes.push(number & 127 | 128)
  return Buffer.from([...bytes, number])
}

const signedBytes = (key, body) => Buffer.concat([DOMAIN, varint(key.length), key, body])

/** The value to put under a key. */
export const signedRecord = async (privateKey, key, payload) => {
  const stamp = Buffer.alloc(STAMP_BYTES)
  stamp.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 1000)))
  const body = Buffer.concat([stamp, payload])
  const signature = await privateKey.sign(signedBytes(key, body))
  return Buffer.concat([privateKey.publicKey.raw, signature, body])
}

/** What a value says; the signature is for `validate`. */
export const openRecord = (value) => ({
  stamp: Buffer.from(value).readBigUInt64BE(HEAD_BYTES),
  payload: Buffer.from(value).subarray(HEAD_BYTES + STAMP_BYTES)
})

/** Throws when a value is not signed by the key that it names. */
export const validate = async (key, value) => {
  const signer = publicKeyFromRaw(value.subarray(0, PUBLIC_KEY_BYTES))
  const signature = value.subarray(PUBLIC_KEY_BYTES, HEAD_BYTES)
  if (!await signer.verify(signedBytes(Buffer.from(key), value.subarray(HEAD_BYTES)), signature)) {
    throw new Error('the signature of the record is wrong')
  }
}

/** Which of several values is the newest. */
export const select = (key, values) => {
  let best = 0
  values.forEach((value, index) => {
    if (openRecord(value).stamp > openRecord(values[best]).stamp) best = index
  })
  return best
}
