/** How a "no" is said: a refusal, a fault of the world, or a bug of ours, each with its exit code. With `--json` on stdout, else on stderr. */
import { existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { isRefusal, type Refusal } from '../core/refusal.ts'
import { environment } from '../host/environment.ts'
import { isFault, type Fault } from '../host/fault.ts'
import { findPaths } from '../host/path.ts'
import { programVersion } from '../host/version.ts'
import { exitCode } from './exit-code.ts'
import { wrap } from './format.ts'
import { err, out, say, terminalOf } from './say.ts'

type Said = { refused: string; why: string; hint?: string | undefined; code: number }

/** What nobody catches ends the process, said as what it is. A terminal that is gone is no bug. */
export function catchBugs(json: boolean): void {
  terminalOf(out)?.on('error', ({ code }: NodeJS.ErrnoException) => process.exit(code === 'EPIPE' ? 0 : exitCode.bug))
  process.on('uncaughtException', (error) => process.exit(complain(error, json)))
}

/** Says what went wrong; answers the exit code. */
export function complain(wrong: unknown, json: boolean, refusedCode: number = exitCode.refused): number {
  const { code, ...said } = describe(wrong, refusedCode)
  if (json) say(out, `${JSON.stringify({ ok: false, ...said, exitCode: code }, null, 2)}\n`)
  else say(err, asText(said))
  return code
}

/** Broken between words where a terminal would break it anywhere. */
function asText({ why, hint }: Pick<Said, 'why' | 'hint'>): string {
  const columns = terminalOf(err)?.columns || Number.POSITIVE_INFINITY
  const next = hint ? `${wrap(`→ ${hint}`, columns, '  ')}\n` : ''
  return `${wrap(`tri-agent: ${why}`, columns)}\n${next}`
}

/** What may pass by itself: another try is worth it. */
const passing = new Set([
  'git-timeout',
  'port-in-use',
  'daemon-slow',
  'restoring',
  'disk-full',
  'ENOSPC',
  'EMFILE',
  'ENFILE',
  'EAGAIN',
  'EBUSY',
])

/** Another process writes; SQLite says no more than this (result codes SQLITE_BUSY, SQLITE_LOCKED). */
const isBusy = ({ code, message }: Fault): boolean => code === 'database-unusable' && /is locked|is busy/.test(message)

/** Starting a program says the same where it is the folder to start in that is not there. */
const isNowhere = (program: string): boolean =>
  !(environment()['PATH'] ?? '').split(delimiter).some((folder) => existsSync(join(folder, program)))

function describe(wrong: unknown, refusedCode: number): Said {
  if (isRefusal(wrong)) return { ...(wrong as Refusal), code: refusedCode }
  if (isFault(wrong)) {
    const { code, message, hint } = wrong
    return {
      refused: code,
      why: message,
      hint,
      code: passing.has(code) || isBusy(wrong) ? exitCode.tryAgain : exitCode.refused,
    }
  }
  const { code, syscall, path } = (wrong ?? {}) as NodeJS.ErrnoException
  if (wrong instanceof Error && code === 'ENOENT' && syscall?.startsWith('spawn ') && path && isNowhere(path))
    return {
      refused: 'program-missing',
      why: `${path} is not installed, or not on PATH`,
      hint: 'install it; tri-agent doctor says what else is missing',
      code: exitCode.refused,
    }
  if (wrong instanceof Error && code && syscall)
    return {
      refused: code.toLowerCase(),
      why: wrong.message,
      code: passing.has(code) ? exitCode.tryAgain : exitCode.refused,
    }
  const stack = wrong instanceof Error ? (wrong.stack ?? wrong.message) : String(wrong)
  return {
    refused: 'bug',
    why: stack,
    hint: `this is a bug in tri-agent; nothing acknowledged is lost. Please report the lines above, with: version ${programVersion()}, Node ${process.versions.node}, ${process.platform}, and the end of ${findPaths(environment()).log}`,
    code: exitCode.bug,
  }
}
