/** Review: one reviewer of another family, blind (task, whole diff, gate output; no author, message or earlier verdict), read-only. Returns findings. */
import { plural } from '../core/quantity.ts'
import type { Task } from '../core/task.ts'
import type { Finding } from '../core/review.ts'
import { answerSchemas, readReview } from './answer.ts'
import { askAgent } from './ask.ts'
import { bullets, prompt } from './prompt.ts'
import { tellPath } from './task-path.ts'
import { without, withProduct, type Stage, type StagePorts, type Work } from './stage.ts'

export const review: Stage = async (ports, work) => {
  const { task } = work
  const round = task.round
  if (!round) throw new Error('review without a round')
  const diff = await wholeDiff(ports, work)
  if (diff === null)
    return without(
      'refused',
      `the change is larger than the ${ports.settings.sizes.diffBytes} bytes a reviewer is shown; split the task`,
    )
  const asked = prompt('review', {
    title: task.title,
    kind: task.kind,
    path: tellPath(work),
    text: task.text,
    acceptance: bullets([...task.acceptance, ...(task.plan?.acceptance ?? [])], 'none given'),
    gates: gateLines(task),
    diff,
  })
  return askAgent(
    ports,
    work,
    { role: 'reviewer', prompt: asked, tree: { read: round.commit }, schema: answerSchemas().review },
    async ({ end, facts }) => {
      const answer = readReview(end)
      if ('unreadable' in answer)
        return without('unreadable', `the review could not be read: ${answer.unreadable}`, facts)
      const findings = answer.findings.map((each): Finding => ({ id: ports.world.id('fnd'), ...each }))
      const { family, model } = work.attempt
      const product = { step: 'review' as const, family: family!, model: model!, summary: answer.summary, findings }
      return withProduct(
        product,
        findings.length === 0 ? 'nothing wrong found' : plural(findings.length, 'finding'),
        facts,
      )
    },
  )
}

/** The whole change, or null when it is too large to be shown whole: then nobody may approve it. */
export async function wholeDiff(ports: StagePorts, work: Work): Promise<string | null> {
  const { base, commit } = work.task.round!
  const diff = await ports.git.diff(work.repo.stores, base, commit)
  return Buffer.byteLength(diff) > ports.settings.sizes.diffBytes ? null : diff
}

const gateLines = ({ gates }: Task): string =>
  bullets(
    [
      ...(gates?.results ?? []).map(({ name, command, state }) => `${name} (${command}): ${state}`),
      ...(gates?.notConcerned ?? []).map((name) => `${name}: not executed, the change touches none of its paths`),
    ],
    'no gates are configured',
  )
