/** What can be said of a provider's key by looking at it: whose it seems to be, and why it will not do. Never whether it is valid: only its provider knows. */
import { refuse, type Refusal } from './refusal.ts'

/** How the keys of each vendor begin, the more special first: OpenAI's `sk-` begins others' too. */
const shapes: readonly (readonly [pattern: RegExp, vendor: string])[] = [
  [/^sk-ant-/, 'anthropic'],
  [/^sk-or-/, 'openrouter'],
  [/^(?:AIza|AQ\.)/, 'google'],
  [/^sk-/, 'openai'],
]

/** Families of the vendors above; any other name may take a key that begins like OpenAI's, as many servers give out such. */
const strict = ['anthropic', 'openai', 'google', 'openrouter']

/** Shortest key any of these vendors gives out is far longer; what is shorter is a slip of the hand. */
const leastLength = 8

/** Whether text begins like some vendor's key. */
export const looksLikeKey = (text: string): boolean => shapes.some(([pattern]) => pattern.test(text))

/**
 * Why a key should not be kept under this name, or null. `key-unfit`: cannot be one at all, not even with force. `key-login`: a subscription's
 * token. `key-of-other`: another vendor's shape, which force may override.
 */
export function examineKey(name: string, key: string): Refusal | null {
  if (key === '') return refuse('key-unfit', 'nothing was given', 'try again, or see: tri-agent keys --help')
  if (!/^[\x21-\x7e]+$/.test(key))
    return refuse('key-unfit', 'that is no key: it has blanks, line breaks or other letters in it', 'copy it once more')
  if (key.includes('...') || key.length < leastLength)
    return refuse('key-unfit', 'that is no key: it is too short, or dots stand in it', 'copy the whole key')
  if (key.startsWith('sk-ant-oat'))
    return refuse(
      'key-login',
      "that is a subscription's token: it cannot pass through the gateway without losing features and promises, so API keys alone are taken",
      'make an API key at console.anthropic.com',
    )
  const vendor = shapes.find(([pattern]) => pattern.test(key))?.[1] ?? null
  const isOther =
    vendor === null ? strict.includes(name) : strict.includes(name) ? vendor !== name : vendor !== 'openai'
  if (!isOther) return null
  return refuse(
    'key-of-other',
    vendor === null ? `that does not look like a key of ${name}` : `that looks like a key of ${vendor}, not of ${name}`,
    vendor !== null && vendor !== 'openrouter'
      ? `tri-agent keys set ${vendor}; if it really belongs to ${name}: --force`
      : 'if it is one all the same: --force',
  )
}

/** What a person may see of a key to tell it from another: its end, where it is long enough that this tells nobody anything. */
export const endOfKey = (key: string): string => (key.length >= 20 ? `…${key.slice(-4)}` : '…')
