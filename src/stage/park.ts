/**
 * Parking: what an implementer had done that reached a limit, or whose daemon ends, is kept, and the next attempt of its family goes on with it, in the same place.
 *
 *     stopped ─▶ committed and bundled inside the sandbox ─▶ sealed with the client's session ···▶ taken in, checked ─▶ tree and HOME as they were
 *
 * What comes back is as strange as what any agent hands in: the bundle goes through the same intake.
 */
import { cp } from 'node:fs/promises'
import { join } from 'node:path'
import type { Archive } from '../core/event.ts'
import { isRefusal } from '../core/refusal.ts'
import type { Sha } from '../git/git.ts'
import type { Area } from '../sandbox/sandbox.ts'
import type { Asked } from './ask.ts'
import { handOff, isMissing } from './hand-off.ts'
import type { StagePorts, Work } from './stage.ts'

/** Keeps the work of an agent that was stopped; null, with a note in the transcript, where that did not work. */
export async function keepWork(ports: StagePorts, work: Work, asked: Asked, base: Sha): Promise<Archive | null> {
  const calm = { ...work, signal: work.hurry } // the attempt's own has fired
  const failed = await handOff(ports, calm, asked, base)
  if (failed !== null) {
    work.onOutput('note', `what was done could not be kept: ${failed.why}`)
    return null
  }
  const bundle = join(asked.area.out, 'task.bundle')
  const { family } = work.attempt
  const found = family === null ? null : ports.agent(family)
  return work.keep({
    bundle: (await isMissing(bundle)) ? null : bundle,
    base,
    home: asked.area.home,
    folders: found?.adapter.sessions ?? [],
    session: asked.end.session,
  })
}

/** The commit that holds what was kept, taken in as anything an agent hands in; null where nothing was kept or it is not fit to go on with. */
export async function bringBack({ git }: StagePorts, work: Work): Promise<{ commit: Sha; base: Sha } | null> {
  const { kept, repo, task } = work
  if (!kept?.bundle) return null
  const name = `${task.id}/${work.attempt.token}`
  const candidate = await git.intake(repo.stores, kept.bundle, kept.base, name, work.secrets)
  if (!isRefusal(candidate)) return { commit: candidate.commit, base: candidate.base }
  work.onOutput('note', `what was kept is not fit to go on with: ${candidate.why}`)
  return null
}

/** Puts the session's files where they were. Answers the session, or null: a new one begins. A session belongs to its folder, which only the contained rung keeps. */
export async function layHome({ sandbox }: StagePorts, { kept }: Work, area: Area): Promise<string | null> {
  if (!kept?.session || !sandbox.contained) return null
  await cp(kept.home, area.home, { recursive: true, force: true })
  return kept.session
}
