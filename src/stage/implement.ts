/**
 * Implement: an agent works in a private clone; what it leaves is committed and bundled *inside* the sandbox, taken in strictly checked, and only
 * then is there a candidate. What the agent claims counts for nothing.
 */
import { join } from 'node:path'
import { plural } from '../core/quantity.ts'
import { isRefusal } from '../core/refusal.ts'
import type { Sha } from '../git/git.ts'
import { findArea } from '../sandbox/overlay.ts'
import { goesOnFrom } from '../core/task.ts'
import { agentArea, askAgent, borrowedBy, type Asked } from './ask.ts'
import { handOff, isMissing } from './hand-off.ts'
import { bringBack } from './park.ts'
import { bullets, prompt } from './prompt.ts'
import { tellPath } from './task-path.ts'
import {
  stoppedAs,
  without,
  withProduct,
  type Finished,
  type Stage,
  type StagePorts,
  type StageResult,
  type Work,
} from './stage.ts'

export const implement: Stage = async (ports, work) => {
  const { task, repo } = work
  const kept = await bringBack(ports, work)
  const startFrom = kept ?? goesOnFrom(task, work.attempt.family) ?? { commit: repo.tip, base: repo.tip }
  const asked = prompt('implement', {
    title: task.title,
    kind: task.kind,
    size: task.size,
    round: String(task.returns + 1),
    path: tellPath(work),
    text: task.text,
    acceptance: bullets([...task.acceptance, ...(task.plan?.acceptance ?? [])], 'none given'),
    plan: task.plan
      ? `${task.plan.approach}\n\nFiles: ${task.plan.files.join(', ') || 'not named'}`
      : 'none: the task is small',
    gates: bullets(
      work.repository.gates
        .filter(({ baseline }) => baseline !== 'off')
        .map(({ name, command }) => `${name}: ${command}`),
      'none are configured',
    ),
    feedback: [
      ...(task.feedback
        ? [`From ${task.feedback.from}:\n\n${task.feedback.text}`]
        : kept
          ? []
          : ['none: this is the first']),
      ...(kept
        ? [
            `You were stopped ${work.kept?.drained ? 'before you were done' : 'at a budget limit'}. What you had changed by then is in the folder: go on from there.`,
          ]
        : []),
    ].join('\n\n'),
  })
  return askAgent(
    ports,
    work,
    { role: 'implementer', prompt: asked, tree: { edit: startFrom.commit, base: startFrom.base } },
    async (driven) => {
      const { promptSha256 } = driven.facts
      await work.finished({ base: startFrom.base, message: driven.end.text, promptSha256 })
      return takeIn(ports, work, driven, startFrom.base)
    },
  )
}

/** Hands finished work off and takes it in. */
async function takeIn(
  ports: StagePorts,
  work: Work,
  driven: Pick<Asked, 'area' | 'mounts' | 'facts'> & { end: { text: string } },
  startedFrom: Sha,
): Promise<StageResult> {
  const { task, repo } = work
  const refused = (why: string) =>
    without('failed', why, { ...driven.facts, feedback: `Your work was refused: ${why}` })
  const left = await handOff(ports, work, driven, startedFrom)
  if (left !== null && work.signal.aborted) return without(stoppedAs(work.signal), left.why, driven.facts)
  if (left !== null) return left.theirs ? refused(left.why) : without('failed', left.why, driven.facts)
  const bundle = join(driven.area.out, 'task.bundle')
  const unchanged = () =>
    without('no-change', driven.end.text.trim() || 'the agent changed nothing and gave no reason', driven.facts)
  if (await isMissing(bundle)) return unchanged()
  const name = `${task.id}/${work.attempt.token}`
  const candidate = await ports.git.intake(repo.stores, bundle, startedFrom, name, work.secrets)
  if (isRefusal(candidate)) return candidate.refused === 'no-change' ? unchanged() : refused(candidate.why)
  // Told what is wrong with it and handed in as it was: the same tests and reviews would say the same again.
  if (candidate.tree === task.candidate?.tree && !task.rebase) return unchanged()
  const { commit, tree, base, changes, added, removed } = candidate
  const files = changes.map(({ path }) => path)
  const product = {
    step: 'implement' as const,
    candidate: {
      commit,
      tree,
      base,
      family: work.attempt.family!,
      model: work.attempt.model!,
      files,
      added,
      removed,
      message: driven.end.text,
    },
  }
  return withProduct(product, `${plural(files.length, 'file')}, +${added} −${removed}`, driven.facts)
}

/** Takes in what the agent of an attempt had finished whose daemon died before it was taken in. Its processes are gone; its area is as they left it. */
export async function takeInLate(ports: StagePorts, work: Work, done: Finished): Promise<StageResult> {
  const area = await findArea(join(work.folder, agentArea))
  const facts = { promptSha256: done.promptSha256, killed: null }
  return takeIn(ports, work, { area, mounts: borrowedBy(ports, work), facts, end: { text: done.message } }, done.base)
}
