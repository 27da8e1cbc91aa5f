/** The part of a repository a task is about: a folder or file, written from the root. `.` is all of it. */
import { refuse, type Refusal } from './refusal.ts'
import { textOfPath } from './protection.ts'

/** Checks what a person wrote. Refuses `bad-path`. */
export function readTaskPath(written: string): string | Refusal {
  const path = written
    .trim()
    .replace(/^(?:\.\/+)+/, '')
    .replace(/\/+$/, '')
  const parts = path.split('/')
  if (path === '.' || written.trim() === './') return '.'
  if (/[\\\p{Cc}]/u.test(path) || parts.some((part) => part === '' || part === '.' || part === '..'))
    return refuse(
      'bad-path',
      `${JSON.stringify(written)} is no path from the top of the repository`,
      'packages/web, or . for all of it',
    )
  return path
}

/** The files of a change that are not in the path. */
export const outsideOf = (path: string, files: readonly string[]): string[] =>
  files.filter((file) => {
    const name = textOfPath(file)
    return path !== '.' && name !== path && !name.startsWith(`${path}/`)
  })
