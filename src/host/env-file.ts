/**
 * `--env-file`: the variables of a production file (`.env.prod`), laid under those that are set. One variable a line, nothing is expanded or executed.
 * It takes only what this program reads, never repeats a value, and refuses a file that others can read.
 */
import { type FileHandle, open } from 'node:fs/promises'
import { refuse, isRefusal, type Refusal } from '../core/refusal.ts'
import type { Env } from './path.ts'

/** What is read from the file; anything else in it belongs to other programs and is only named. */
const known = [
  'ANTHROPIC_API_KEY',
  'OPENAI_API_KEY',
  'GOOGLE_API_KEY',
  'GEMINI_API_KEY',
  'REDIS_URL',
  'CLAUDE_AUTONOMOUS_MODE',
  'GRAFANA_PASSWORD',
]

/** Passwords that stand in examples. */
const defaultPasswords = ['admin', 'password', 'secure_password', 'changeme', 'change_me', 'grafana', 'secret', '']

const largestFile = 64 * 1024

/** The environment with the file laid under it, and notes for a person. Refuses `env-file-unsafe`, `env-file-invalid`, `env-file-missing`, `password-default`. */
export async function layEnvFile(file: string, env: Env): Promise<{ env: Env; notes: string[] } | Refusal> {
  const text = await readOwn(file)
  if (isRefusal(text)) return text
  const said = parseEnvFile(text, file)
  if (isRefusal(said)) return said
  const password = said.get('GRAFANA_PASSWORD')
  if (password !== undefined && isDefaultPassword(password))
    return refuse(
      'password-default',
      `${file}: GRAFANA_PASSWORD is one that stands in examples`,
      'choose another: openssl rand -base64 24',
    )
  const taken = [...said].filter(([name, value]) => known.includes(name) && value !== '')
  const shadowed = taken.filter(([name, value]) => env[name] && env[name] !== value).map(([name]) => name)
  const unread = [...said.keys()].filter((name) => !known.includes(name))
  return {
    env: { ...Object.fromEntries(taken), ...Object.fromEntries(Object.entries(env).filter(([, value]) => value)) },
    notes: [
      ...(shadowed.length > 0 ? [`${shadowed.join(', ')}: set in the environment too, which wins over ${file}`] : []),
      ...(unread.length > 0 ? [`${file}: not read by tri-agent: ${unread.join(', ')}`] : []),
    ],
  }
}

/** True for a password that everybody knows. */
export const isDefaultPassword = (password: string): boolean => defaultPasswords.includes(password.toLowerCase())

async function readOwn(file: string): Promise<string | Refusal> {
  let handle: FileHandle
  try {
    handle = await open(file, 'r')
  } catch (error) {
    return refuse(
      'env-file-missing',
      `${file} cannot be read (${(error as NodeJS.ErrnoException).code})`,
      'cp .env.example .env.prod && chmod 600 .env.prod, then fill it in',
    )
  }
  try {
    const { mode, size } = await handle.stat()
    if ((mode & 0o077) !== 0) return refuse('env-file-unsafe', `${file} can be read by others`, `chmod 600 ${file}`)
    if (size > largestFile) return refuse('env-file-invalid', `${file} is too large to be a file of variables`)
    return await handle.readFile('utf8')
  } finally {
    await handle.close()
  }
}

/**
 * `NAME=value` lines; `#` lines, empty lines, `export` and quotes around a whole value are allowed. Everything else is refused with its line number:
 * what another reader would take differently (a comment behind a value, an expansion, a value over several lines) is no guess here.
 */
export function parseEnvFile(text: string, file: string): Map<string, string> | Refusal {
  const said = new Map<string, string>()
  for (const [index, line] of text
    .replace(/^\ufeff/, '')
    .split(/\r?\n/)
    .entries()) {
    if (/^\s*(?:#.*)?$/.test(line)) continue
    const wrong = (why: string) => refuse('env-file-invalid', `${file}:${index + 1}: ${why}`, 'one NAME=value a line')
    const [, name, written = ''] = /^\s*(?:export\s+)?([A-Za-z_]\w*)=(.*?)\s*$/.exec(line) ?? []
    if (name === undefined) return wrong('is not NAME=value')
    if (said.has(name)) return wrong(`${name} stands here a second time`)
    const [, quote, inside] = /^(["'])(.*)\1$/.exec(written) ?? []
    if (quote === undefined && /["'`\\]|\s#|\$[({A-Za-z_]/.test(written))
      return wrong(`${name}: quote the whole value, with nothing behind it`)
    if (quote !== undefined && (inside!.includes(quote) || (quote === '"' && /[\\`]|\$[({A-Za-z_]/.test(inside!))))
      return wrong(`${name}: nothing is expanded here: put the value between single quotes`)
    said.set(name, inside ?? written)
  }
  return said
}
