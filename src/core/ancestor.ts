/**
 * What the ancestor of this program left in files, read as wishes and checks: `PRIORITY_ID_EPOCH.md` of its queue, `preflight.json`, `health.json`.
 * Pure. Nothing is guessed that could start something else than was meant: what cannot be read is refused, with why.
 */
import { lack, ok, warn, type Check } from './check.ts'
import type { Lane } from './lane.ts'
import { refuse, type Refusal } from './refusal.ts'
import type { Kind } from './task.ts'

export type OldTask = {
  id: string
  title: string
  text: string
  lane: Lane
  kind: Exclude<Kind, 'review'>
  acceptance: string[]
  /** Ids of others in the same queue. */
  after: string[]
}

const oldLanes: Readonly<Record<string, Lane>> = {
  critical: 'critical',
  high: 'normal',
  medium: 'normal',
  normal: 'normal',
  low: 'background',
  background: 'background',
}

const oldKinds: Readonly<Record<string, OldTask['kind']>> = {
  feature: 'feature',
  implementation: 'feature',
  impl: 'feature',
  fix: 'fix',
  bug: 'fix',
  bugfix: 'fix',
  test: 'test',
  testing: 'test',
  refactor: 'refactor',
  docs: 'docs',
  documentation: 'docs',
  security: 'security',
  architect: 'architect',
  architecture: 'architect',
}

const partsOfName = (name: string): RegExpExecArray | null => /^([A-Za-z]+)_(.+?)(?:_\d{9,13})?\.md$/.exec(name)

/** What a file of the old queue is called by others that need it, or null where it is none. `name` is its last part. */
export const oldId = (name: string): string | null => partsOfName(name)?.[2] ?? null

/** A file of the old queue. `name` is its last part. Refuses `not-a-task`, `old-review`, `unknown-type`. */
export function readOldTask(name: string, written: string): OldTask | Refusal {
  const [, priority = '', id = ''] = partsOfName(name) ?? []
  const lane = oldLanes[priority.toLowerCase()]
  if (lane === undefined) return refuse('not-a-task', 'its name does not begin with a priority: CRITICAL_, HIGH_, …')
  const text = written.replaceAll('\r\n', '\n').trim()
  if (text === '') return refuse('not-a-task', 'it is empty')
  const field = (label: string) =>
    new RegExp(`^(?:[-*] )?\\**${label}\\**:\\** *(.+?) *\\**$`, 'im').exec(text)?.[1]?.trim() ?? ''
  const type = field('type').toLowerCase()
  if (type === 'review')
    return refuse('old-review', 'a review needs what to review: tri-agent add --kind review --ref BRANCH')
  const kind = type === '' ? 'feature' : oldKinds[type]
  if (kind === undefined) return refuse('unknown-type', `its type ${JSON.stringify(type)} is not known here`)
  return {
    id,
    title: /^#[ \t]+(.+?)[ \t]*#*$/m.exec(text)?.[1] ?? id,
    text,
    lane,
    kind,
    acceptance: bulletsUnder(text, 'acceptance criteria'),
    after: field('dependencies')
      .split(/[,\s]+/)
      .filter((each) => each !== '' && !/^(?:none|n\/a|-)$/i.test(each)),
  }
}

/** The bullets of one section, without their boxes. */
function bulletsUnder(text: string, heading: string): string[] {
  const lines = text.split('\n')
  const begin = lines.findIndex(
    (line) => /^#{1,6} /.test(line) && line.replace(/^#+ /, '').trim().toLowerCase() === heading,
  )
  if (begin < 0) return []
  const end = lines.findIndex((line, index) => index > begin && /^#{1,6} /.test(line))
  return lines
    .slice(begin + 1, end < 0 ? undefined : end)
    .map((line) => /^\s*[-*] (?:\[[ xX]\] )?(.+)$/.exec(line)?.[1]?.trim() ?? '')
    .filter((line) => line !== '')
}

const longestFound = 300

/** `preflight.json` or `health.json`: one check for each part it tells of. Refuses `not-health`. */
export function readOldHealth(kind: 'preflight' | 'health', value: unknown): Check[] | Refusal {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    return refuse('not-health', 'it is not a JSON object')
  const { checks, components, ...rest } = value as Record<string, unknown>
  const parts = [...partsOf(rest), ...partsOf(components), ...partsOf(checks)]
  if (parts.length === 0) return refuse('not-health', 'it tells of nothing')
  return parts.map(([part, said]) => judge(`imported ${kind}: ${part}`, said))
}

/** An object by its keys, a list by what its entries are called. */
function partsOf(value: unknown): [string, unknown][] {
  if (Array.isArray(value))
    return value.map((each, index) => {
      const { name, component, check, id } = (each ?? {}) as Record<string, unknown>
      const called = [name, component, check, id].find((word) => typeof word === 'string')
      return [typeof called === 'string' ? called : String(index + 1), each]
    })
  return typeof value === 'object' && value !== null ? Object.entries(value) : []
}

function judge(name: string, said: unknown): Check {
  const status = typeof said === 'object' && said !== null ? (said as { status?: unknown }).status : said
  const word = typeof status === 'string' ? status.toLowerCase() : status
  const found = (typeof said === 'string' ? said : JSON.stringify(said)).slice(0, longestFound)
  if (word === false || /^(?:fail|failed|error|critical|unhealthy|missing)$/.test(String(word)))
    return lack(name, found, null)
  if (/^(?:warn|warning|degraded)$/.test(String(word))) return warn(name, found)
  return ok(name, found)
}
