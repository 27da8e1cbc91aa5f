/** What a person paused, for programs and people: with the repository's name, in words, and with what ends it. */
import { tellPause, type Pause } from '../core/pause.ts'
import type { Task } from '../core/task.ts'
import type { Reader } from '../store/database.ts'
import { readPauses } from '../store/pause.ts'
import { listRepos } from '../store/task.ts'

export type Paused = Omit<Pause, 'until'> & { id: string; told: string; undo: string }

/** Those in force, oldest first. */
export async function readPaused(reader: Reader): Promise<Paused[]> {
  const pauses = (await readPauses(reader)).filter(({ until }) => until === null)
  if (pauses.length === 0) return []
  const names = new Map((await listRepos(reader)).map(({ id, name }) => [id, name]))
  return pauses.map(({ until: _, ...pause }) => {
    const name = (pause.what === 'repo' && names.get(pause.name)) || pause.name
    const undo = pause.what === 'all' ? 'tri-agent resume' : `tri-agent resume --${pause.what} ${name}`
    return { ...pause, id: pause.name, name, told: tellPause({ ...pause, until: null }, `repository ${name}`), undo }
  })
}

/** Which pause a task waits for. Loaded only where something is paused. */
export async function pausedReader(reader: Reader): Promise<(task: Task) => string | null> {
  const pauses = await readPauses(reader)
  if (!pauses.some(({ until }) => until === null)) return () => null
  const { whyPaused } = await import('../core/waiting.ts')
  return (task) => whyPaused(task, pauses)
}
