// js-libp2p asks for Node 22's Promise.withResolvers; nothing else is missing in Node 20.
// Loaded before everything else: node --import ./polyfill.mjs node.mjs
Promise.withResolvers ??= function withResolvers () {
  let resolve, reject
  const promise = new this((yes, no) => { resolve = yes; reject = no })
  return { promise, resolve, reject }
}
