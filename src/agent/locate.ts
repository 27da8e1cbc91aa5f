/** Where an agent's program is on this machine: the folder to be mounted, and what is started in it. */
import { existsSync } from 'node:fs'
import { dirname, isAbsolute, join } from 'node:path'
import { refuse, type Refusal } from '../core/refusal.ts'
import type { World } from '../host/world.ts'
import type { AgentAdapter } from './agent.ts'

/** `argv` has host paths; those below `folder` move with it when it is mounted elsewhere. `node` stands for the sandbox's own Node. */
export type Located = { folder: string; argv: string[]; version: string }

/** Finds the program of an adapter. Refuses `agent-missing`, with how to get it. */
export async function locate(
  _world: World,
  adapter: AgentAdapter,
  program: readonly string[] | null,
  _path: string,
): Promise<Located | Refusal> {
  const script = program?.at(-1)
  if (script === undefined || !isAbsolute(script) || !existsSync(script))
    return refuse('agent-missing', `${adapter.program.command} was not found`, adapter.program.install)
  return { folder: dirname(script), argv: ['node', script], version: '0' }
}

/** The argv as it is when `folder` is mounted at `mountedAt`. */
export const insideArgv = (
  { folder, argv }: Pick<Located, 'folder'> & { argv: readonly string[] },
  mountedAt: string,
): string[] =>
  argv.map((word) =>
    word === folder || word.startsWith(`${folder}/`) ? join(mountedAt, word.slice(folder.length)) : word,
  )
