/** import: tasks and checks that the ancestor of this program left in files. Said twice it takes nothing twice. */
import { readOldHealth, readOldTask, type OldTask } from '../core/ancestor.ts'
import { isRefusal, refuse } from '../core/refusal.ts'
import { saveHealth } from '../store/health.ts'
import { taskTagged } from '../store/task.ts'
import { addTask } from './add.ts'
import type { CommandPorts } from './ports.ts'

export type OldFile = { path: string; name: string; text: string; sha256: string }

/** `taken`: it is in the database now. `there`: it was already. `would`: a dry run. `left`: it was not taken, and why. */
export type Imported = { path: string; how: 'taken' | 'there' | 'would' | 'left'; what: string }

/** `done`: ids of those that were done there: nobody waits for them. */
export type ImportWish = { repo: string; files: readonly OldFile[]; done: readonly string[]; onlyLook: boolean }

export async function importOld(ports: CommandPorts, { repo, files, done, onlyLook }: ImportWish): Promise<Imported[]> {
  const imported: Imported[] = []
  const queue: { file: OldFile; old: OldTask }[] = []
  for (const file of files) {
    if (file.name === 'preflight.json' || file.name === 'health.json') {
      imported.push(await importHealth(ports, file, onlyLook))
      continue
    }
    const old = readOldTask(file.name, file.text)
    if (isRefusal(old)) imported.push({ path: file.path, how: 'left', what: old.why })
    else queue.push({ file, old })
  }
  const isDone = (id: string) => done.includes(id) && queue.every(({ old }) => old.id !== id)
  for (const { old } of queue) old.after = old.after.filter((id) => !isDone(id))
  return [...imported, ...(await importTasks(ports, repo, queue, onlyLook))]
}

async function importHealth({ database, world }: CommandPorts, file: OldFile, onlyLook: boolean): Promise<Imported> {
  const { path } = file
  const checks = readOldHealth(file.name === 'health.json' ? 'health' : 'preflight', parse(file.text))
  if (isRefusal(checks)) return { path, how: 'left', what: checks.why }
  const what = `${checks.length} checks, until doctor looks again`
  if (onlyLook) return { path, how: 'would', what }
  await database.write((tx) => saveHealth(tx, checks, world.clock.now(), false))
  return { path, how: 'taken', what }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch {
    return null
  }
}

/** Those that need no other first; what a task needs must be imported before, or it would start too early. */
async function importTasks(
  ports: CommandPorts,
  repo: string,
  queue: readonly { file: OldFile; old: OldTask }[],
  onlyLook: boolean,
): Promise<Imported[]> {
  const imported: Imported[] = []
  const ids = new Map<string, string>()
  let waiting = queue
  for (let progress = true; progress;) {
    const able = waiting.filter(({ old }) => old.after.every((id) => ids.has(id)))
    progress = able.length > 0
    waiting = waiting.filter((each) => !able.includes(each))
    for (const { file, old } of able) {
      const done = await importTask(ports, repo, file, old, ids, onlyLook)
      if (done.task !== null) ids.set(old.id, done.task)
      imported.push(done.said)
    }
  }
  const why = ({ after }: OldTask) => `it needs ${after.filter((id) => !ids.has(id)).join(', ')}, which was not taken`
  return [...imported, ...waiting.map(({ file, old }) => ({ path: file.path, how: 'left' as const, what: why(old) }))]
}

async function importTask(
  ports: CommandPorts,
  repo: string,
  { path, sha256 }: OldFile,
  old: OldTask,
  ids: ReadonlyMap<string, string>,
  onlyLook: boolean,
): Promise<{ task: string | null; said: Imported }> {
  const tag = `import:${sha256.slice(0, 16)}`
  const there = await ports.database.read((reader) => taskTagged(reader, tag))
  if (there !== null) return { task: there, said: { path, how: 'there', what: there } }
  const { title, text, kind, lane, acceptance } = old
  const after = old.after.map((id) => ids.get(id)!)
  if (onlyLook) return { task: old.id, said: { path, how: 'would', what: `${kind}, lane ${lane}: ${title}` } }
  const size = kind === 'architect' ? 'medium' : 'small'
  const wish = { repo, title, text, kind, lane, size, tags: [tag], acceptance, after }
  const task = await addTask(ports, wish)
  if (isRefusal(task)) return { task: null, said: { path, how: 'left', what: task.why } }
  return { task: task.id, said: { path, how: 'taken', what: task.id } }
}

/** Nothing was found to import. */
export const nothingToImport = (paths: readonly string[]) =>
  refuse('nothing-to-import', `there is no preflight.json, health.json or PRIORITY_….md in ${paths.join(', ')}`)
