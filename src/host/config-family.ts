/**
 * The families of the operator's file, completed with what is known of their vendors, each value with its origin. It never reads a key; where one
 * is written into the file it says so and shows nothing.
 */
import { suggestion } from '../core/nearest.ts'
import { refuse, type Refusal } from '../core/refusal.ts'
import {
  type FamilySettings,
  type KeySource,
  type OperatorSettings,
  type UpstreamSettings,
  vendors,
} from '../core/setting.ts'
import type { OperatorFile } from './config-schema.ts'
import { isStored } from './key-store.ts'
import { showKeySource } from './key.ts'
import type { Env } from './path.ts'
import type { YamlText } from './yaml.ts'

/** One value and where it comes from: `default`, `env NAME` or `file PATH:line`. Never a key. */
export type Origin = { key: string; value: string; origin: string }

/** The operator's file as it was read. */
export type Written = { file: string; yaml: YamlText; values: OperatorFile }

/** `file PATH:line` of a key in the file. */
export const originOf = ({ file, yaml }: Written, path: readonly string[]): string =>
  `file ${file}:${yaml.lineOf(path)}`

/** The families with defaults filled in. Refuses `config-invalid` with a line per mistake; a written key is refused for any provider not on this machine. `keys` is the folder of `keys set`. */
export function familiesOf(
  written: Written,
  env: Env,
  keys: string | null,
): { settings: OperatorSettings['families']; origins: Origin[] } | Refusal {
  const settings: OperatorSettings['families'] = {}
  const origins: Origin[] = []
  const wrong: string[] = []
  for (const [name, entry] of Object.entries(written.values.families ?? {})) {
    const path = ['families', name]
    const vendor = vendors[name]
    const say = (key: string, message: string) =>
      wrong.push(`${written.file}:${written.yaml.lineOf([...path, key])}: ${[...path, key].join('.')}: ${message}`)
    const agent = entry.agent ?? vendor?.agent
    const baseUrl = (entry.baseUrl ?? vendor?.baseUrl)?.replace(/\/+$/, '')
    const keyFrom = sourceOf(name, entry.keyFrom as KeySource | undefined, env, keys)
    const upstream = entry.upstream as UpstreamSettings | undefined
    const isPrivate = upstream?.privateNetwork === true
    const known = `is missing, and there is no default for this family; ${suggestion(name, Object.keys(vendors))}`
    if (!agent) say('agent', known)
    if (!baseUrl) say('baseUrl', known)
    else if (urlMistake(baseUrl, isPrivate)) say('baseUrl', urlMistake(baseUrl, isPrivate)!)
    else if (keyFrom && 'value' in keyFrom && !isLoopback(baseUrl))
      say('keyFrom', 'a key written into the file is only for a provider on this machine; use env or file')
    if (!keyFrom) say('keyFrom', known)
    if (!agent || !baseUrl || !keyFrom) continue
    const program = entry.program ?? null
    settings[name] = { agent, program, baseUrl, keyFrom, models: entry.models, ...(upstream ? { upstream } : {}) }
    const isSaid = JSON.stringify(entry.keyFrom) === JSON.stringify(keyFrom)
    const ofKey = isSaid ? null : 'stored' in keyFrom ? 'keys set' : originOfVariable(keyFrom, env)
    origins.push(...originsOf(written, name, settings[name], ofKey))
  }
  return wrong.length > 0 ? refuse('config-invalid', wrong.join('\n')) : { settings, origins }
}

/**
 * A variable that is set, else the key stored under the family's name, else the variable that could be set. A variable the file names is treated
 * alike: a terminal in which it is not set uses the stored key.
 */
function sourceOf(name: string, said: KeySource | undefined, env: Env, keys: string | null): KeySource | undefined {
  const variables = said === undefined ? (vendors[name]?.keyVariables ?? []) : 'env' in said ? [said.env] : null
  if (variables === null) return said
  const set = variables.find((each) => env[each])
  if (set !== undefined) return { env: set }
  if (isStored(keys, name)) return { stored: name }
  return variables[0] === undefined ? undefined : { env: variables[0] }
}

const originOfVariable = (source: KeySource, env: Env): string | null =>
  'env' in source && env[source.env] ? `env ${source.env}` : null

function originsOf(written: Written, name: string, settings: FamilySettings, ofKey: string | null): Origin[] {
  const { agent, program, baseUrl, upstream, keyFrom, models } = settings
  const entry: Record<string, unknown> = { ...written.values.families?.[name] }
  const origin = (key: string) => (entry[key] === undefined ? 'default' : originOf(written, ['families', name, key]))
  return [
    { key: `families.${name}.agent`, value: agent, origin: origin('agent') },
    { key: `families.${name}.program`, value: program?.join(' ') ?? 'found on PATH', origin: origin('program') },
    { key: `families.${name}.baseUrl`, value: baseUrl, origin: origin('baseUrl') },
    ...Object.entries(upstream ?? {}).map(([key, value]) => ({
      key: `families.${name}.upstream.${key}`,
      value: String(value),
      origin: originOf(written, ['families', name, 'upstream', key]),
    })),
    { key: `families.${name}.keyFrom`, value: showKeySource(keyFrom), origin: ofKey ?? origin('keyFrom') },
    ...Object.entries(models).map(([role, value]) => ({
      key: `families.${name}.models.${role}`,
      value,
      origin: originOf(written, ['families', name, 'models', role]),
    })),
  ]
}

/** True for 127.0.0.0/8, ::1 and localhost. */
function isLoopback(url: string): boolean {
  const { hostname } = new URL(url)
  return hostname === 'localhost' || hostname === '[::1]' || /^127\.\d+\.\d+\.\d+$/.test(hostname)
}

/** An address, never a name: a name may lead anywhere tomorrow. RFC 1918 and RFC 4193. */
const privateAddress = /^(?:10\.|192\.168\.|172\.(?:1[6-9]|2\d|3[01])\.)[\d.]+$|^\[f[cd][0-9a-f]{2}:/

function urlMistake(written: string, isPrivate: boolean): string | null {
  if (!URL.canParse(written)) return 'must be a URL such as https://api.example.com'
  const url = new URL(written)
  if (url.username || url.password || url.search || url.hash) return 'must have no user, query or fragment'
  if (url.protocol === 'https:' || (url.protocol === 'http:' && isLoopback(written))) return null
  if (isPrivate && url.protocol === 'http:')
    return privateAddress.test(url.hostname) ? null : 'must be an address of a private network, such as http://10.0.0.7'
  return 'must begin with https:// (http:// only for a provider on this machine, or with upstream.privateNetwork)'
}
