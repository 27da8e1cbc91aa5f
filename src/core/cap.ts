/**
 * Caps: at most so many attempts at once by a family, of a role, or in a repository, whatever slots are free. Slots say how much work there is; caps
 * keep one part of it from taking all. What ends makes room again, so nothing waits for ever behind one.
 */
import type { Family } from './family.ts'
import type { Role } from './task.ts'

/** `repos` by the repository's id. Absent: no cap. */
export type Caps = {
  families: Readonly<Record<string, number>>
  roles: Readonly<Partial<Record<Role, number>>>
  repos: Readonly<Record<string, number>>
}

export type Place = { family: Family | null; role: Role; repo: string }

/** What is under way, counted. Adding to it is the one thing that changes it. */
export type Count = { full(place: Place): string | null; add(place: Place): void }

/** Counts attempts under way against caps. `full` says in words which cap leaves no room for one more there, or null. */
export function countAgainst(caps: Caps, underWay: Iterable<Place>): Count {
  const counts = new Map<string, number>()
  const keys = ({ family, role, repo }: Place) =>
    [
      { key: `role ${role}`, cap: caps.roles[role], what: `caps.roles.${role}` },
      { key: `repo ${repo}`, cap: caps.repos[repo], what: 'caps.repositories' },
      {
        key: `family ${family}`,
        cap: family === null ? undefined : caps.families[family],
        what: `caps.families.${family}`,
      },
    ] as const
  const count: Count = {
    full(place) {
      const full = keys(place).find(({ key, cap }) => cap !== undefined && (counts.get(key) ?? 0) >= cap)
      return full ? `as many attempts are under way as ${full.what} allows: ${full.cap}` : null
    },
    add(place) {
      for (const { key } of keys(place)) counts.set(key, (counts.get(key) ?? 0) + 1)
    },
  }
  for (const each of underWay) count.add(each)
  return count
}

export const noCaps: Caps = { families: {}, roles: {}, repos: {} }
