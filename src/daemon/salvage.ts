/**
 * Salvage: an agent had finished, and its daemon died before the work was taken in. The next daemon takes it in, instead of having it done and paid for again.
 *
 *     agent ended well ─▶ finished.json beside its area ─▶ bundled, taken in ─▶ the folder goes ─▶ settled
 *                                       └─ kill -9 ─▶ processes proven dead ─▶ bundled by the next daemon, checked as ever ─▶ the attempt passed
 *
 * The file lies where no program of the attempt reaches, and is written only where the gateway saw a model and nothing against it. What cannot be taken in
 * is lost, and done again; so is what was taken in by a daemon that died before it could settle it. It never keeps a start waiting, nor an end: what is
 * not done by then is the next daemon's.
 */
import { existsSync } from 'node:fs'
import { readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Product } from '../core/flow.ts'
import { familyOf } from '../core/family.ts'
import type { Running } from '../core/task.ts'
import { isFault } from '../host/fault.ts'
import type { Paths } from '../host/path.ts'
import { removeTree } from '../sandbox/area.ts'
import { takeInLate } from '../stage/implement.ts'
import type { Finished, Work } from '../stage/stage.ts'
import type { Daemon } from './daemon.ts'

/** What a lost attempt had made after all. */
export type Salvaged = { product: Product; reason: string; promptSha256: string | null }

/** Those under way, by attempt, and until when they may go on. */
export type Salvaging = AsyncDisposable & { under: Map<string, Promise<void>>; ending: AbortSignal }

export function openSalvaging(): Salvaging {
  const under: Salvaging['under'] = new Map()
  const ending = new AbortController()
  return {
    under,
    ending: ending.signal,
    async [Symbol.asyncDispose]() {
      ending.abort('killed')
      await Promise.all(under.values())
    },
  }
}

export type Written = Finished & { model: string; family: string }

const fileIn = (folder: string): string => join(folder, 'finished.json')

/** Is there something to take in? */
export const hasFinished = ({ areas }: Pick<Paths, 'areas'>, attempt: string): boolean =>
  existsSync(fileIn(join(areas, attempt)))

/** Writes down that the agent of an attempt has finished, as the gateway saw it; not where its folder is gone (it was given back meanwhile) or full. */
export async function writeFinished(
  { gateway }: Pick<Daemon, 'gateway'>,
  { attempt, family }: Running,
  folder: string,
  done: Finished,
): Promise<void> {
  const { voided, models } = gateway.report(attempt)
  const model = models.at(-1)
  if (voided !== null || model === undefined) return // settling refuses it
  const file = fileIn(folder)
  const written: Written = { ...done, model, family: familyOf(model) ?? family! }
  try {
    await writeFile(`${file}.part`, JSON.stringify(written), { mode: 0o600 })
    await rename(`${file}.part`, file)
  } catch (error) {
    if (!['ENOENT', 'ENOSPC', 'EDQUOT'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error
  }
}

/** What the agent of a lost attempt had finished; null where it had not. */
export async function readFinished({ paths }: Pick<Daemon, 'paths'>, attempt: string): Promise<Written | null> {
  const text = await readFile(fileIn(join(paths.areas, attempt)), 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT' && error.code !== 'ENOTDIR') throw error
    return null
  })
  if (text === null) return null
  try {
    return JSON.parse(text) as Written
  } catch {
    return null // the machine went down in the middle of it
  }
}

/** Takes it in; null where that did not work. `stopped` where the daemon ended meanwhile, and the next has to look. */
export async function salvage(
  { stagePorts, failed }: Pick<Daemon, 'stagePorts' | 'failed'>,
  work: Work,
  written: Written,
): Promise<Salvaged | 'stopped' | null> {
  const result = await takeInLate(stagePorts, work, written).catch(async (error: unknown) => {
    if (!isFault(error)) await failed('salvage', error)
    return null
  })
  if (work.signal.aborted) return 'stopped'
  await removeTree(work.folder)
  if (result?.product?.step !== 'implement') return null
  const { family, model, promptSha256 } = written
  const product = { ...result.product, candidate: { ...result.product.candidate, family, model } }
  return { product, reason: `${result.reason}; taken in after its daemon had died`, promptSha256 }
}
