/**
 * What the operator gives dependency set-up for private registries, read where the settings say it is, once, when the daemon starts. It never shows
 * one, nor takes one from a file that others can read; which words of a file are secrets is said here, so that they are scrubbed everywhere.
 */
import { readFileSync, statSync } from 'node:fs'
import { dirname, isAbsolute, join } from 'node:path'
import { refuse, type Refusal } from '../core/refusal.ts'
import type { Credential } from '../core/setting.ts'
import type { Env } from './path.ts'

export type ReadCredential = Omit<Credential, 'from'> & {
  text: string
  /** What may appear nowhere. */
  secrets: string[]
}

/** A credential's text. `~` is HOME, and a relative path is one beside the settings. Refuses `credential-missing`, `config-unsafe`. */
export function readCredential(
  { from, ...rest }: Credential,
  env: Env,
  settingsFile: string,
): ReadCredential | Refusal {
  const missing = (why: string) =>
    refuse('credential-missing', `setup.credentials: ${rest.name}: ${why}`, 'set it, or take it out of the settings')
  if ('env' in from) {
    const text = env[from.env] ?? ''
    return text === '' ? missing(`${from.env} is not set`) : { ...rest, text, secrets: secretsIn(rest, text) }
  }
  const path = placeOf(from.file, env, settingsFile)
  try {
    const { mode, size } = statSync(path)
    if ((mode & 0o077) !== 0)
      return refuse('config-unsafe', `setup.credentials: ${path} can be read by others`, `chmod 600 ${path}`)
    if (size > largestFile) return missing(`${path} is too large to hold a credential`)
    const text = readFileSync(path, 'utf8')
    if (text.trim() === '') return missing(`${path} is empty`)
    const whole = rest.as === 'variable' ? text.trim() : text
    return { ...rest, text: whole, secrets: secretsIn(rest, whole) }
  } catch (error) {
    return missing(`${path} cannot be read (${(error as NodeJS.ErrnoException).code})`)
  }
}

const largestFile = 64 * 1024

const placeOf = (file: string, env: Env, settingsFile: string): string =>
  file.startsWith('~/')
    ? join(env['HOME'] ?? '/', file.slice(2))
    : isAbsolute(file)
      ? file
      : join(dirname(settingsFile), file)

/** Words before a value that make it a secret whatever it looks like. */
const secretNames = /(?:token|auth|password|passwd|secret|key)$/i

/** A variable's whole text; of a file, every word that looks like a secret or stands behind a name of one. Rather too many than one too few. */
function secretsIn({ as }: Pick<Credential, 'as'>, text: string): string[] {
  if (as === 'variable') return [text]
  const secrets = new Set<string>()
  let before = ''
  for (const word of text
    .replaceAll(/<\/[^<>]*>/g, ' ')
    .split(/[\s=:@"'<>,;]+/)
    .filter(Boolean)) {
    const isPlace = /^\/\/|^[a-z0-9-]+(?:\.[a-z0-9-]+)+(?:\/|$)/.test(word)
    const looksSecret = word.length >= 8 && /[0-9A-Z]/.test(word) && /[a-zA-Z]/.test(word) && !secretNames.test(word)
    if (!isPlace && (secretNames.test(before) || looksSecret)) secrets.add(word)
    before = word
  }
  return [...secrets]
}
