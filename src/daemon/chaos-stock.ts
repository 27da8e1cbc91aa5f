/** Taking stock once the daemon has stopped: every task that was acknowledged is done and landed once, the log explains all, and nothing is left anywhere. */
import { readTrailers } from '../core/trailer.ts'
import { describeProcess, takeCensus } from '../host/census.ts'
import { checkDatabase } from '../store/check.ts'
import { leftRows, type LeftRows } from '../store/left.ts'
import { lastSeq } from '../store/log.ts'
import { verifyProjections } from '../store/rebuild.ts'
import { landingBranch, tasksOf, type Scene } from './chaos-scene.ts'
import { namesIn } from './leftover.ts'
import { verifyHistory } from './verify.ts'

export type Stock = {
  acknowledged: number
  done: number
  /** Acknowledged, and not on the landing branch. */
  lost: string[]
  /** On it more than once. */
  doubled: string[]
  left: LeftRows & { pids: string[]; areas: string[]; sockets: string[] }
  events: number
  /** What the log, the tables or the history say that is not so. */
  untrue: string[]
}

/** Only once the daemon has stopped. */
export async function takeStock(scene: Scene, alone: boolean): Promise<Stock> {
  const { database, paths, acknowledged } = scene
  const tasks = await tasksOf(database, [...acknowledged.keys()])
  const landed = await landings(scene)
  const count = (id: string): number => landed.filter((each) => each === id).length
  const rows = await database.read(leftRows)
  return {
    acknowledged: acknowledged.size,
    done: tasks.filter(({ phase }) => phase === 'done').length,
    lost: [...acknowledged.keys()].filter((id) => count(id) === 0),
    doubled: [...new Set(landed)].filter((id) => count(id) > 1 || !acknowledged.has(id)),
    left: {
      ...rows,
      pids: takeCensus(scene.folder, alone).map(describeProcess),
      areas: await namesIn(paths.areas),
      sockets: await namesIn(paths.sockets),
    },
    events: await database.read(lastSeq),
    untrue: await untruths(scene),
  }
}

/** The task each landed commit names. */
async function landings({ git }: Scene): Promise<string[]> {
  const all = await git('for-each-ref', '--format=%(refname)', `refs/heads/${landingBranch}`)
  if (all === '') return []
  const said = await git('log', '-z', '--format=%B', `main..${landingBranch}`)
  return said
    .split('\0')
    .filter(Boolean)
    .map((message) => readTrailers(message)['Task']?.[0] ?? '?')
}

async function untruths({ database, env }: Scene): Promise<string[]> {
  const looked = (await checkDatabase(database)).flatMap(({ what, problems }) =>
    problems.map((each) => `${what}: ${each}`),
  )
  const { differences } = await verifyProjections(database)
  let said = ''
  const code = await verifyHistory({ env, repo: null, json: false, out: (text) => void (said += text) })
  return [
    ...looked,
    ...differences.map(({ table, row }) => `${table} ${row} is not what the log says`),
    ...(code === 0 ? [] : [said]),
  ]
}
