/** A moment as people say it: how long ago, or a date, in the zone of whoever looks. */
import { parseDuration } from '../core/quantity.ts'
import { refuse, type Refusal } from '../core/refusal.ts'

const stamp = /^(\d{4})-(\d\d)-(\d\d)(?:[ T](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,3}))?)?)?(Z|[+-]\d\d:?\d\d)?$/

/** `90s`, `2h`, `1d12h` before `now`; `2026-11-24`, `2026-11-24 15:04`, also with seconds and a zone. Refuses `bad-time`. */
export function readMoment(option: string, said: string, now: number): number | Refusal {
  const text = said.trim()
  const ago = parseDuration(text)
  if (ago !== null) return now - ago
  const at = momentOf(text)
  if (at !== null) return at
  return refuse(
    'bad-time',
    `${option} ${JSON.stringify(said)} is not a time`,
    `${option} 2h, or ${option} "2026-11-24 15:04"`,
  )
}

/** The time a stamp says, epoch milliseconds; null where it is none. */
export function momentOf(text: string): number | null {
  const [found, year, month, day, hour = '00', minute = '00', second = '00', fraction = '0', zone] =
    stamp.exec(text) ?? []
  if (found === undefined) return null
  const at = new Date(
    `${year}-${month}-${day}T${hour}:${minute}:${second}.${fraction.padEnd(3, '0')}${zone?.replace(/(\d\d)(\d\d)$/, '$1:$2') ?? ''}`,
  )
  const daysInMonth = new Date(Date.UTC(Number(year), Number(month), 0)).getUTCDate()
  return Number.isNaN(at.getTime()) || Number(day) > daysInMonth ? null : at.getTime()
}

/** A moment as everybody reads it: `2026-11-28T12:30:05.123Z`. */
export const stampOf = (at: number): string => new Date(at).toISOString()

const machineStamp =
  /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)$|^[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT$/

/** A moment as machines write it in headers, RFC 3339 or an HTTP date, in epoch milliseconds; null where it is neither. */
export function parseStamp(text: string): number | null {
  if (!machineStamp.test(text)) return null
  const at = Date.parse(text)
  return Number.isNaN(at) ? null : at
}
