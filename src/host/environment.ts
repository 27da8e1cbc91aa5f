/** The environment we were started with, and who started us. The one place that reads it for the program; everything else is handed an Env. */
import { userInfo } from 'node:os'
import { isAbsolute, join } from 'node:path'
import type { Env } from './path.ts'

/** The environment of this process. */
export const environment = (): Env => process.env

/** Who is asking, for the log: the account's name, whatever variables say; `uid-N` where the account has none. */
export function accountName(): string {
  try {
    return userInfo().username
  } catch {
    return `uid-${process.getuid?.() ?? 0}` // a container's user without an entry in passwd
  }
}

/** Where compiled code may be kept between two starts: in the user's own cache, because a shared folder could be poisoned. Null without a home. */
export function compileCacheFolder(env: Env): string | null {
  const cache = env['XDG_CACHE_HOME']
  if (cache && isAbsolute(cache)) return join(cache, 'tri-agent', 'compile')
  return env['HOME'] ? join(env['HOME'], '.cache', 'tri-agent', 'compile') : null
}
