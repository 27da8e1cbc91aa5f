/**
 * The name that a TLS client asks for in its first words (RFC 8446, 4.1.2; RFC 6066, 3). Behind one address a content network has many places, and this
 * name says which: without a look at it, a tunnel to one of them leads to all.
 */

/** What was said first: not enough of it yet, no TLS, or TLS for a name; null: it names none, or hides it. */
export type Hello = 'more' | 'no-tls' | { name: string | null }

/** No client has more to say at first, however many keys it offers. */
const longestHello = 64 * 1024
const [handshakeRecord, clientHello, nameExtension, hiddenNameExtension] = [0x16, 1, 0, 0xfe0d]

/** Reads the beginning of what a client sends. */
export function readHello(bytes: Buffer): Hello {
  if (bytes.length > 0 && bytes[0] !== handshakeRecord) return 'no-tls'
  const message = messageIn(bytes)
  if (message === 'more') return bytes.length > longestHello ? 'no-tls' : 'more'
  if (message === null) return 'no-tls'
  try {
    return { name: nameIn(message) }
  } catch {
    return 'no-tls' // a length that leads beyond its end
  }
}

/** The first handshake message, put together from the records it lies in. */
function messageIn(bytes: Buffer): Buffer | 'more' | null {
  const parts: Buffer[] = []
  let length = 0
  for (let at = 0; bytes.length >= at + 5;) {
    if (bytes[at] !== handshakeRecord || bytes[at + 1] !== 3) return null
    const end = at + 5 + bytes.readUInt16BE(at + 3)
    parts.push(bytes.subarray(at + 5, Math.min(end, bytes.length)))
    length += parts.at(-1)!.length
    at = end
    if (length < 4) continue
    const message = Buffer.concat(parts)
    if (message[0] !== clientHello) return null
    const whole = 4 + message.readUIntBE(1, 3)
    if (message.length >= whole) return message.subarray(4, whole)
  }
  return 'more'
}

function nameIn(message: Buffer): string | null {
  let at = 2 + 32 // version, random
  at += 1 + message.readUInt8(at) // session
  at += 2 + message.readUInt16BE(at) // ciphers
  at += 1 + message.readUInt8(at) // compressions
  if (at === message.length) return null // no extensions
  const end = at + 2 + message.readUInt16BE(at)
  let name: string | null = null
  for (at += 2; at < end;) {
    const kind = message.readUInt16BE(at)
    const length = message.readUInt16BE(at + 2)
    if (kind === hiddenNameExtension) return null
    if (kind === nameExtension) {
      const size = message.readUInt16BE(at + 7)
      if (length !== size + 5 || message.readUInt8(at + 6) !== 0) return null
      name = message.toString('latin1', at + 9, at + 9 + size)
    }
    at += 4 + length
  }
  return name
}
