/**
 * Which functions of the shipped rooms the stories went through. A module that no story ever entered is not tested by them, and saying so by itself is
 * better than finding out.
 */
import { readdirSync } from 'node:fs'
import { Session } from 'node:inspector/promises'
import { join, relative } from 'node:path'
import { pathToFileURL } from 'node:url'

const root = join(import.meta.dirname, '..', '..')
/** The rooms that a story must go through. */
const rooms = ['core', 'store', 'engine', 'command', 'daemon', 'stage']

/** What no story enters, and why. */
const reasons: readonly [RegExp, string][] = [
  [/^src\/(core\/event|engine\/engine|command\/ports)\.ts$/, 'types alone'],
  [/^src\/core\/(ancestor|estimate|gate-progress|history|platform|tier)\.ts$/, 'for verbs that start nothing'],
  [/^src\/core\/(check|key-shape|rung)\.ts$/, 'what init and doctor look for on a machine'],
  [/^src\/core\/provider-tool\.ts$/, 'asked by the gateway, which is modelled'],
  [/^src\/command\/(import|trust)\.ts$/, 'once in the life of a repository, before anything starts'],
  [/^src\/command\/adopt\.ts$/, 'for whoever has lost a key, with no daemon up'],
  [/^src\/store\/(health|shell)\.ts$/, 'what doctor found, and a shell for people'],
  [/^src\/daemon\/(agents|check-\w+|doctor|survey|trial-turn)\.ts$/, 'looks for what is installed on a machine'],
  [/^src\/daemon\/(demo|demo-progress|demo-report|scripted)\.ts$/, 'the demo'],
  [/^src\/(daemon\/chaos(-\w+)?|store\/left)\.ts$/, 'chaos, which needs a real machine'],
  [/^src\/daemon\/(estimate|price-note|read-along|trust|verify)\.ts$/, 'for verbs that need no daemon'],
  [
    /^src\/(core\/forecast|store\/moving|daemon\/(audit|audit-history|reap-by-hand))\.ts$/,
    'for verbs that start nothing',
  ],
  [
    /^src\/(store\/(restore|verify-backup)|daemon\/(restore|reconcile))\.ts$/,
    'backups and restores start programs of the machine',
  ],
  [/^src\/daemon\/room\.ts$/, 'looks for room on a machine; the simulated one has a model of it'],
  [/^src\/daemon\/companion\.ts$/, 'the launcher in a container of its own, which is no part of a daemon'],
  [/^src\/daemon\/(http|ports|record|up)\.ts$/, 'where the machine begins: the models stand in for it'],
]

/** Why a file need not be entered, or undefined. */
export const exempt = (file: string): string | undefined => reasons.find(([files]) => files.test(file))?.[1]

export type Entered = { file: string; functions: number; entered: number }

/** Starts counting. The answer counts what was entered since. */
export async function countEntered(): Promise<() => Promise<Entered[]>> {
  const session = new Session()
  session.connect()
  await session.post('Profiler.enable')
  await session.post('Profiler.startPreciseCoverage', { callCount: false, detailed: false })
  return async () => {
    const { result } = await session.post('Profiler.takePreciseCoverage')
    session.disconnect()
    return files().map((file) => {
      const script = result.find(({ url }) => url === pathToFileURL(join(root, file)).href)
      // the first function of a module is the module itself, which merely being imported executes
      const named = (script?.functions ?? []).filter(({ functionName }, index) => index > 0 || functionName !== '')
      const entered = named.filter(({ ranges }) => ranges.some(({ count }) => count > 0))
      return { file, functions: named.length, entered: entered.length }
    })
  }
}

const files = (): string[] =>
  rooms.flatMap((room) =>
    readdirSync(join(root, 'src', room), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts') && !/\.test\.ts$|fixture\.ts$|conformance\.ts$/.test(name))
      .map((name) => relative(root, join(root, 'src', room, name)))
      .toSorted(),
  )
