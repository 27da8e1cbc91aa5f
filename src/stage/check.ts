/**
 * Checking one finding. By behaviour where it has a proof: the command must fail on the changed tree and pass on the one before, otherwise it
 * proves nothing. Else by asking another family about that one claim.
 */
import { join } from 'node:path'
import type { JudgedFinding } from '../core/review.ts'
import { makeArea, removeArea } from '../sandbox/area.ts'
import { answerSchemas, readCheck } from './answer.ts'
import { askAgent } from './ask.ts'
import { execute } from './gates.ts'
import { prompt } from './prompt.ts'
import { wholeDiff } from './review.ts'
import { setUp } from './setup.ts'
import { stoppedAs, without, withProduct, type Stage, type StagePorts, type Work } from './stage.ts'

/** numbers.md, gates: what is not a test suite gets 300 s. */
const proofMs = 300_000

export const reproduce: Stage = async (ports, work) => {
  const finding = findingOf(work)
  const { base, commit } = work.task.round!
  const after = await prove(ports, work, commit, finding.proof!)
  if (work.signal.aborted) return without(stoppedAs(work.signal), 'stopped while reproducing')
  if ('failed' in after) return without('failed', after.failed)
  const before = after.code === 0 ? null : await prove(ports, work, base, finding.proof!)
  if (work.signal.aborted) return without(stoppedAs(work.signal), 'stopped while reproducing')
  if (before && 'failed' in before) return without('failed', before.failed)
  const shows = before !== null && before.code === 0 && !after.timedOut
  const evidence = `after the change: exit ${after.code ?? 'none'}${before ? `; before it: exit ${before.code ?? 'none'}` : ''}\n${after.tail}`
  const verdict = shows ? 'confirmed' : 'undecided'
  return withProduct(
    { step: 'reproduce', finding: finding.id, by: 'behaviour', verdict, evidence },
    `${verdict} by behaviour`,
  )
}

async function prove(ports: StagePorts, work: Work, commit: string, proof: string) {
  const area = await makeArea(join(work.folder, `proof-${commit.slice(0, 12)}`))
  try {
    await ports.git.checkout(work.repo.stores, commit, area.work)
    const dependencies = await setUp(ports, work, commit, area)
    return 'failed' in dependencies ? dependencies : await execute(ports, work, dependencies.area, proof, proofMs)
  } finally {
    await removeArea(area)
  }
}

export const crosscheck: Stage = async (ports, work) => {
  const finding = findingOf(work)
  const diff = await wholeDiff(ports, work)
  if (diff === null) return without('refused', 'the change is too large to be shown whole')
  const asked = prompt('crosscheck', {
    severity: finding.severity,
    place: `${finding.file}${finding.line === null ? '' : `:${finding.line}`}`,
    claim: finding.claim,
    evidence: finding.checks.map(({ by, evidence }) => `${by}: ${evidence}`).join('\n') || 'it has no proof',
    title: work.task.title,
    text: work.task.text,
    diff,
  })
  return askAgent(
    ports,
    work,
    { role: 'reviewer', prompt: asked, tree: { read: work.task.round!.commit }, schema: answerSchemas().check },
    async ({ end, facts }) => {
      const answer = readCheck(end)
      if ('unreadable' in answer)
        return without('unreadable', `the cross-check could not be read: ${answer.unreadable}`, facts)
      return withProduct(
        { step: 'crosscheck', finding: finding.id, by: work.attempt.family!, ...answer },
        `${answer.verdict} by ${work.attempt.family}`,
        facts,
      )
    },
  )
}

function findingOf({ task, attempt }: Work): JudgedFinding {
  const finding = task.round?.findings.find(({ id }) => id === attempt.finding)
  if (!finding) throw new Error(`${attempt.step} without a finding`)
  return finding
}
