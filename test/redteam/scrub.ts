/**
 * Secrets in what an agent prints: 15 formats × 8 encodings, each cut at every place and fed byte by byte. The control is the same stream through the same
 * scrubber chunk by chunk, without what it carries over from one to the next: it must leak at some cut, or the cuts proved nothing.
 */
import { createScrubber, prepareSecrets, scrubText, type Secrets } from '../../src/host/scrub.ts'
import type { Verdict } from '../../src/sandbox/assault.ts'

const filler = (length: number) => 'k7Qz9mX2pL4vR8tB1nW6'.repeat(4).slice(0, length)

const formats: Readonly<Record<string, string>> = {
  'Anthropic key': `sk-ant-api03-${filler(40)}`,
  'OpenAI key': `sk-proj-${filler(40)}`,
  'Google key': `AIza${filler(35)}`,
  'GitHub token': `ghp_${filler(36)}`,
  'fine-grained GitHub token': `github_pat_${filler(40)}`,
  'GitLab token': `glpat-${filler(20)}`,
  'Slack token': `xoxb-1234567890-${filler(24)}`,
  'AWS access key': 'AKIAIOSFODNN7EXAMPLE',
  'AWS secret key': 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY',
  'npm token': `npm_${filler(36)}`,
  'JSON web token': 'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N',
  'password with marks': 'p4ss/w+rd "ü" & more',
  'URL of a database': 'redis://:h0rse-b4ttery@localhost:6379/0',
  'private key': '-----BEGIN PRIVATE KEY-----\nMIIBVAIBADANBgkqhkiG9w0BAQEF\n-----END PRIVATE KEY-----',
  'virtual key': `vk-att_1-${filler(32)}`,
}

/** How a log may carry it; what of the encoded text must not be there afterwards. */
const encodings: Readonly<Record<string, (secret: string) => string>> = {
  plain: (secret) => secret,
  base64: (secret) => Buffer.from(secret).toString('base64'),
  'base64 within a longer text': (secret) => Buffer.from(`a${secret}`).toString('base64'),
  base64url: (secret) => Buffer.from(secret).toString('base64url'),
  hex: (secret) => Buffer.from(secret).toString('hex'),
  HEX: (secret) => Buffer.from(secret).toString('hex').toUpperCase(),
  URL: (secret) => encodeURIComponent(secret),
  JSON: (secret) => JSON.stringify(secret).slice(1, -1),
}

/** One verdict for each format in each encoding. */
export function leakSecrets(): Verdict[] {
  return Object.entries(formats).flatMap(([format, secret]) =>
    Object.entries(encodings).map(([encoding, encode]) => tryPair(`${format}, ${encoding}`, secret, encode(secret))),
  )
}

function tryPair(name: string, secret: string, form: string): Verdict {
  const known = prepareSecrets([secret])
  const text = Buffer.from(`before ${form} after\n`)
  // Ends of base64 are shared with what stands beside them: its middle is what gives a secret away.
  const core = form.slice(4, -4)
  const leaks = (out: string) =>
    out.includes(core) ||
    out.includes(core.slice(0, Math.ceil(core.length / 2))) ||
    out.includes(core.slice(Math.floor(core.length / 2)))
  const cuts = Array.from({ length: text.length + 1 }, (_, at) => [text.subarray(0, at), text.subarray(at)])
  const leakless = [...cuts, Array.from(text, (byte) => Buffer.from([byte]))].every(
    (chunks) => !leaks(carried(chunks, known)),
  )
  const forgetful = cuts.some((chunks) =>
    leaks(chunks.map((chunk) => scrubText(chunk.toString('latin1'), known)).join('')),
  )
  if (!forgetful || !leaks(text.toString()))
    return { name, group: 'scrubber', state: 'idle', why: 'its control did not fire' }
  return { name, group: 'scrubber', state: leakless ? 'held' : 'breached' }
}

function carried(chunks: readonly Buffer[], known: Secrets): string {
  const scrubber = createScrubber(known)
  return Buffer.concat([...chunks.map((chunk) => scrubber.push(chunk)), scrubber.end()]).toString('utf8')
}
